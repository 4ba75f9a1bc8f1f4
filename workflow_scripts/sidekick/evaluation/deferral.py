"""Metrics over a whole deferral curve, for every seed of a pair."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sidekick.metrics import (
    deferral_ratio,
    evaluate_deferral,
    ideal_curve,
    oracle_curve,
    random_curve,
)

# Budgets, as shares of the large model's cost, at which the joint accuracy is reported.
BUDGETS = (0.25, 0.5, 0.75)
# Below this gap between the two models' accuracies s_d divides by almost nothing.
_STABLE_GAP = 0.03


def deferral_values(
    order: Sequence[np.ndarray],
    small: Sequence[np.ndarray],
    answers: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    costs: tuple[float, float],
    interval: Callable[[np.ndarray], tuple[float, float, float]],
) -> tuple[list[dict[str, np.ndarray]], dict[str, str]]:
    """Score an order of deferral over all deferral ratios.

    Parameters
    ----------
    order
        Per seed (n,): samples with the lowest values are deferred first; ties in equal parts.
    small, answers
        Per seed (n,) scores in [0, 1] of the small model and of what answers deferred samples.
    weights
        Per seed (1 + B, n).
    costs
        GMACs of the small and of the large model.
    interval
        From (S, 1 + B) replicates to value, low and high: decides whether the gap between the
        two models is distinguishable from 0.

    Returns
    -------
    values, notes
        Per seed metric to (1 + B,), and metric to remark. `s_d` is NaN where the paired interval
        of the gap includes 0, for then its denominator may have either sign.
    """
    small_cost, large_cost = costs
    ratios = [deferral_ratio(share * large_cost, small_cost, large_cost) for share in BUDGETS]
    scored = [
        evaluate_deferral(*part, ratios)
        for part in zip(order, small, answers, weights, strict=True)
    ]
    names = [f"accuracy_budget_{round(100 * share)}" for share in BUDGETS]
    notes = {
        name: "the budget is below the small model's own cost"
        for name, ratio in zip(names, ratios, strict=True)
        if np.isnan(ratio)
    }
    gap, low, high = interval(np.stack([seed.gap for seed in scored]))
    defined = low > 0 or high < 0
    if not defined:
        notes["s_d"] = f"the models' accuracies do not differ ({gap:+.3f} [{low:.3f}, {high:.3f}])"
    elif any(np.isnan(seed.s_d[0]) for seed in scored):
        notes["s_d"] = "undefined for a seed: the small model is never right, or the gap is 0"
    elif abs(gap) < _STABLE_GAP:
        notes["s_d"] = f"unstable: the models' accuracies differ by only {gap:+.3f}"
    values = [
        {
            "s_d": seed.s_d if defined else np.full_like(seed.s_d, np.nan),
            "deferral_area": seed.deferral_area,
            "deferral_gain_area": seed.deferral_gain_area,
            **dict(zip(names, seed.accuracy_at, strict=True)),
        }
        for seed in scored
    ]
    return values, notes


def reference_lines(
    small: np.ndarray, large: np.ndarray, ratios: np.ndarray
) -> Mapping[str, np.ndarray]:
    """Give the lines that a deferral curve is read against, at the given deferral ratios.

    Parameters
    ----------
    small, large
        (n,) scores in [0, 1].
    ratios
        (G,).

    Returns
    -------
    Mapping
        `random`, `ideal` (Eq. 11 of the Gatekeeper paper, no upper bound) and `oracle` (the true
        upper bound) to (G,) joint accuracies.
    """
    means = small.mean(), large.mean()
    corners = {
        "random": random_curve(*means),
        "ideal": ideal_curve(*means),
        "oracle": oracle_curve(small, large),
    }
    return {name: np.interp(ratios, *curve) for name, curve in corners.items()}
