"""What the terminal shows at the end of a run."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from sidekick.artifacts import atomic_path
from sidekick.leaderboard.recipe_words import recipes_in_words
from sidekick.recipe_names import TRIAL_ENSEMBLE

_ROWS = 10
_WIDTH = 80
# Of the column of names: what the numbers leave.
_NAME = 38
# The predictor or its variant says as much.
_TOLD = ("soup_uniform", "soup_greedy", TRIAL_ENSEMBLE, "mc_dropout")


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
    counts = f"{_plural(len(models), 'model')}, {_plural(seeds, 'seed')}"
    head = f"Leaderboard: {counts}, AURC on test (lower is better)"
    folder = Path(path).parent
    tail = (
        f"Table:   {folder / 'leaderboard.parquet'} (wide: leaderboard.csv)\n"
        f"Figures: {folder / 'figures'}\n"
    )
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join([head, "", *parts, tail]), encoding="utf-8")


def _dataset_summary(board: pl.DataFrame, dataset: str) -> str:
    # Controls with knowledge of the labels are on the board, but are nobody's choice; and some
    # predictors are there twice, for a second control.
    aurc = board.filter(
        (pl.col("dataset") == dataset)
        & (pl.col("split") == "test")
        & (pl.col("metric") == "aurc")
        & pl.col("value").is_not_nan()
        & ~pl.col("variant").str.contains("oracle|noise|random|_vs_untuned$")
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
    count = f": {_plural(len(aurc), 'predictor')}, the best {len(top)}"
    lines = [
        _clip(dataset, _WIDTH - len(count)) + count,
        f"  {'predictor':<{_NAME}}{'MMACs':>9}{'acc':>6}  AURC [95 %]",
    ]
    for row in top.iter_rows(named=True):
        name = f"{row['predictor']} {row['variant']}"
        models = row["large"] if row["small"] is None else f"{row['large']} + {row['small']}"
        if row["recipe"] not in _TOLD and (words := recipes_in_words(row["recipe"])):
            models += f" ({words})"
        numbers = f"{_cost(row['gmacs'] * 1e3):>9}{row['accuracy']:>6.3f}  {_value(row)}"
        if len(f"{name}: {models}") <= _NAME:
            lines.append(f"  {f'{name}: {models}':<{_NAME}}{numbers}")
        else:
            lines.append(f"  {_clip(f'{name}:', _NAME):<{_NAME}}{numbers}")
            lines += textwrap.wrap(models, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines) + "\n"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _cost(mmacs: float) -> str:
    """Give at most 8 characters below 100 TMACs, two decimals where they matter."""
    return f"{mmacs:.2f}" if mmacs < 10_000 else f"{mmacs:.0f}"


def _value(row: Mapping[str, float]) -> str:
    if not math.isfinite(row["low"]):
        return f"{row['value']:.4f} [no interval]"
    return f"{row['value']:.4f} [{row['low']:.4f}, {row['high']:.4f}]"


def _clip(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
