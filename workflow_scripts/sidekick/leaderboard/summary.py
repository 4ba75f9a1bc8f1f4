"""What the terminal shows at the end of a run."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from sidekick.artifacts import atomic_path

_ROWS = 10
_WIDTH = 80


def write_summary(board: pl.DataFrame, models: Sequence[str], path: str | Path) -> None:
    """Write the top of the board as text, at most 80 columns wide.

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
    ).sort("value", "gmacs", "predictor", "variant")
    accuracy = board.filter((pl.col("split") == "test") & (pl.col("metric") == "accuracy"))
    keys = ["dataset", "predictor", "variant", "large", "small", "recipe"]
    top = aurc.head(_ROWS).join(
        accuracy.select(*keys, pl.col("value").alias("accuracy")), on=keys, nulls_equal=True
    )
    lines = [
        f"{dataset}: {len(aurc)} predictors, the best {len(top)}",
        f"  {'predictor':<43}{'MMACs':>8}{'acc':>7}{'AURC [95 %]':>20}",
    ]
    for row in top.iter_rows(named=True):
        name = f"{row['predictor']} {row['variant']}"
        models = row["large"] if row["small"] is None else f"{row['large']} + {row['small']}"
        value = f"{row['value']:.4f} [{row['low']:.4f}, {row['high']:.4f}]"
        lines.append(f"  {_clip(f'{name}: {models}', 43):<43}")
        lines[-1] += f"{row['gmacs'] * 1e3:>8.2f}{row['accuracy']:>7.3f}{value:>20}"
    return "\n".join(lines) + "\n"


def _clip(text: str, width: int) -> str:
    return text if len(text) < width else text[: width - 2] + "…"
