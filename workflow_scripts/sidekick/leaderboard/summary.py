"""What the terminal shows at the end of a run."""

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from sidekick.artifacts import atomic_path
from sidekick.leaderboard.headline import first_headline, models_words, verdict
from sidekick.leaderboard.recipe_words import recipes_in_words
from sidekick.recipe_names import TRIAL_ENSEMBLE

_WIDTH = 80
_NAME = 14
_HEAD = f"  {'best of each':<{_NAME}}{'MMACs':>9}{'acc':>7}   {'AURC [interval]':<23}   change"
_KEYS = ["dataset", "predictor", "variant", "large", "small", "recipe"]
# The predictor or its variant says as much.
_TOLD = ("soup_uniform", "soup_greedy", TRIAL_ENSEMBLE, "mc_dropout")


def write_summary(board: pl.DataFrame, models: Sequence[str], path: str | Path) -> None:
    """Write what a person wants first as text, at most 80 columns wide (but for `path`).

    For each dataset: what was compared, the answer in a sentence, and the predictor with the lowest
    AURC of each family, with its expected cost, accuracy, interval and what its difference to the
    matched control comes to.

    Parameters
    ----------
    board
        The leaderboard table.
    models
        The models on it.
    path
        The text file to write.
    """
    datasets = sorted(board["dataset"].unique())
    counts = ", ".join(
        _plural(count, noun)
        for count, noun in (
            (len(models), "model"),
            (len(datasets), "dataset"),
            (board["seeds"].max(), "seed"),
        )
    )
    folder = Path(path).parent
    tail = (
        "AURC on test: lower is better. Change: to the matched control (docs/methods.md),\n"
        "by the interval of the paired difference. The best were read off the test data.\n"
        "\n"
        f"Page:    {folder / 'index.html'}\n"
        f"Figures: {folder / 'figures'}\n"
        f"Tables:  {folder / 'leaderboard.csv'} (all: leaderboard.parquet)\n"
        "Report:  snakemake --report report.html\n"
    )
    parts = [_dataset_summary(board, dataset) for dataset in datasets]
    with atomic_path(path) as temporary:
        text = "\n".join([f"Leaderboard: {counts}", "", *parts, tail])
        temporary.write_text(text, encoding="utf-8")


def _dataset_summary(board: pl.DataFrame, dataset: str) -> str:
    # Controls with knowledge of the labels are on the board, but are nobody's choice; and some
    # predictors are there twice, for a second control.
    test = board.filter(
        (pl.col("dataset") == dataset)
        & (pl.col("split") == "test")
        & pl.col("value").is_not_nan()
        & pl.col("gmacs").is_finite()
        & ~pl.col("variant").str.contains("oracle|noise|random|as_released|_vs_untuned$")
    )
    count = test.filter(pl.col("metric").is_in(["aurc", "accuracy"])).select(_KEYS).n_unique()
    compared = f": {_plural(count, 'predictor')}, {_plural(_samples(test), 'test sample')}"
    lines = [_clip(dataset, _WIDTH - len(compared)) + compared]
    if count:
        indent = {"initial_indent": "  ", "subsequent_indent": "  "}
        lines += textwrap.wrap(_answer(board, dataset), _WIDTH, **indent)
        lines += ["", _HEAD]
        lines += [line for row in _best_of_each(test) for line in _row_lines(row)]
    return "\n".join(lines) + "\n"


def _samples(rows: pl.DataFrame) -> int:
    return rows["samples"].max() or 0


def _answer(board: pl.DataFrame, dataset: str) -> str:
    try:
        return first_headline(board, dataset).sentence
    except ValueError:
        return "No model alone has an AURC to compare with."


def _best_of_each(test: pl.DataFrame) -> list[dict]:
    """Give every family's best predictor by AURC, and by accuracy those of families without."""
    by_aurc = _best(test, "aurc", descending=False)
    others = test.filter(~pl.col("predictor").is_in(by_aurc["predictor"].to_list()))
    by_accuracy = _best(others, "accuracy", descending=True)
    accuracy = test.filter(pl.col("metric") == "accuracy")
    accuracy = accuracy.select(*_KEYS, pl.col("value").alias("accuracy"))
    same = {"on": _KEYS, "how": "left", "nulls_equal": True, "maintain_order": "left"}
    return pl.concat([by_aurc, by_accuracy]).join(accuracy, **same).to_dicts()


def _best(test: pl.DataFrame, metric: str, descending: bool) -> pl.DataFrame:
    keys = ["value", "gmacs", "predictor", "variant", "large", "small", "recipe"]
    rows = test.filter(pl.col("metric") == metric)
    ordered = rows.sort(keys, descending=[descending, *[False] * (len(keys) - 1)])
    return ordered.unique("predictor", keep="first", maintain_order=True)


def _row_lines(row: Mapping) -> Iterator[str]:
    accuracy = math.nan if row["accuracy"] is None else row["accuracy"]
    numbers = f"{_cost(row['gmacs'] * 1e3):>9}{accuracy:>7.3f}   {_value(row):<23}   {_change(row)}"
    yield f"  {_clip(row['predictor'], _NAME):<{_NAME}}{numbers.rstrip()}"
    models = models_words(row["large"], row["small"])
    if row["recipe"] not in _TOLD and (words := recipes_in_words(row["recipe"])):
        models += f" ({words})"
    indent = {"initial_indent": "    ", "subsequent_indent": "    "}
    yield from textwrap.wrap(f"{row['variant']}: {models}", _WIDTH, **indent)


def _change(row: Mapping) -> str:
    if row["baseline"] is None:
        return ""
    return {"none": "unclear"}.get(found := verdict(row), found)


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _cost(mmacs: float) -> str:
    """Give at most 8 characters below 100 TMACs, two decimals where they matter."""
    return f"{mmacs:.2f}" if mmacs < 10_000 else f"{mmacs:.0f}"


def _value(row: Mapping) -> str:
    if row["metric"] != "aurc":
        return "none"
    if not math.isfinite(row["low"]):
        return f"{row['value']:.4f} [no interval]"
    return f"{row['value']:.4f} [{row['low']:.4f}, {row['high']:.4f}]"


def _clip(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
