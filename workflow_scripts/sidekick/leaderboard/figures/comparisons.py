"""Which differences to matched controls the forest plot shows, and what its rows are called."""

import re
from collections.abc import Mapping, Sequence
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
from sidekick.leaderboard.figures.rows import (
    REPRODUCTION,
    UNTUNED,
    Board,
    Predictor,
    main_estimators,
    operating_points,
)
from sidekick.leaderboard.recipe_words import brief_words, is_control, is_gatekeeper
from sidekick.recipe_names import MC_DROPOUT, MC_DROPOUT_INT8

KEY = [*Predictor._fields, "recipe"]
# With their headings, as many rows as fit on a page.
_MOST_LINES = 72
# Others follow in the order of their names.
_VARIANTS = ["weighted", "unweighted", "uq_only", REPRODUCTION, "noise_sidekick"]
# By the baseline's predictor and variant, its numbers left out.
_CONTROLS = {
    "single:raw": "the unscaled model",
    "single:nent": "the gate mean entropy",
    "temperature:scaled": "the temperature-scaled model",
    "cascade:random": "random deferral",
    **dict.fromkeys(("cascade:max_softmax", "cascade:nent"), "the plain cascade"),
    **dict.fromkeys(
        [f"cascade:random_{kind}#" for kind in ("defer", "budget", "target")],
        "random deferral of as many samples",
    ),
    # For the same share to defer, budget or target.
    **dict.fromkeys(
        (
            "cascade:max_softmax_defer#",
            "cascade:max_softmax_budget#",
            "cascade:max_softmax_target#",
        ),
        "the plain cascade chosen alike",
    ),
    **dict.fromkeys(
        [f"cascade:learned_{kind}#" for kind in ("defer", "budget", "target")],
        "the learned gate's cascade chosen alike",
    ),
    "mc_dropout:deterministic": "the same head without dropout",
    **dict.fromkeys(
        [f"mc_dropout:deterministic_at_interval#_{name}" for name in ("#", "closed", "full_#")],
        "no dropout at equal coverage",
    ),
}
# Words for what was left out that imply others.
_IMPLIED = {
    "predictors of the largest model": "pairs with the largest model",
    "the fewest deferrals": "thresholds for a share to defer",
}
_SMALLEST = "the smallest sidekicks"


class Line(NamedTuple):
    """A row of the plot, or a heading, which has no key."""

    text: str
    key: tuple | None


def methods(rows: pl.DataFrame) -> pl.DataFrame:
    """Leave out what is no method and would set the scale: orderings by label or by chance.

    Of MC dropout's many estimators the main ones are left.
    """
    return main_estimators(rows.filter(~pl.col("variant").str.contains("_ordering")))


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
    few = next(iter(operating_points(rows)), "").removeprefix(board.gate)
    has_int8 = (rows["recipe"] == MC_DROPOUT_INT8).any()
    unquantised = [MC_DROPOUT] if has_int8 else []
    steps = (
        ("of Gatekeeper the α chosen on val", ~pl.col("recipe").str.contains(r"gatekeeper_a\d+$")),
        ("of MC dropout quantised networks", ~pl.col("recipe").is_in(unquantised)),
        ("thresholds for a share to defer", ~variant.str.contains("_budget|_target")),
        ("pairs with the largest model", largest | pl.col("small").is_null()),
        ("predictors of the largest model", largest),
        ("weighted duos", (pl.col("predictor") != "duo") | (variant == "weighted")),
        ("the fewest deferrals", ~variant.str.contains("_defer") | variant.str.ends_with(few)),
        ("the gate max softmax", ~variant.str.starts_with("learned")),
    )
    told = []
    for words, kept in steps:
        if _lines(rows) > _MOST_LINES and len(left := rows.filter(kept)) < len(rows):
            rows = left
            told.append(words)
    for narrower, wider in _IMPLIED.items():
        if narrower in told and wider in told:
            told.remove(wider)
    balance = pl.col("flops_balance")
    while _lines(rows) > _MOST_LINES and (most := rows["flops_balance"].max()):
        rows = rows.filter(balance.is_null() | (balance < most))
        told = [word for word in told if word != _SMALLEST] + [_SMALLEST]
    return rows, told


def headed_lines(board: Board, parts: Sequence[pl.DataFrame]) -> list[Line]:
    """Order what the metrics of a block compare under headings that name the control."""
    names = short_names(board.models, 16)
    rows = pl.concat(parts).unique(KEY, maintain_order=True)
    lines: list[Line] = []
    for row in sorted(rows.iter_rows(named=True), key=lambda row: _rank(board, row)):
        heading = _heading(row)
        if all(line.text != heading for line in lines):
            lines.append(Line(heading, None))
        text = ": ".join(filter(None, (_models(names, row), variant_name(row["variant"]))))
        lines.append(Line(text, tuple(row[name] for name in KEY)))
    return lines


def _lines(rows: pl.DataFrame) -> int:
    return len(rows) + len({_heading(row) for row in rows.iter_rows(named=True)})


def _heading(row: dict) -> str:
    return f"{_method(row)} against {_control(row)}"


def _models(names: Mapping[str, str], row: dict) -> str:
    """Name the models of a row, and of their recipe what its heading does not tell."""
    recipe = row["recipe"]
    if not (is_gatekeeper(recipe) or is_control(recipe)):
        return models_name(names, row["large"], row["small"], recipe)
    told = brief_words(recipe) if is_gatekeeper(recipe) else ""
    return ", ".join(filter(None, (models_name(names, row["large"], row["small"]), told)))


def _method(row: dict) -> str:
    name, recipe = method_name(row["predictor"], ""), row["recipe"]
    if is_gatekeeper(recipe):
        return f"Gatekeeper, {in_sentence(name)}"
    if is_control(recipe):
        return f"Cross-entropy control, {in_sentence(name)}"
    # The control's name is that of the same model as fine-tuned.
    is_trained_otherwise = recipe == "distill" and "@" not in row["baseline"]
    return f"Distilled, {in_sentence(name)}" if is_trained_otherwise else name


def _rank(board: Board, row: dict) -> tuple:
    return (
        _place(list(LOOKS), row["predictor"]),
        is_gatekeeper(row["recipe"]) + 2 * is_control(row["recipe"]),
        _control(row),
        _place(board.models, row["large"]),
        row["flops_balance"] or 0.0,
        row["small"] or "",
        row["recipe"],
        _place(_VARIANTS, row["variant"]),
    )


def _place(order: Sequence[str], name: str) -> tuple[int, str]:
    return (order.index(name), "") if name in order else (len(order), name)


def _control(row: dict) -> str:
    predictor, variant, models = row["baseline"].split(":")
    random = variant.startswith("random")
    if not random and is_gatekeeper(row["recipe"]) and is_control(models.partition("@")[2]):
        return "the cross-entropy control"
    if not random and (is_control(row["recipe"]) or row["variant"].endswith(UNTUNED)):
        return "the untuned model"
    kind = re.sub(r"\d+", "#", f"{predictor}:{variant}")
    return _CONTROLS.get(kind) or in_sentence(method_name(predictor, variant))
