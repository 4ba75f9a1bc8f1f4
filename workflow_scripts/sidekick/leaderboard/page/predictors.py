"""What the page says of each predictor beside its numbers."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from sidekick.leaderboard.figures.look import LOOKS, look_of, method_name, models_name
from sidekick.leaderboard.figures.rows import CONTROLS, REPRODUCTION, UNTUNED
from sidekick.leaderboard.page.payload import Words
from sidekick.leaderboard.page.selection import KEYS
from sidekick.leaderboard.recipe_words import alpha_of
from sidekick.recipe_names import is_base

# Of matplotlib's markers the nearest of Vega's shapes.
_SHAPES = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "p": "stroke",
    "D": "diamond",
    "v": "triangle-down",
    "P": "cross",
    "X": "M-1,-.6L-.6,-1L0,-.4L.6,-1L1,-.6L.4,0L1,.6L.6,1L0,.4L-.6,1L-1,.6L-.4,0Z",
    "h": "triangle-right",
}


def families() -> dict[str, dict[str, str]]:
    """Give name, colour and shape of each family of predictors, as in the figures."""
    return {
        family: {"name": look.name, "color": look.color, "shape": _SHAPES[look.marker]}
        for family, look in LOOKS.items()
    }


def describe(board: pl.DataFrame, predictors: pl.DataFrame) -> dict[str, Any]:
    """Describe predictors column by column, with texts by number.

    Parameters
    ----------
    board
        The leaderboard's rows of the dataset.
    predictors
        Those to describe, by their `KEYS`, in this order.

    Returns
    -------
    dict
        `texts`; columns of numbers of texts: `family`, `look` (the family, or `control`),
        `method`, `models`, `large`, `small`, `recipe`, `variant`, `key` (as in the column
        `baseline` of the board) and `control` (the matched control's key); `baseline` (the
        control's row, -1 if it is not among these); and `balance`, `seeds`, `alpha` and `kind`
        (0: to be used; 1: a control or a reproduction; 2: a row that is there for a second
        comparison).
    """
    facts = board.group_by(KEYS).agg(
        pl.col("baseline").drop_nulls().first(),
        pl.col("flops_balance").drop_nulls().first(),
        pl.col("seeds").max(),
    )
    rows = predictors.join(
        facts, on=KEYS, how="left", nulls_equal=True, maintain_order="left"
    ).rows(named=True)
    words, keys = Words(), [key_of(row) for row in rows]
    numbers = {key: number for number, key in enumerate(keys)}
    names = _Names(rows)
    columns = {
        "family": [words.number(row["predictor"]) for row in rows],
        "look": [words.number(_look(row)) for row in rows],
        "method": [words.number(_method(row)) for row in rows],
        "models": [words.number(names.of(row)) for row in rows],
        "large": [words.number(row["large"]) for row in rows],
        "small": [words.number(row["small"]) for row in rows],
        "recipe": [words.number(row["recipe"]) for row in rows],
        "variant": [words.number(row["variant"]) for row in rows],
        "key": [words.number(key) for key in keys],
        "control": [words.number(row["baseline"]) for row in rows],
    }
    return {
        **columns,
        "texts": words.texts,
        "baseline": [numbers.get(row["baseline"], -1) for row in rows],
        "balance": [_or_nan(row["flops_balance"]) for row in rows],
        "seeds": [row["seeds"] for row in rows],
        "alpha": [alpha_of(row["recipe"]) for row in rows],
        "kind": [_kind(row["variant"]) for row in rows],
    }


def key_of(row: Mapping[str, Any]) -> str:
    """Name a predictor as the column `baseline` of the board does."""
    models = row["large"] if row["small"] is None else f"{row['large']}+{row['small']}"
    recipe = "" if is_base(row["recipe"]) else f"@{row['recipe']}"
    return f"{row['predictor']}:{row['variant']}:{models}{recipe}"


class _Names:
    """Names models in full: the page has room to break lines."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        models = {row["large"] for row in rows}
        for row in rows:
            models |= set((row["small"] or row["large"]).split("+"))
        self._same = {model: model for model in models}

    def of(self, row: Mapping[str, Any]) -> str:
        return models_name(self._same, row["large"], row["small"], row["recipe"])


def _look(row: Mapping[str, Any]) -> str:
    look = look_of(row["predictor"], row["variant"])
    return next((name for name, own in LOOKS.items() if own == look), "control")


def _method(row: Mapping[str, Any]) -> str:
    name = method_name(row["predictor"], row["variant"])
    if row["recipe"] in ("mc_dropout", "mc_dropout_int8"):
        name += ", int8" if row["recipe"] == "mc_dropout_int8" else ", float32"
    return f"{name}, beside the untuned" if row["variant"].endswith(UNTUNED) else name


def _kind(variant: str) -> int:
    if variant.endswith(UNTUNED):
        return 2
    return int(bool(re.search(CONTROLS, variant)) or variant == REPRODUCTION or _rival(variant))


def _rival(variant: str) -> bool:
    """Tell the networks without dropout that keep as many samples as a rule."""
    return variant.startswith("deterministic_at_")


def _or_nan(number: float | None) -> float:
    return math.nan if number is None else number
