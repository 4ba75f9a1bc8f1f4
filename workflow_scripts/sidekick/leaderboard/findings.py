"""How often a method beats its matched control, over all models and pairs of a dataset."""

import polars as pl

# What the differences of one line have in common.
_GROUP = ["dataset", "split", "predictor", "variant", "recipe", "metric"]
# Fewer pairs say nothing about a trend.
_FEWEST_PAIRS = 4


def summarise_comparisons(board: pl.DataFrame) -> pl.DataFrame:
    """Count gains and losses against the matched control.

    Parameters
    ----------
    board
        The leaderboard. Of `shift` the mean over all corruptions and severities is used.

    Returns
    -------
    DataFrame
        One row per dataset, split, predictor, variant, recipe and metric that has differences:
        `comparisons`, of which `better` and `worse` (their intervals exclude 0) and `undecided`;
        `worse_share`; `median_improvement`, positive where the method is better; and
        `balance_correlation`, Spearman's rank correlation of improvement and FLOPs balance over
        pairs, null for fewer than four or without variation.
    """
    whole = (pl.col("split") == "test") | (
        (pl.col("corruption") == "mean") & pl.col("severity").is_null()
    )
    sign = pl.when(pl.col("higher_is_better")).then(1.0).otherwise(-1.0)
    compared = board.filter(whole & pl.col("delta").is_finite()).with_columns(
        improvement=sign * pl.col("delta"),
        # Polars takes NaN for larger than any number.
        low=pl.min_horizontal(sign * pl.col("delta_low"), sign * pl.col("delta_high")).fill_nan(
            None
        ),
        high=pl.max_horizontal(sign * pl.col("delta_low"), sign * pl.col("delta_high")).fill_nan(
            None
        ),
    )
    counted = compared.group_by(_GROUP).agg(
        comparisons=pl.len(),
        better=(pl.col("low") > 0).sum(),
        worse=(pl.col("high") < 0).sum(),
        median_improvement=pl.col("improvement").median(),
        balance_correlation=_rank_correlation("improvement", "flops_balance"),
    )
    return counted.select(
        *_GROUP,
        "comparisons",
        "better",
        "worse",
        undecided=pl.col("comparisons") - pl.col("better") - pl.col("worse"),
        worse_share=pl.col("worse") / pl.col("comparisons"),
        median_improvement="median_improvement",
        balance_correlation=pl.col("balance_correlation").fill_nan(None),
    ).sort(_GROUP)


def _rank_correlation(one: str, other: str) -> pl.Expr:
    """Correlate ranks, over rows that have both values."""
    both = pl.col(one).is_not_null() & pl.col(other).is_not_null()
    ranks = [pl.col(name).filter(both).rank() for name in (one, other)]
    return pl.when(both.sum() >= _FEWEST_PAIRS).then(pl.corr(*ranks))
