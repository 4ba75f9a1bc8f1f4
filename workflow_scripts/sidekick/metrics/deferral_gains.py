"""Summed gains of deferring samples in a given order: what areas and accuracies are made of."""

from collections.abc import Sequence

import numpy as np

from sidekick.errors import SidekickError
from sidekick.metrics.ties import TieGroups
from sidekick.metrics.weighting import ratio, replicate_blocks


def check_scores(small_score: np.ndarray, large_score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both score vectors as float64 after checking that they are comparable scores.

    Parameters
    ----------
    small_score, large_score : array_like of float or bool, shape (n,)

    Returns
    -------
    tuple of ndarray of float64, shape (n,)

    Raises
    ------
    SidekickError
        Shapes differ, or a score is NaN or lies outside [0, 1].
    """
    small = np.asarray(small_score, dtype=np.float64)
    large = np.asarray(large_score, dtype=np.float64)
    if small.ndim != 1 or small.shape != large.shape:
        raise SidekickError(f"scores of shapes {small.shape} and {large.shape} do not match")
    for name, score in (("small", small), ("large", large)):
        refused = ~((score >= 0.0) & (score <= 1.0))
        if refused.any():
            row = refused.argmax()
            raise SidekickError(
                f"score of the {name} model in row {row} is {score[row]}, not within 0 to 1"
            )
    return small, large


def deferral_gains(
    groups: TieGroups, gain: np.ndarray, weights: np.ndarray, ratios: Sequence[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum what deferral gains over the small model alone, in a given order of deferral.

    Parameters
    ----------
    groups : TieGroups
        Samples in the order in which they are deferred.
    gain : ndarray of float64, shape (n,)
        Score of the large model minus that of the small one.
    weights : ndarray of int, shape (B, n)
    ratios : sequence of float, length R
        Deferral ratios, NaN for no answer.

    Returns
    -------
    area : ndarray of float64, shape (B,)
        A_perf = -mean(gain_i (u_i - 1/2)).
    at : ndarray of float64, shape (R, B)
        Mean gain at each ratio.
    everything : ndarray of float64, shape (B,)
        Mean gain of deferring all.
    """
    replicates = weights.shape[0]
    area, everything = np.empty(replicates), np.empty(replicates)
    at = np.empty((len(ratios), replicates))
    ranked_gain = groups.arrange(gain)
    for rows in replicate_blocks(*weights.shape):
        ranked = weights[rows].take(groups.order, axis=1)
        members = groups.sums(ranked, np.int64)
        gains = groups.sums(ranked * ranked_gain, np.float64)
        through = np.cumsum(members, axis=1)
        total = through[:, -1]
        everything[rows] = ratio(gains.sum(axis=1), total)
        # Twice the mid-rank, so that ranks stay integers.
        ranks = np.einsum("bg,bg->b", gains, 2 * through - members) / 2.0
        area[rows] = everything[rows] / 2.0 - ratio(ratio(ranks, total), total)
        if len(ratios):
            gains_through = np.cumsum(gains, axis=1)
            for index, share in enumerate(ratios):
                at[index, rows] = _gain_at(share, members, through, gains, gains_through)
    return area, at, everything


def _gain_at(
    share: float,
    members: np.ndarray,
    through: np.ndarray,
    gains: np.ndarray,
    gains_through: np.ndarray,
) -> np.ndarray:
    """Walk back from the end of the group that the share falls into, along its straight line."""
    total = through[:, -1]
    deferred = share * total
    reached = np.count_nonzero(through < deferred[:, None], axis=1)
    group = np.minimum(reached, through.shape[1] - 1)[:, None]
    members, through, gains, gains_through = (
        np.take_along_axis(array, group, axis=1)[:, 0]
        for array in (members, through, gains, gains_through)
    )
    slope = gains / np.maximum(members, 1)
    return ratio(gains_through - slope * (through - deferred), total)
