"""What the figures of Monte-Carlo dropout share: which networks they show, and in which looks."""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from sidekick.leaderboard.figures.look import LOOKS, Look, short_names
from sidekick.leaderboard.figures.rows import Board
from sidekick.leaderboard.recipe_words import recipe_words
from sidekick.recipe_names import MC_DROPOUT, MC_DROPOUT_INT8

MOST_NETWORKS = 2
"""Rows of panels that fit on a page."""

DROPOUT = LOOKS["mc_dropout"]
CONTROL = Look(LOOKS["temperature"].color, "o", "No dropout")
CLOSED = Look(LOOKS["duo"].color, "D", "Closed form")
CLOSED_NAME = "closed"


class Headed(NamedTuple):
    """A model with a head, as one of its recipes made it."""

    model: str
    recipe: str

    def of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Give its rows."""
        return rows.filter(
            (pl.col("predictor") == "mc_dropout")
            & (pl.col("large") == self.model)
            & (pl.col("recipe") == self.recipe)
        )


def headed(board: Board) -> list[Headed]:
    """Give the models with a head, the largest first; in int8 if they were quantised."""
    own = board.test.filter(pl.col("predictor") == "mc_dropout")
    found = []
    for model in board.models:
        recipes = own.filter(pl.col("large") == model)["recipe"].unique().to_list()
        preferred = [recipe for recipe in (MC_DROPOUT_INT8, MC_DROPOUT) if recipe in recipes]
        found += [Headed(model, recipe) for recipe in preferred[:1]]
    return found


def headed_name(board: Board, network: Headed) -> str:
    """Name a network."""
    names = short_names(board.models)
    return f"{names[network.model]} ({recipe_words(network.recipe)})"


def pass_counts(rows: pl.DataFrame) -> list[int]:
    """Give the numbers of passes that there are rules for."""
    found = rows["variant"].str.extract(r"^interval\d+_(\d+)$").drop_nulls().unique()
    return sorted(map(int, found))


def rule_levels(rows: pl.DataFrame) -> list[int]:
    """Give the rule's confidence factors in percent."""
    found = rows["variant"].str.extract(r"^interval(\d+)_").drop_nulls().unique()
    return sorted(map(int, found))


def values(rows: pl.DataFrame, metric: str, variants: Sequence[str]) -> list[float | None]:
    """Give a metric of some variants, None where it is undefined."""
    found = rows.filter((pl.col("metric") == metric) & pl.col("value").is_finite())
    by_variant = dict(found.select("variant", "value").iter_rows())
    return [by_variant.get(variant) for variant in variants]
