"""How predictors and metrics look and what they are called: the same in all figures."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import seaborn

from sidekick.leaderboard.figures.rows import CONTROLS, UNTUNED
from sidekick.leaderboard.recipe_words import recipe_words
from sidekick.metrics.registry import METRICS
from sidekick.recipe_names import TRIAL_ENSEMBLE, is_base

_COLORS = seaborn.color_palette("colorblind").as_hex()


@dataclass(frozen=True)
class Look:
    """Colour, marker and name of a family of predictors."""

    color: str
    marker: str
    name: str


LOOKS = {
    "single": Look(_COLORS[9], "o", "Single"),
    "temperature": Look(_COLORS[0], "s", "Temperature-scaled"),
    "ensemble": Look(_COLORS[2], "^", "Ensemble"),
    "soup": Look(_COLORS[6], "p", "Soup"),
    "duo": Look(_COLORS[3], "D", "Duo"),
    "cascade": Look(_COLORS[4], "v", "Cascade"),
    "duo_cascade": Look(_COLORS[1], "P", "Duo cascade"),
    "mc_dropout": Look("#5b3a1e", "X", "MC dropout"),
    "control": Look(_COLORS[7], "h", "Control"),
}
"""Colours from seaborn's colour-blind palette; the markers tell the families apart without."""

_UNKNOWN = Look("#333333", "*", "Other")

# The first pattern that matches a whole variant names it. That of a second comparison, with the
# untuned model, is named as the first: its control is told beside it.
_VARIANTS = (
    (r"raw|mean_softmax|max_softmax|nent", ""),
    (r"scaled", ""),
    (r"best_trials", "best trials"),
    (r"best_trials_scaled", "best trials, scaled"),
    (r"uq_only", "UQ only"),
    (r"weighted_(\d+)_sidekicks", r"\1 sidekicks"),
    (r"weighted_as_released", "weighted, as released"),
    (r"noise_sidekick", "noise sidekick (control)"),
    (r"(?:max_softmax|nent)_defer(\d+)", r"defers \1 %"),
    (r"(?:max_softmax|nent)_budget(\d+)", r"budget \1 %"),
    (r"(?:max_softmax|nent)_target(\d+)", r"target \1 %"),
    (r"stages_budget(\d+)", r"three stages, budget \1 %"),
    (r"random_defer(\d+)", r"defers \1 % at random"),
    (r"random_budget(\d+)", r"budget \1 %, at random"),
    (r"random_target(\d+)", r"target \1 %, at random"),
    (r"learned_defer(\d+)", r"learned gate, defers \1 %"),
    (r"learned_budget(\d+)", r"learned gate, budget \1 %"),
    (r"learned_target(\d+)", r"learned gate, target \1 %"),
    (r"(learned|margin|entropy)", r"\1 gate"),
    (r"(max_softmax|margin|entropy)_scaled", r"temperature-scaled \1 gate"),
    (r"max_logit_pnorm", "max-logit gate"),
    (r"mean_logprob", "gate mean log p"),
    (r"sum_logprob", "gate sum of log p"),
    (r"logprob_q00", "gate lowest log p"),
    (r"logprob_q(\d+)", r"gate \1 % quantile of log p"),
    (r"brevity", "gate shortness"),
    (r"deterministic", "no dropout"),
    (r"deterministic_normalised", "no dropout, normalised"),
    (r"deterministic_at_(interval.*)", "no dropout, as much kept"),
    (r"mean_full_(\d+)", r"mean of \1 whole passes"),
    (r"score_full_(\d+)", r"interval score, \1 whole passes"),
    (r"interval(\d+)_full_(\d+)", r"\1 % interval, \2 whole passes"),
    (
        r"(.*_entropy|mutual_information|variation_ratio)_full_(\d+)",
        r"\1, \2 whole passes",
    ),
    (r"mean_(\d+)", r"mean of \1 passes"),
    (r"mean_closed", "mean, closed form"),
    (r"score_(\d+)", r"interval score, \1 passes"),
    (r"score_closed", "interval score, closed form"),
    (r"interval(\d+)_(\d+)", r"\1 % interval, \2 passes"),
    (r"interval(\d+)_closed", r"\1 % interval, closed form"),
    (r"(.*_entropy|mutual_information|variation_ratio)_(\d+)", r"\1, \2 passes"),
)

