"""Deferral curves for figures: joint accuracy against deferral ratio, of the data as they are.

Every curve is piecewise linear and given by its corners, so the trapezoid rule is exact. Against
cost, plot small_cost + ratio x large_cost.
"""

import numpy as np

from sidekick.metrics.deferral_gains import check_scores
from sidekick.metrics.ties import TieGroups, tie_groups


def deferral_curve(
    confidence: np.ndarray, small_score: np.ndarray, large_score: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the joint accuracy at every threshold on the small model's confidence.

    Parameters
    ----------
    confidence : ndarray of float, shape (n,)
    small_score, large_score : ndarray of float or bool, shape (n,)
        In [0, 1].

    Returns
    -------
    ratio, accuracy : ndarray of float64, shape (G + 1,)
        From (0, p_s) to (1, p_l); a straight line inside a group of equal confidence, which is the
        expectation over random orders.

    Raises
    ------
    SidekickError
        A score lies outside [0, 1], a confidence is NaN, or lengths differ.
    """
    small, large = check_scores(small_score, large_score)
    return _corners(tie_groups(confidence), small, large)


def oracle_curve(small_score: np.ndarray, large_score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the best joint accuracy that any order of deferral can reach at each ratio.

    Parameters
    ----------
    small_score, large_score : ndarray of float or bool, shape (n,)
        In [0, 1].

    Returns
    -------
    ratio, accuracy : ndarray of float64, shape (G + 1,)
        Samples deferred by descending gain. With correctness as score: slope 1 up to
        p_s + P(small wrong, large right), then flat, then down to p_l.

    Raises
    ------
    SidekickError
        A score lies outside [0, 1] or lengths differ.
    """
    small, large = check_scores(small_score, large_score)
    return _corners(tie_groups(small - large), small, large)


def random_curve(small_mean: float, large_mean: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the expected joint accuracy of deferring samples at random.

    Parameters
    ----------
    small_mean, large_mean : float
        p_s and p_l.

    Returns
    -------
    ratio, accuracy : ndarray of float64, shape (2,)
    """
    return np.array([0.0, 1.0]), np.array([small_mean, large_mean])


def ideal_curve(small_mean: float, large_mean: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the "ideal" line of the Gatekeeper paper.

    Parameters
    ----------
    small_mean, large_mean : float
        p_s and p_l.

    Returns
    -------
    ratio, accuracy : ndarray of float64, shape (3,)

    Notes
    -----
    Rabanser et al. (2025), Eq. 11: p_s + (p_l - p_s)/(1 - p_s) r for r <= 1 - p_s, then p_l. It is
    the expectation of deferring exactly the small model's errors when the large model is right on
    everything that the small one gets right, and otherwise no upper bound: see
    :func:`oracle_curve`.
    """
    ratio = np.array([0.0, 1.0 - small_mean, 1.0])
    return ratio, np.array([small_mean, large_mean, large_mean])


def curve_area(ratio: np.ndarray, accuracy: np.ndarray) -> float:
    """Return the exact area under a piecewise linear curve over [0, 1].

    Parameters
    ----------
    ratio, accuracy : ndarray of float64, shape (k,)

    Returns
    -------
    float
    """
    return float(np.trapezoid(accuracy, ratio))


def _corners(
    groups: TieGroups, small: np.ndarray, large: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    n = groups.order.size
    gains = np.cumsum(groups.arrange(large - small))[groups.ends - 1]
    ratio = np.append(0.0, groups.ends / n)
    return ratio, small.mean() + np.append(0.0, gains / n)
