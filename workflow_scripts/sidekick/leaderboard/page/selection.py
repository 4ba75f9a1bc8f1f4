"""Which predictors of a board the page holds: all, or of a large board those that matter most."""

from typing import NamedTuple

import numpy as np
import polars as pl

from sidekick.leaderboard.figures.rows import pareto_front

KEYS = ["predictor", "variant", "large", "small", "recipe"]
"""What tells the predictors of a dataset apart."""

_FRONT_METRICS = ("aurc", "accuracy")


class Selection(NamedTuple):
    """The predictors of a dataset that the page holds.

    Attributes
    ----------
    predictors
        Their `KEYS`, in the order of the page.
    total
        How many there are on the board.
    pairs, total_pairs
        How many pairs (or groups) of models are on the page and on the board.
    """

    predictors: pl.DataFrame
    total: int
    pairs: int
    total_pairs: int


def select(board: pl.DataFrame, most: int) -> Selection:
    """Choose the predictors of one dataset.

    All predictors of single models stay. Pairs stay or go with everything that is made of them,
    controls included: first those with a predictor on the Pareto front of AURC or accuracy on
    `test`, then each large model's best pair by AURC, then the best by AURC.

    Parameters
    ----------
    board
        The leaderboard's rows of the dataset.
    most
        How many predictors there may be. Single models are kept even if they are more.
    """
    predictors = board.select(KEYS).unique().sort(KEYS, nulls_last=True)
    pairs = ["large", "small"]
    paired = predictors.filter(pl.col("small").is_not_null())
    sizes = paired.group_by(pairs).len("count")
    total = len(predictors)
    if total <= most:
        return Selection(predictors, total, len(sizes), len(sizes))
    ranked = sizes.join(_ranks(board), on=pairs, how="left").sort(
        "on_front", "first", "best", *pairs, descending=[True, True, *[False] * 3], nulls_last=True
    )
    room = most - (total - len(paired))
    kept = ranked.filter(pl.col("count").cum_sum() <= room).select(pairs)
    chosen = pl.concat(
        [
            predictors.filter(pl.col("small").is_null()),
            paired.join(kept, on=pairs, how="semi"),
        ]
    ).sort(KEYS, nulls_last=True)
    return Selection(chosen, total, len(kept), len(sizes))


def _ranks(board: pl.DataFrame) -> pl.DataFrame:
    """Give each pair's best AURC, whether it is on a front, and the best of its large model."""
    test = board.filter(
        (pl.col("split") == "test")
        & pl.col("small").is_not_null()
        & pl.col("value").is_finite()
        & pl.col("gmacs").is_finite()
        & pl.col("metric").is_in(_FRONT_METRICS)
        & ~pl.col("variant").str.contains("oracle|noise|random")
    )
    fronts = []
    for metric in _FRONT_METRICS:
        rows = test.filter(pl.col("metric") == metric)
        sign = -1.0 if metric == "accuracy" else 1.0
        front = pareto_front(rows["gmacs"].to_numpy(), sign * rows["value"].to_numpy())
        fronts.append(rows[np.sort(front)].select("large", "small"))
    on_front = pl.concat(fronts).unique().with_columns(on_front=pl.lit(True))
    best = test.filter(pl.col("metric") == "aurc").group_by("large", "small")
    ranks = best.agg(best=pl.col("value").min()).join(
        on_front, on=["large", "small"], how="full", coalesce=True
    )
    return ranks.with_columns(
        pl.col("on_front").fill_null(False),
        first=pl.col("best") == pl.col("best").min().over("large"),
    )
