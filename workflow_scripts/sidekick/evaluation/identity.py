"""What predictors on the board are called, and which of a model's recipes they are made of."""

from collections.abc import Iterable
from typing import NamedTuple

from sidekick.recipe_names import BASE_RECIPES, TRIAL_ENSEMBLE, is_base


class Identity(NamedTuple):
    """What names a predictor on the board."""

    predictor: str
    variant: str
    large: str
    small: str | None
    recipe: str

    @property
    def label(self) -> str:
        """A name for the `baseline` column: `predictor:variant:large+small`.

        A recipe other than the base one follows behind an `@`.
        """
        models = self.large if self.small is None else f"{self.large}+{self.small}"
        recipe = "" if is_base(self.recipe) else f"@{self.recipe}"
        return f"{self.predictor}:{self.variant}:{models}{recipe}"


class Member(NamedTuple):
    """A model as one of its recipes made it: one of the two in a pair."""

    model: str
    recipe: str


def base_recipe(recipes: Iterable[str]) -> str:
    """Find the base recipe among those of a model."""
    return next(recipe for recipe in recipes if recipe in BASE_RECIPES)


def joined_recipe(large: str, small: str) -> str:
    """Name the recipe of a pair: `large+small`, or the one that both share."""
    return large if large == small else f"{large}+{small}"


def raw(member: Member) -> Identity:
    """Name a model as it comes."""
    model, recipe = member
    if recipe == TRIAL_ENSEMBLE:
        return Identity("ensemble", "best_trials", model, None, recipe)
    return Identity("single", "raw", model, None, recipe)


def scaled(member: Member) -> Identity:
    """Name a temperature-scaled model: the matched control of whatever is built on it."""
    model, recipe = member
    if recipe == TRIAL_ENSEMBLE:
        return Identity("ensemble", "best_trials_scaled", model, None, recipe)
    if recipe.startswith("soup_"):
        return Identity("soup", recipe.removeprefix("soup_"), model, None, recipe)
    return Identity("temperature", "scaled", model, None, recipe)
