"""The board's numbers of one dataset as dense arrays: place × field × metric × predictor."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from sidekick.leaderboard.page.selection import KEYS

FIELDS = ("value", "low", "high", "delta", "delta_low", "delta_high")
CELL_FIELDS = ("value", "low", "high")
# Of a single corruption at a single severity: the page has room for these only.
CELL_METRICS = ("accuracy", "nll", "ece", "auroc", "aurc", "coverage", "selective_accuracy")


class Place(NamedTuple):
    """What was measured on: a split, of `shift` perhaps a corruption and a severity.

    Attributes
    ----------
    split, corruption, severity
        As on the board: corruption `mean` is the mean over all, severity None over all.
    samples
        Test samples per seed.
    metrics
        Names of the metrics, in the order of the array.
    fields
        Names of the numbers that there are of each metric.
    values
        (field, metric, predictor) numbers, NaN where there is none.
    gmacs
        (predictor,) expected cost.
    notes
        (metric, predictor, text) of each number that the board says something about.
    """

    split: str
    corruption: str | None
    severity: int | None
    samples: int
    metrics: Sequence[str]
    fields: Sequence[str]
    values: np.ndarray
    gmacs: np.ndarray
    notes: Sequence[tuple[int, int, str]]


def places(
    board: pl.DataFrame, predictors: pl.DataFrame, metrics: Sequence[str], *, cells: bool
) -> Iterator[Place]:
    """Give the numbers of each place: `test`, means over corruptions, then single corruptions.

    Parameters
    ----------
    board
        The leaderboard's rows of the dataset.
    predictors
        Those to give, by their `KEYS`.
    metrics
        All metrics of the page, in its order.
    cells
        Whether to give single corruptions, too: of these `CELL_METRICS` and `CELL_FIELDS` only.
    """
    numbered = predictors.with_row_index("row")
    joined = board.join(numbered, on=KEYS, how="inner", nulls_equal=True)
    single = (pl.col("split") == "shift") & (pl.col("corruption") != "mean")
    wanted = ~single.fill_null(False)
    if cells:
        wanted = wanted | pl.col("metric").is_in(CELL_METRICS)
    joined = joined.filter(wanted & pl.col("metric").is_in(list(metrics)))
    order = ["split", "corruption", "severity"]
    parts = joined.partition_by(order, as_dict=True)
    for split, corruption, severity in sorted(parts, key=_place_order):
        is_cell = corruption not in (None, "mean")
        part = parts[split, corruption, severity]
        present = set(part["metric"].unique())
        names = [name for name in metrics if name in present]
        fields = CELL_FIELDS if is_cell else FIELDS
        yield Place(
            split,
            corruption,
            severity,
            part["samples"].max(),
            names,
            fields,
            *_arrays(part, names, fields, len(predictors)),
            [] if is_cell else _notes(part, names),
        )


def _place_order(place: tuple) -> tuple:
    split, corruption, severity = place
    return (split != "test", corruption not in (None, "mean"), corruption or "", severity or 0)


def _arrays(
    part: pl.DataFrame, names: Sequence[str], fields: Sequence[str], count: int
) -> tuple[np.ndarray, np.ndarray]:
    rows = part["row"].to_numpy()
    columns = _metric_numbers(part, names)
    values = np.full((len(fields), len(names), count), np.nan)
    for number, field in enumerate(fields):
        values[number, columns, rows] = part[field].cast(pl.Float64).to_numpy()
    gmacs = np.full(count, np.nan)
    gmacs[rows] = part["gmacs"].to_numpy()
    return values, gmacs


def _metric_numbers(part: pl.DataFrame, names: Sequence[str]) -> np.ndarray:
    numbers = {name: number for number, name in enumerate(names)}
    return part["metric"].replace_strict(numbers, return_dtype=pl.Int64).to_numpy()


def _notes(part: pl.DataFrame, names: Sequence[str]) -> list[tuple[int, int, str]]:
    told = part.filter(pl.col("note").is_not_null()).sort("metric", "row")
    return list(zip(_metric_numbers(told, names), told["row"], told["note"], strict=True))