# The predictor or its variant says as much.
_TOLD_RECIPES = ("", "mc_dropout", "soup_uniform", "soup_greedy", TRIAL_ENSEMBLE)
_SHARES = re.compile(
    r"accuracy|macro_f1|ece|coverage|selective_accuracy|kept_\w+|misclassified_ignored"
    r"|false_ignore_rate|sac_\d+|accuracy_budget_\d+"
    r"|deferral_area|deferral_gain_area|accuracy_flexible|truncated"
)


def look_of(predictor: str, variant: str = "") -> Look:
    """Give the look of a predictor; controls are grey whatever they control."""
    if re.search(CONTROLS, variant):
        return LOOKS["control"]
    return LOOKS.get(predictor, _UNKNOWN)


def variant_name(variant: str) -> str:
    """Give a variant in words; empty for the obvious one."""
    variant = variant.removesuffix(UNTUNED)
    for pattern, words in _VARIANTS:
        match = re.fullmatch(pattern, variant)
        if match:
            return match.expand(words).replace("_", " ")
    return variant.replace("_", " ")


def method_name(predictor: str, variant: str) -> str:
    """Give a predictor and its variant in words."""
    if variant.endswith("_ordering"):
        return variant.replace("_", " ").capitalize()
    family = LOOKS[predictor].name if predictor in LOOKS else predictor.replace("_", " ")
    return ", ".join(filter(None, (family, variant_name(variant))))


def short_names(models: Iterable[str], width: int = 18) -> dict[str, str]:
    """Shorten long names in the middle; those that then look alike get numbers."""
    short: dict[str, str] = {}
    for name in sorted(set(models)):
        cut, number = _shorten(name, width), 2
        while cut in short.values():
            cut = f"{_shorten(name, width - 2)}~{number}"
            number += 1
        short[name] = cut
    return short


def _shorten(name: str, width: int) -> str:
    head = width // 2
    tail = width - head - 1
    return name if len(name) <= width else f"{name[:head]}…{name[-tail:]}"


def models_name(names: Mapping[str, str], large: str, small: str | None, recipe: str = "") -> str:
    """Name the models of a predictor, each with its recipe unless that is the usual one."""
    sidekicks = [] if small is None else small.split("+")
    models = [names[model] for model in (large, *sidekicks)]
    # A soup beside a soup is not told by the predictor.
    is_told = recipe in _TOLD_RECIPES and (small is None or not recipe)
    if is_told or is_base(recipe):
        return " + ".join(models)
    recipes = recipe.split("+")
    if len(recipes) < len(models):
        return f"{' + '.join(models)} (both {recipe_words(recipe)})"
    return " + ".join(
        model if is_base(own) else f"{model} ({recipe_words(own)})"
        for model, own in zip(models, recipes, strict=True)
    )


def scale(metric: str) -> float:
    """Give the factor to the unit of the axis: shares are shown in percent."""
    return 100.0 if _SHARES.fullmatch(metric) else 1.0


def axis_label(metric: str) -> str:
    """Label an axis with a metric."""
    return METRICS[metric].label + (" (%)" if scale(metric) == 100 else "")


def change_unit(metric: str) -> str:
    """Give the unit of a change of a metric in brackets; empty if it has none."""
    if scale(metric) == 100:
        return " (percentage points)"
    _, bracket, unit = METRICS[metric].label.partition(" (")
    return bracket + unit


def metric_word(metric: str) -> str:
    """Give a metric's name as in a sentence."""
    return in_sentence(METRICS[metric].label.partition(" (")[0])


def in_sentence(name: str) -> str:
    """Start a name in lower case, unless it is an abbreviation."""
    return name if name[:2].isupper() else name[0].lower() + name[1:]


def plain_interval(value: float, low: float, high: float) -> str:
    """Write a difference and its interval with as many digits as two of the value's take."""
    digits = max(0, 1 - math.floor(math.log10(abs(value)))) if value else 2
    words = f"{value:+.{digits}f}"
    if math.isfinite(low) and math.isfinite(high):
        words += f" [{low:+.{digits}f}, {high:+.{digits}f}]"
    return words.replace("-", "\N{MINUS SIGN}")


def plural(count: int, noun: str) -> str:
    """Count things."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def listed(parts: Iterable[str]) -> str:
    """Join words as in a sentence."""
    parts = list(parts)
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
