"""Which differences to matched controls the forest plot shows, and what its rows are called."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from sidekick.leaderboard.figures.look import (
    LOOKS,
    in_sentence,
    method_name,
    models_name,
    short_names,
    variant_name,
)
from sidekick.leaderboard.figures.rows import REPRODUCTION, Board, Predictor, operating_points

KEY = list(Predictor._fields)
_MOST_ROWS = 60
# Others follow in the order of their names.
_VARIANTS = ["weighted", "unweighted", "uq_only", REPRODUCTION, "noise_sidekick"]
# By the baseline's predictor and variant, its numbers left out.
_CONTROLS = {
    "single:raw": "the unscaled model",
    "temperature:scaled": "the temperature-scaled model",
    "cascade:random_defer#": "random deferral of as many samples",
    "cascade:max_softmax_defer#": "the plain cascade of equal cost",
    "mc_dropout:deterministic": "the same head without dropout",
    "mc_dropout:deterministic_at_interval#": "no dropout at equal coverage",
}


class Line(NamedTuple):
    """A row of the plot, or a heading, which has no key."""

    text: str
    key: tuple | None


def methods(rows: pl.DataFrame) -> pl.DataFrame:
    """Leave out orderings by label or by chance: they are no methods and would set the scale."""
    return rows.filter(~pl.col("variant").str.contains("_ordering"))


def fit_page(board: Board, rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Leave out ever more kinds of rows until the rest fits on a page.

    Parameters
    ----------
    board
        Knows which model is the largest.
    rows
        One per comparison.

    Returns
    -------
    DataFrame, list of str
        The rows that are left, and in words what they are; nothing if all are left.
    """
    variant, largest = pl.col("variant"), pl.col("large") == board.models[0]
    few = operating_points(rows)[:1]
    steps = (
        ("pairs with the largest model", largest | pl.col("small").is_null()),
        ("predictors of the largest model", largest),
        ("weighted duos", (pl.col("predictor") != "duo") | (variant == "weighted")),
        ("the fewest deferrals", ~variant.str.contains("_defer") | variant.is_in(few)),
    )
    told = []
    for words, kept in steps:
        if len(rows) > _MOST_ROWS:
            rows = rows.filter(kept)
            told.append(words)
    # The second step implies the first.
    told = told[1:] or told
    balance = pl.col("flops_balance")
    while len(rows) > _MOST_ROWS and (most := rows["flops_balance"].max()):
        rows = rows.filter(balance.is_null() | (balance < most))
        told = [*told[:3], "the smallest sidekicks"]
    return rows, told


def headed_lines(board: Board, parts: Sequence[pl.DataFrame]) -> list[Line]:
    """Order what the metrics of a block compare under headings that name the control."""
    names = short_names(board.models, 16)
    rows = pl.concat(parts).unique(KEY, maintain_order=True)
    lines: list[Line] = []
    for row in sorted(rows.iter_rows(named=True), key=lambda row: _rank(board, row)):
        heading = f"{_method(row)} against {_control(row['baseline'])}"
        if all(line.text != heading for line in lines):
            lines.append(Line(heading, None))
        models = models_name(names, row["large"], row["small"], row["recipe"])
        text = ": ".join(filter(None, (models, variant_name(row["variant"]))))
        lines.append(Line(text, tuple(row[name] for name in KEY)))
    return lines


def _method(row: dict) -> str:
    # The control's name is that of the same model as fine-tuned.
    is_trained_otherwise = row["recipe"] == "distill" and "@" not in row["baseline"]
    name = method_name(row["predictor"], "")
    return f"Distilled, {in_sentence(name)}" if is_trained_otherwise else name


def _rank(board: Board, row: dict) -> tuple:
    return (
        _place(list(LOOKS), row["predictor"]),
        _control(row["baseline"]),
        _place(board.models, row["large"]),
        row["flops_balance"] or 0.0,
        row["small"] or "",
        row["recipe"],
        _place(_VARIANTS, row["variant"]),
    )


def _place(order: Sequence[str], name: str) -> tuple[int, str]:
    return (order.index(name), "") if name in order else (len(order), name)


def _control(baseline: str) -> str:
    predictor, variant, _ = baseline.split(":")
    kind = re.sub(r"\d+", "#", f"{predictor}:{variant}")
    return _CONTROLS.get(kind) or in_sentence(method_name(predictor, variant))
