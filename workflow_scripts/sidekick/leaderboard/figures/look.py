"""How predictors and metrics look and what they are called: the same in all figures."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import seaborn

from sidekick.leaderboard.figures.rows import CONTROLS
from sidekick.metrics.registry import METRICS

_COLORS = seaborn.color_palette("colorblind").as_hex()


@dataclass(frozen=True)
class Look:
    """Colour, marker and name of a family of predictors."""

    color: str
    marker: str
    name: str


LOOKS = {
    "single": Look(_COLORS[9], "o", "Single"),
    "temperature": Look(_COLORS[0], "s", "Temperature"),
    "ensemble": Look(_COLORS[2], "^", "Ensemble"),
    "duo": Look(_COLORS[3], "D", "Duo"),
    "cascade": Look(_COLORS[4], "v", "Cascade"),
    "duo_cascade": Look(_COLORS[1], "P", "Duo cascade"),
    "mc_dropout": Look("#5b3a1e", "X", "MC dropout"),
    "control": Look(_COLORS[7], "h", "Control"),
}
"""Colours from seaborn's colour-blind palette; the markers tell the families apart without."""

_UNKNOWN = Look("#333333", "*", "Other")

# The first pattern that matches a whole variant names it.
_VARIANTS = (
    (r"raw|mean_softmax|max_softmax", ""),
    (r"scaled", ""),
    (r"uq_only", "UQ only"),
    (r"weighted_as_released", "weighted, as released"),
    (r"noise_sidekick", "noise sidekick (control)"),
    (r"max_softmax_defer(\d+)", r"defers \1 %"),
    (r"random_defer(\d+)", r"defers \1 % at random"),
    (r"deterministic", "no dropout"),
    (r"mean_(\d+)", r"mean of \1 passes"),
    (r"interval(\d+)_(\d+)", r"\1 % interval, \2 passes"),
)

_SHARES = re.compile(r"accuracy|macro_f1|coverage|selective_accuracy|sac_\d+|accuracy_budget_\d+")


def look_of(predictor: str, variant: str = "") -> Look:
    """Give the look of a predictor; controls are grey whatever they control."""
    if re.search(CONTROLS, variant):
        return LOOKS["control"]
    return LOOKS.get(predictor, _UNKNOWN)


def variant_name(variant: str) -> str:
    """Give a variant in words; empty for the obvious one."""
    for pattern, words in _VARIANTS:
        match = re.fullmatch(pattern, variant)
        if match:
            return match.expand(words)
    return variant.replace("_", " ")


def method_name(predictor: str, variant: str) -> str:
    """Give a predictor and its variant in words."""
    family = LOOKS[predictor].name if predictor in LOOKS else predictor.replace("_", " ")
    return ", ".join(filter(None, (family, variant_name(variant))))


def short_names(models: Iterable[str], width: int = 18) -> dict[str, str]:
    """Shorten long names in the middle, none so much that two become the same."""
    names = sorted(set(models))
    short = {name: _shorten(name, width) for name in names}
    if len(set(short.values())) < len(names):
        return short_names(names, width + 2)
    return short


def _shorten(name: str, width: int) -> str:
    if len(name) <= width:
        return name
    head = width // 2
    return f"{name[:head]}…{name[len(name) - (width - head - 1) :]}"


def models_name(names: dict[str, str], large: str, small: str | None) -> str:
    """Name the models of a predictor."""
    return names[large] if small is None else f"{names[large]} + {names[small]}"


def scale(metric: str) -> float:
    """Give the factor to the unit of the axis: shares are shown in percent."""
    return 100.0 if _SHARES.fullmatch(metric) else 1.0


def axis_label(metric: str) -> str:
    """Label an axis with a metric."""
    return METRICS[metric].label + (" (%)" if scale(metric) == 100 else "")


def change_label(metric: str) -> str:
    """Label an axis with a change of a metric, which for shares is in percentage points."""
    return METRICS[metric].label + (" (percentage points)" if scale(metric) == 100 else "")


def plural(count: int, noun: str) -> str:
    """Count things."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def listed(parts: Iterable[str]) -> str:
    """Join words as in a sentence."""
    parts = list(parts)
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
