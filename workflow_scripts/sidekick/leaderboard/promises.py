"""What thresholds promise on `val`, and what comes of it elsewhere."""

import polars as pl

_PREDICTOR = ["dataset", "predictor", "variant", "large", "small", "recipe"]


def what_promises_brought(board: pl.DataFrame, fits: pl.DataFrame) -> pl.DataFrame:
    """Compare the accuracy and cost of chosen thresholds on `val` with those on other splits.

    Parameters
    ----------
    board
        The leaderboard. Of `shift` the mean over all corruptions and severities is used.
    fits
        The table of fits; its rows with a `promised_accuracy` are thresholds.

    Returns
    -------
    DataFrame
        One row per predictor with a threshold and split on the board: over how many `seeds` the
        promises are averaged, `promised_accuracy` and `promised_gmacs`, the `accuracy` that came
        of them with its interval `low` to `high`, the `gmacs`, and `kept`: whether the promised
        accuracy is at most `high`, so that it was not significantly missed. `kept` and the
        numbers are null where a seed has no such threshold, and the predictor so no rows. `note`
        is what the fits say, such as that a target was out of reach.
    """
    promised = (
        fits.filter(pl.col("promised_accuracy").is_finite())
        .group_by(_PREDICTOR)
        .agg(
            seeds=pl.col("seed").n_unique(),
            promised_accuracy=pl.col("promised_accuracy").mean(),
            promised_gmacs=pl.col("promised_gmacs").mean(),
            note=pl.col("note").drop_nulls().unique().sort().str.join("; "),
        )
        .with_columns(pl.col("note").replace("", None))
    )
    overall = (pl.col("corruption") == "mean") & pl.col("severity").is_null()
    splits = board.filter((pl.col("split") == "test") | overall)
    came = splits.filter(pl.col("metric") == "accuracy").select(
        *_PREDICTOR, "split", pl.col("value").alias("accuracy"), "low", "high", "gmacs"
    )
    places = splits.select("dataset", "split").unique()
    found = promised.join(places, on="dataset").join(
        came, on=[*_PREDICTOR, "split"], how="left", nulls_equal=True
    )
    # Polars takes NaN for larger than any number.
    kept = pl.col("promised_accuracy") <= pl.col("high").fill_nan(None)
    return found.select(
        "dataset",
        "split",
        *_PREDICTOR[1:],
        "seeds",
        "promised_accuracy",
        "accuracy",
        "low",
        "high",
        kept.alias("kept"),
        "promised_gmacs",
        "gmacs",
        "note",
    ).sort("dataset", pl.col("split") == "shift", *_PREDICTOR[1:])
