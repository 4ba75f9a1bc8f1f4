"""What a deferral cascade gains: replicates of its areas, s_d and accuracy at fixed cost.

The small model answers the samples it is surest of, the large one the rest. ``d = large - small``
is what a sample gains when it is deferred; the joint accuracy at a deferral ratio is the small
model's mean score plus the summed gains of the deferred samples over n.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sidekick.errors import SidekickError
from sidekick.metrics.deferral_gains import check_scores, deferral_gains
from sidekick.metrics.ties import TieGroups, tie_groups
from sidekick.metrics.weighting import check_weights, ratio, weighted_mean

# A gap of two means of scores in [0, 1] that is smaller than this is rounding, and s_d would be the
# quotient of two rounding errors.
_NO_GAP = 1e-12


@dataclass(frozen=True)
class DeferralReplicates:
    """What :func:`evaluate_deferral` returns: float64 arrays, one entry per replicate.

    Parameters
    ----------
    small_score, large_score : ndarray, shape (B,)
        p_s and p_l, the mean scores of the two models.
    gap : ndarray, shape (B,)
        p_l - p_s. Whether its paired interval includes 0, which makes ``s_d`` meaningless, is for
        the caller to decide.
    deferral_gain_area : ndarray, shape (B,)
        A_perf, the area between the deferral curve and random deferral.
    deferral_area : ndarray, shape (B,)
        Area under the deferral curve, (p_s + p_l)/2 + A_perf.
    oracle_area : ndarray, shape (B,)
        Area under :func:`~sidekick.metrics.deferral_curves.oracle_curve`.
    s_d : ndarray, shape (B,)
        A_perf / (p_s (p_l - p_s)/2); NaN where p_s or the gap is 0.
    accuracy_at : ndarray, shape (R, B)
        Joint accuracy at each requested deferral ratio.
    """

    small_score: np.ndarray
    large_score: np.ndarray
    gap: np.ndarray
    deferral_gain_area: np.ndarray
    deferral_area: np.ndarray
    oracle_area: np.ndarray
    s_d: np.ndarray
    accuracy_at: np.ndarray


def evaluate_deferral(
    confidence: np.ndarray | TieGroups,
    small_score: np.ndarray,
    large_score: np.ndarray,
    weights: np.ndarray,
    ratios: Sequence[float] = (),
) -> DeferralReplicates:
    """Evaluate a two-model cascade under each row of weights.

    Parameters
    ----------
    confidence : ndarray of float, shape (n,), or TieGroups
        Confidence of the small model, any scale; the least confident samples are deferred first.
        Of one small model with several large ones, sort it once: ``tie_groups(confidence)``.
    small_score, large_score : ndarray of float or bool, shape (n,)
        Score of each model on each sample, in [0, 1]: correctness for classifiers, factuality for
        captions. For a duo cascade ``large_score`` is that of the duo.
    weights : ndarray of int, shape (B, n)
    ratios : sequence of float, length R
        Deferral ratios in [0, 1] for ``accuracy_at``; NaN gives NaN. See :func:`deferral_ratio`.

    Returns
    -------
    DeferralReplicates
        NaN where a replicate holds no sample.

    Raises
    ------
    SidekickError
        A score lies outside [0, 1], a confidence is NaN, or lengths differ.

    Notes
    -----
    Rabanser et al. (2025), "Gatekeeper": s_d relates the area between the deferral curve and
    random deferral to that between their ideal line (Eq. 11) and random deferral, which is
    p_s (p_l - p_s)/2. Let u_i = (samples below + half the samples tied with i, itself included)/n.
    Deferring within a tie group in random order, the area is exactly -mean(d_i (u_i - 1/2)).

    Where the large model is right on everything the small one is right on and its other
    successes do not depend on the confidence (the paper's model), s_d is 2 AUROC - 1. Where it can
    be wrong on samples that the small model gets right, Eq. 11 is no upper bound and s_d can exceed
    1. A worse small model can have the larger s_d because the denominator moves: rank by area.
    """
    small_score, large_score = np.asarray(small_score), np.asarray(large_score)
    right_or_wrong = small_score.dtype == large_score.dtype == np.bool_
    small, large = check_scores(small_score, large_score)
    groups = confidence if isinstance(confidence, TieGroups) else tie_groups(confidence)
    weights = check_weights(weights, groups.order.size)
    gain = large - small
    area, at, gap = deferral_gains(groups, gain, weights, ratios)
    # The oracle defers in descending order of the gain itself.
    if right_or_wrong:
        # A gain of 1, 0 or -1: counts are enough.
        better = weighted_mean(large_score > small_score, weights)
        worse = better - gap
        oracle_area = (better - worse) / 2.0 - (better**2 - 2.0 * worse + worse**2) / 2.0
    else:
        oracle_area, _, _ = deferral_gains(tie_groups(-gain), gain, weights, ())
    p_s = weighted_mean(small_score, weights)
    random_area = p_s + gap / 2.0
    useful = np.where(np.abs(gap) > _NO_GAP, p_s * gap / 2.0, 0.0)
    return DeferralReplicates(
        small_score=p_s,
        large_score=p_s + gap,
        gap=gap,
        deferral_gain_area=area,
        deferral_area=random_area + area,
        oracle_area=random_area + oracle_area,
        s_d=ratio(area, useful),
        accuracy_at=p_s + at,
    )


def accuracy_at_deferral(
    confidence: np.ndarray,
    small_score: np.ndarray,
    large_score: np.ndarray,
    weights: np.ndarray,
    deferral: float,
) -> np.ndarray:
    """Return the joint accuracy when a given share of the samples is deferred.

    Parameters
    ----------
    confidence, small_score, large_score, weights
        As for :func:`evaluate_deferral`.
    deferral : float
        Deferral ratio in [0, 1]; between the thresholds that exist the curve is interpolated.

    Returns
    -------
    ndarray of float64, shape (B,)

    Raises
    ------
    SidekickError
        As :func:`evaluate_deferral`.
    """
    result = evaluate_deferral(confidence, small_score, large_score, weights, (deferral,))
    return result.accuracy_at[0]


def accuracy_at_cost(
    confidence: np.ndarray,
    small_score: np.ndarray,
    large_score: np.ndarray,
    weights: np.ndarray,
    budget: float,
    small_cost: float,
    large_cost: float,
) -> np.ndarray:
    """Return the joint accuracy that an expected cost per sample buys.

    Parameters
    ----------
    confidence, small_score, large_score, weights
        As for :func:`evaluate_deferral`.
    budget, small_cost, large_cost : float
        As for :func:`deferral_ratio`.

    Returns
    -------
    ndarray of float64, shape (B,)
        NaN where the budget does not pay for the small model.

    Raises
    ------
    SidekickError
        As :func:`evaluate_deferral` and :func:`deferral_ratio`.
    """
    deferral = deferral_ratio(budget, small_cost, large_cost)
    return accuracy_at_deferral(confidence, small_score, large_score, weights, deferral)


def deferral_ratio(budget: float, small_cost: float, large_cost: float) -> float:
    """Return the share of samples that a cascade can defer within a budget.

    Parameters
    ----------
    budget : float
        Expected cost per sample of the whole cascade, in the unit of the other two (GMACs).
    small_cost, large_cost : float
        Cost of the small model, which every sample pays, and of the large one.

    Returns
    -------
    float
        min(1, (budget - small_cost)/large_cost), or NaN if the budget is below ``small_cost``.

    Raises
    ------
    SidekickError
        A cost is not positive.
    """
    if not (small_cost > 0.0 and large_cost > 0.0):
        raise SidekickError(f"costs must be positive, not {small_cost} and {large_cost}")
    if budget < small_cost:
        return float("nan")
    return min(1.0, (budget - small_cost) / large_cost)
