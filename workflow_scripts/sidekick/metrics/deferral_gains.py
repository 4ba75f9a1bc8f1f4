"""Summed gains of deferring samples in a given order: what areas and accuracies are made of."""

from collections.abc import Sequence

import numpy as np

from sidekick.errors import SidekickError
from sidekick.metrics.ties import TieGroups
from sidekick.metrics.weighting import for_kernels


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
    for name, given, score in (("small", small_score, small), ("large", large_score, large)):
        if np.asarray(given).dtype == np.bool_:
            continue
        # NaN fails the comparisons, too.
        if score.size and score.min() >= 0.0 and score.max() <= 1.0:
            continue
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
    from sidekick.kernels.replicates import deferral_sums

    shares = np.asarray(ratios, dtype=np.float64)
    area, everything = np.empty((2, weights.shape[0]))
    at = np.empty((shares.size, weights.shape[0]))
    deferral_sums(
        for_kernels(weights),
        groups.order,
        groups.is_last,
        groups.arrange(gain),
        shares,
        np.argsort(shares),
        area,
        everything,
        at,
    )
    return area, at, everything
