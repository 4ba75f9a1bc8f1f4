"""Expected calibration error and the bins of a reliability diagram."""

from dataclasses import dataclass

import numpy as np

from sidekick.errors import SidekickError
from sidekick.metrics.weighting import check_weights, for_kernels, ratio

ECE_BINS = 15


@dataclass(frozen=True)
class ReliabilityBins:
    """One entry per equal-width bin (lo, hi] of [0, 1].

    Parameters
    ----------
    lower, upper : ndarray of float64, shape (bins,)
    count : ndarray of int64, shape (bins,)
    confidence, accuracy : ndarray of float64, shape (bins,)
        Means over the bin; NaN where it is empty.
    """

    lower: np.ndarray
    upper: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def ece(
    probability: np.ndarray, correct: np.ndarray, weights: np.ndarray, bins: int = ECE_BINS
) -> np.ndarray:
    """Return the expected calibration error of the predicted class.

    Parameters
    ----------
    probability : ndarray of float64, shape (n,)
        Softmax probability of the predicted class.
    correct : ndarray of bool, shape (n,)
    weights : ndarray of int, shape (B, n)
    bins : int
        Number of equal-width bins (lo, hi]. Probability 0 belongs to the first bin and 1 to the
        last.

    Returns
    -------
    ndarray of float64, shape (B,)
        In [0, 1]; NaN where a replicate holds no sample.

    Raises
    ------
    SidekickError
        A probability lies outside [0, 1].

    Notes
    -----
    Guo et al. (2017), "On calibration of modern neural networks". torchmetrics and
    torch-uncertainty use bins [lo, hi) and give probability 1 a bin of its own; netcal uses
    [lo, hi) with the last bin closed.
    """
    from sidekick.kernels.replicates import absolute_bin_sums

    probability, correct = np.asarray(probability, dtype=np.float64), np.asarray(correct)
    weights = check_weights(weights, probability.size)
    index = _bin_index(probability, bins)
    # Sorting small integers takes a tenth of the time.
    order = np.argsort(index.astype(np.min_scalar_type(bins)), kind="stable")
    starts = np.searchsorted(index[order], np.arange(bins + 1))
    # |accuracy - confidence| x count of a bin is the absolute value of its summed residuals, so
    # one sum per bin is enough.
    residuals = (correct - probability)[order]
    sums = np.empty(weights.shape[0])
    absolute_bin_sums(for_kernels(weights), order, starts, residuals, sums)
    return ratio(sums, weights.sum(axis=1, dtype=np.int64))


def reliability_bins(
    probability: np.ndarray, correct: np.ndarray, bins: int = ECE_BINS
) -> ReliabilityBins:
    """Return the bins behind :func:`ece`, for a reliability diagram.

    Parameters
    ----------
    probability : ndarray of float64, shape (n,)
    correct : ndarray of bool, shape (n,)
    bins : int

    Returns
    -------
    ReliabilityBins

    Raises
    ------
    SidekickError
        A probability lies outside [0, 1].
    """
    probability = np.asarray(probability, dtype=np.float64)
    index = _bin_index(probability, bins)
    count = np.bincount(index, minlength=bins)
    edges = _edges(bins)
    return ReliabilityBins(
        lower=edges[:-1],
        upper=edges[1:],
        count=count,
        confidence=ratio(np.bincount(index, weights=probability, minlength=bins), count),
        accuracy=ratio(np.bincount(index, weights=correct, minlength=bins), count),
    )


def _edges(bins: int) -> np.ndarray:
    # Division, unlike np.linspace, gives the float64 nearest to k/bins, so that a probability
    # computed as k/bins lies on the edge and not beside it.
    return np.arange(bins + 1) / bins


def _bin_index(probability: np.ndarray, bins: int) -> np.ndarray:
    refused = ~((probability >= 0.0) & (probability <= 1.0))
    if refused.any():
        row = refused.argmax()
        raise SidekickError(f"probability in row {row} is {probability[row]}, not within 0 to 1")
    return np.searchsorted(_edges(bins)[1:-1], probability, side="left")
