"""The curves that the page draws of selected predictors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from sidekick.leaderboard.page.predictors import key_of
from sidekick.leaderboard.page.selection import KEYS

CURVES = ("risk_coverage", "deferral", "reliability")


def curves(
    points: pl.DataFrame, keys: Sequence[str]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Give the curves of some predictors of one dataset.

    Parameters
    ----------
    points
        The table of curves of the dataset.
    keys
        The predictors, as in the column `baseline` of the board.

    Returns
    -------
    header
        For each curve the predictors' `rows` and the `lengths` of their curves.
    arrays
        For each curve `x`, `y`, `low`, `high`, and of `reliability` `count`: (4 or 5, points)
        numbers, curve after curve.
    """
    numbers = {key: number for number, key in enumerate(keys)}
    own = points.filter(pl.col("curve").is_in(CURVES))
    named = own.select(KEYS).unique(maintain_order=True)
    rows = [numbers.get(key_of(row), -1) for row in named.iter_rows(named=True)]
    known = named.with_columns(row=pl.Series(rows, dtype=pl.Int64)).filter(pl.col("row") >= 0)
    joined = own.join(known, on=KEYS, how="inner", nulls_equal=True).sort("curve", "row", "x")
    header, arrays = {}, {}
    for (curve,), part in joined.partition_by("curve", as_dict=True).items():
        counted = part.group_by("row", maintain_order=True).len("length")
        header[curve] = {
            "rows": counted["row"].to_list(),
            "lengths": counted["length"].to_list(),
        }
        names = ["x", "y", "low", "high"] + ["count"] * (curve == "reliability")
        arrays[curve] = np.stack([part[name].cast(pl.Float64).to_numpy() for name in names])
    return header, arrays
