"""What a budget of compute buys beside each large model."""

import polars as pl

_METRICS = ("accuracy", "nll", "aurc")
_PREDICTOR = ["dataset", "predictor", "variant", "large", "small", "recipe"]


def what_budgets_buy(board: pl.DataFrame, fits: pl.DataFrame) -> pl.DataFrame:
    """Give the test results of what was chosen on `val` for each budget.

    Each pair job chose among the models of its time; the choice with the lowest mean NLL on `val`
    counts.

    Parameters
    ----------
    board
        The leaderboard.
    fits
        The table of fits; its rows with a `budget` say what was chosen.

    Returns
    -------
    DataFrame
        One row per dataset, large model and budget (a multiple of the large model's cost): what
        was chosen, its `gmacs` and, for accuracy, NLL and AURC on `test`, the value and the
        difference to the temperature-scaled large model with its interval. No difference where
        nothing was bought.
    """
    chosen = best_choices(fits).select(*_PREDICTOR, "budget")
    test = board.filter(pl.col("split") == "test")
    found = chosen.join(
        test.filter(pl.col("metric") == _METRICS[0]).select(*_PREDICTOR, "gmacs"),
        on=_PREDICTOR,
        how="left",
        nulls_equal=True,
    )
    for metric in _METRICS:
        own = test.filter(pl.col("metric") == metric).select(
            *_PREDICTOR,
            pl.col("value").alias(metric),
            # Alone, a model is compared with its unscaled self.
            *(
                pl.when(pl.col("small").is_not_null()).then(pl.col(name)).alias(f"{metric}_{name}")
                for name in ("delta", "delta_low", "delta_high")
            ),
        )
        found = found.join(own, on=_PREDICTOR, how="left", nulls_equal=True)
    first = ["dataset", "large", "budget", "small", "gmacs"]
    rest = [name for name in found.columns if name not in (*_PREDICTOR, *first)]
    return found.select(*first, "recipe", *rest).sort("dataset", "large", "budget")


def best_choices(fits: pl.DataFrame) -> pl.DataFrame:
    """Give for each dataset, large model and budget the predictor that was chosen, and its NLL."""
    found = fits.filter(pl.col("budget").is_not_null()).unique([*_PREDICTOR, "budget", "seed"])
    scored = found.group_by(*_PREDICTOR, "budget").agg(pl.col("val_nll").mean())
    places = ["dataset", "large", "budget"]
    ordered = scored.sort(*places, "val_nll", "small", nulls_last=True)
    return ordered.unique(places, keep="first", maintain_order=True)
