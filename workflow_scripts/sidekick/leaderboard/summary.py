"""What the terminal shows at the end of a run."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from sidekick.artifacts import atomic_path

_ROWS = 10
_WIDTH = 80
# Of the column of names: what the numbers leave.
_NAME = 38


def write_summary(board: pl.DataFrame, models: Sequence[str], path: str | Path) -> None:
    """Write the top of the board as text, at most 80 columns wide (but for `path`).

    Parameters
    ----------
    board
        The leaderboard table.
    models
        The models on it.
    path
        The text file to write.
    """
    parts = [_dataset_summary(board, dataset) for dataset in sorted(board["dataset"].unique())]
    seeds = board["seeds"].max()
    head = f"Leaderboard: {len(models)} models, {seeds} seeds, AURC on test (lower is better)"
    folder = Path(path).parent
    tail = (
        f"Table:   {folder / 'leaderboard.parquet'} (wide: leaderboard.csv)\n"
        f"Figures: {folder / 'figures'}\n"
    )
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join([head, "", *parts, tail]), encoding="utf-8")


def _dataset_summary(board: pl.DataFrame, dataset: str) -> str:
    # Controls with knowledge of the labels are on the board, but are nobody's choice.
    aurc = board.filter(
        (pl.col("dataset") == dataset)
        & (pl.col("split") == "test")
        & (pl.col("metric") == "aurc")
        & pl.col("value").is_not_nan()
        & ~pl.col("variant").str.contains("oracle|noise|random")
    ).sort("value", "gmacs", "predictor", "variant", "large", "small")
    accuracy = board.filter((pl.col("split") == "test") & (pl.col("metric") == "accuracy"))
    keys = ["dataset", "predictor", "variant", "large", "small", "recipe"]
    top = aurc.head(_ROWS).join(
        accuracy.select(*keys, pl.col("value").alias("accuracy")),
        on=keys,
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )
    count = f": {len(aurc)} predictors, the best {len(top)}"
    lines = [
        _clip(dataset, _WIDTH - len(count)) + count,
        f"  {'predictor':<{_NAME}}{'MMACs':>9}{'acc':>6}  AURC [95 %]",
    ]
    for row in top.iter_rows(named=True):
        name = f"{row['predictor']} {row['variant']}"
        if row["recipe"] == "distill":
            name += " distilled"
        models = row["large"] if row["small"] is None else f"{row['large']} + {row['small']}"
        numbers = f"{_cost(row['gmacs'] * 1e3):>9}{row['accuracy']:>6.3f}  {_value(row)}"
        if len(f"{name}: {models}") <= _NAME:
            lines.append(f"  {f'{name}: {models}':<{_NAME}}{numbers}")
        else:
            lines.append(f"  {_clip(f'{name}:', _NAME):<{_NAME}}{numbers}")
            lines += textwrap.wrap(models, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines) + "\n"


def _cost(mmacs: float) -> str:
    """Give at most 8 characters below 100 TMACs, two decimals where they matter."""
    return f"{mmacs:.2f}" if mmacs < 10_000 else f"{mmacs:.0f}"


def _value(row: Mapping[str, float]) -> str:
    if not math.isfinite(row["low"]):
        return f"{row['value']:.4f} [no interval]"
    return f"{row['value']:.4f} [{row['low']:.4f}, {row['high']:.4f}]"


def _clip(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
