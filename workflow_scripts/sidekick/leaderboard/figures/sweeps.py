"""The Gatekeeper sweeps on a board: which rows and points belong to which recipe."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from sidekick.leaderboard.figures.look import Look, listed, plural, short_names
from sidekick.leaderboard.figures.rows import UNTUNED, Board, Predictor, pick_made, verdicts
from sidekick.leaderboard.recipe_words import alpha_of, brief_words, recipe_words
from sidekick.recipe_names import BASE_RECIPES, CE_CONTROL, GATEKEEPER_CHOSEN

MOST_SWEEPS = 3
"""As many as fit on a page."""

START_LOOK = Look("#222222", "o", "Untuned: where the sweep started")
CONTROL_LOOK = Look("#8c564b", "s", "Cross-entropy control of as many steps")
ALPHA_LOOK = Look("#0173b2", "D", "Gatekeeper")
CHOSEN_LOOK = Look("#cc3311", "*", "Gatekeeper, α chosen on val")


class Sweep(NamedTuple):
    """What Gatekeeper made of one small model.

    Attributes
    ----------
    large, small
        The models of its cascades.
    base, start
        The large model's recipe, and the small one's that the sweep started from.
    alphas
        Recipe to alpha, the smallest first.
    has_chosen
        Whether an alpha was chosen.
    plain, gate
        The variants of a model alone and of a cascade.
    """

    large: str
    small: str
    base: str
    start: str
    alphas: Mapping[str, float]
    has_chosen: bool
    plain: str
    gate: str

    @property
    def recipes(self) -> list[str]:
        """All recipes: the start, the control, the alphas and the chosen one."""
        chosen = [GATEKEEPER_CHOSEN] if self.has_chosen else []
        return [self.start, CE_CONTROL, *self.alphas, *chosen]

    def alone(self, rows: pl.DataFrame, recipe: str, variant: str | None = None) -> pl.DataFrame:
        """Give the rows, or points of curves, of the small model as a recipe made it."""
        return pick_made(rows, Predictor("single", variant or self.plain, self.small), recipe)

    def paired(
        self,
        rows: pl.DataFrame,
        recipe: str,
        variant: str | None = None,
        predictor: str = "cascade",
    ) -> pl.DataFrame:
        """Give the rows, or points, of a cascade from it to the large model."""
        both = recipe if recipe == self.base else f"{self.base}+{recipe}"
        variant = variant or self.gate
        return pick_made(rows, Predictor(predictor, variant, self.large, self.small), both)


def sweeps(board: Board) -> list[Sweep]:
    """Find the sweeps on a board, that of the smallest FLOPs balance first."""
    rows = board.test.filter(
        (pl.col("predictor") == "cascade")
        & (pl.col("variant") == board.gate)
        & pl.col("recipe").str.ends_with(f"+{CE_CONTROL}")
    )
    columns = ["flops_balance", "large", "small", "recipe"]
    found = rows.select(columns).unique().sort(columns)
    return [_sweep(board, *row) for row in found.drop("flops_balance").iter_rows()]


def _sweep(board: Board, large: str, small: str, recipe: str) -> Sweep:
    base = recipe.removesuffix(f"+{CE_CONTROL}")
    alone = board.test.filter((pl.col("predictor") == "single") & (pl.col("large") == small))
    recipes = alone["recipe"].unique().to_list()
    alphas = {name: alpha for name in recipes if (alpha := alpha_of(name)) is not None}
    baselines = alone.filter(pl.col("recipe") == CE_CONTROL)["baseline"].drop_nulls()
    # The label of a base recipe does not name it.
    _, _, start = (baselines[0] if len(baselines) else "").partition("@")
    if not start:
        start = next((name for name in BASE_RECIPES if name in recipes), BASE_RECIPES[0])
    ordered = dict(sorted(alphas.items(), key=lambda item: item[1]))
    has_chosen = GATEKEEPER_CHOSEN in recipes
    return Sweep(large, small, base, start, ordered, has_chosen, board.plain, board.gate)


def sweep_name(board: Board, sweep: Sweep) -> str:
    """Name the models of a sweep."""
    names = short_names(board.models, 24)
    start = "" if sweep.start in BASE_RECIPES else f" ({recipe_words(sweep.start)})"
    return f"{names[sweep.small]}{start} → {names[sweep.large]}"


def sweep_head(board: Board, sweep: Sweep) -> str:
    """Name the models of a sweep above a panel."""
    names = short_names(board.models, 13)
    return f"{names[sweep.small]} → {names[sweep.large]}"


def against_control(board: Board, found: Sequence[Sweep], metric: str) -> list[str]:
    """Judge every alpha of some sweeps against the control, on the test data.

    A metric of whole curves is that of the cascade, any other that of the small model alone.
    """
    return _judged(board, found, metric, "")


def against_untuned(board: Board, found: Sequence[Sweep], metric: str) -> list[str]:
    """Judge every alpha of some sweeps against the model that it started from."""
    return _judged(board, found, metric, UNTUNED)


def _judged(board: Board, found: Sequence[Sweep], metric: str, suffix: str) -> list[str]:
    rows = board.compared(metric)
    told: list[str] = []
    for sweep in found:
        for recipe in sweep.alphas:
            alone = sweep.alone(rows, recipe, f"{sweep.plain}{suffix}")
            paired = sweep.paired(rows, recipe, f"{sweep.gate}{suffix}")
            told += verdicts(pl.concat([alone, paired]))
    return told


def collapsed(board: Board, sweep: Sweep) -> list[str]:
    """Name the recipes of a sweep whose network collapsed in some seed."""
    noted = board.test.filter(pl.col("note").str.contains("collapsed"))
    return [recipe for recipe in sweep.recipes if len(sweep.alone(noted, recipe))]


def collapse_note(board: Board, found: Sequence[Sweep]) -> str:
    """Say in a sentence which networks collapsed; empty if none did."""
    told = [recipe_words(recipe) for sweep in found for recipe in collapsed(board, sweep)]
    return f"Collapsed, by val, in some seed: {listed(told)}." if told else ""


def choice_note(board: Board, found: Sequence[Sweep]) -> str:
    """Say in a sentence which alphas were chosen on `val`, and by how many seeds."""
    told = []
    for sweep in found:
        notes = sweep.paired(board.fits, GATEKEEPER_CHOSEN)["note"].drop_nulls()
        chosen = Counter(m[1] for note in notes if (m := re.match(r"chose (\w+)", note)))
        counts = [f"{brief_words(recipe)} ({count})" for recipe, count in sorted(chosen.items())]
        if counts:
            name = f" of {sweep_name(board, sweep)}" if len(found) > 1 else ""
            told.append(f"{listed(counts)} of {plural(len(notes), 'seed')}{name}")
    return f"Chosen by the area on val: {'; '.join(told)}." if told else ""
