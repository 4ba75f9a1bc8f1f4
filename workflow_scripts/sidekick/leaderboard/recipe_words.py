"""What recipes are called in figures and in the summary; no more than names, so it imports fast."""

import re

from sidekick.recipe_names import (
    BASE_RECIPES,
    CE_CONTROL,
    GATEKEEPER_CHOSEN,
    HEDGE,
    MC_DROPOUT,
    MC_DROPOUT_INT8,
    TRIAL_ENSEMBLE,
)

_WORDS = {
    "distill": "distilled",
    "soup_uniform": "uniform soup",
    "soup_greedy": "greedy soup",
    TRIAL_ENSEMBLE: "best trials",
    MC_DROPOUT: "float32",
    MC_DROPOUT_INT8: "int8",
    CE_CONTROL: "cross-entropy control",
    GATEKEEPER_CHOSEN: "Gatekeeper, α chosen on val",
    f"{HEDGE}low_confidence": "asked for low confidence",
    f"{HEDGE}n": "asked for an N",
}


def alpha_of(recipe: str) -> float | None:
    """Give the alpha of a Gatekeeper recipe, of a pair that of its small model."""
    found = re.search(r"(?:^|\+)gatekeeper_a(\d+)$", recipe)
    return int(found[1]) / 100 if found else None


def is_gatekeeper(recipe: str) -> bool:
    """Tell the alphas of a sweep, and the one that was chosen, from other recipes."""
    return alpha_of(recipe) is not None or recipe.split("+")[-1] == GATEKEEPER_CHOSEN


def is_control(recipe: str) -> bool:
    """Tell the control of a sweep from other recipes."""
    return recipe.split("+")[-1] == CE_CONTROL


def recipe_words(recipe: str) -> str:
    """Give one model's recipe in words."""
    alpha = alpha_of(recipe)
    if alpha is not None:
        return f"Gatekeeper α {alpha:g}"
    return _WORDS.get(recipe, recipe.replace("_", " "))


def brief_words(recipe: str) -> str:
    """Give in very few words which of a sweep's recipes it is; empty if it is none."""
    alpha = alpha_of(recipe)
    if alpha is not None:
        return f"α {alpha:g}"
    return {CE_CONTROL: "CE control", GATEKEEPER_CHOSEN: "α chosen"}.get(recipe.split("+")[-1], "")


def recipes_in_words(recipe: str) -> str:
    """Give what is unusual about a predictor's recipe in words; empty if nothing is."""
    large, _, small = recipe.partition("+")
    told = [recipe_words(part) for part in (large, small) if part and part not in BASE_RECIPES]
    return " + ".join(told)
