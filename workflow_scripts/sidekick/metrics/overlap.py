"""Overlap of the confidence densities of correct and of wrong samples."""

import numpy as np
from scipy import fft, sparse

from sidekick.errors import SidekickError
from sidekick.metrics.weighting import check_weights, replicate_blocks, weighted_sums

# Steps of 1/1024: a fifth of the smallest bandwidth, so that neither the grid nor the binning of
# samples onto it shows in the integral.
_INTERVALS = 1024
# Samples of (nearly) equal confidence still need a density. Narrower kernels would only resolve
# how the confidences round.
_SMALLEST_BANDWIDTH = 0.005


def density_overlap(
    confidence: np.ndarray,
    correct: np.ndarray,
    weights: np.ndarray,
    bandwidths: tuple[float, float] | None = None,
) -> np.ndarray:
    """Return s_o, the integral over [0, 1] of the smaller of the two confidence densities.

    Parameters
    ----------
    confidence : ndarray of float, shape (n,)
        In [0, 1].
    correct : ndarray of bool, shape (n,)
    weights : ndarray of int, shape (B, n)
    bandwidths : tuple of float, optional
        Kernel widths for correct and for wrong samples. Default: :func:`scott_bandwidths` of the
        unweighted samples, the same in every replicate.

    Returns
    -------
    ndarray of float64, shape (B,)
        0 for separated, 1 for equal densities; NaN where a replicate has no correct or no wrong
        sample.

    Raises
    ------
    SidekickError
        A confidence lies outside [0, 1].

    Notes
    -----
    Rabanser et al. (2025), "Gatekeeper", who leave the estimator open. Here: Gaussian kernel,
    Scott bandwidth per class, mass reflected at 0 and 1 (which also makes each density integrate
    to one on [0, 1]), samples binned linearly onto 1,025 grid points, trapezoid rule. The bandwidth
    stays fixed over replicates, so their spread describes the samples and not the smoothing.
    """
    confidence, correct = _check(confidence, correct)
    n = confidence.size
    weights = check_weights(weights, n)
    columns = _grid_columns(confidence, correct)
    damping = _damping(bandwidths or scott_bandwidths(confidence, correct))
    result = np.empty(weights.shape[0])
    for rows in replicate_blocks(weights.shape[0], max(n, columns.shape[1])):
        densities = _densities(weighted_sums(weights[rows], columns), damping)
        result[rows] = _integral(densities.min(axis=1))
    return result


def confidence_densities(
    confidence: np.ndarray, correct: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the two densities behind :func:`density_overlap`, for a figure.

    Parameters
    ----------
    confidence : ndarray of float, shape (n,)
        In [0, 1].
    correct : ndarray of bool, shape (n,)

    Returns
    -------
    grid, density_correct, density_wrong : ndarray of float64, shape (1025,)
        Each density has trapezoid area 1, or is NaN throughout where its class is empty.

    Raises
    ------
    SidekickError
        A confidence lies outside [0, 1].
    """
    confidence, correct = _check(confidence, correct)
    counts = _grid_columns(confidence, correct).sum(axis=0)[None]
    densities = _densities(counts, _damping(scott_bandwidths(confidence, correct)))[0]
    return np.linspace(0.0, 1.0, _INTERVALS + 1), densities[0], densities[1]


def scott_bandwidths(confidence: np.ndarray, correct: np.ndarray) -> tuple[float, float]:
    """Return Scott's bandwidth, sigma n^(-1/5), of the correct and of the wrong samples.

    Parameters
    ----------
    confidence : ndarray of float, shape (n,)
    correct : ndarray of bool, shape (n,)

    Returns
    -------
    tuple of float
        At least 0.005 each, which is also the value for fewer than two samples.
    """

    def scott(sample: np.ndarray) -> float:
        if sample.size < 2:
            return _SMALLEST_BANDWIDTH
        return max(float(sample.std(ddof=1)) * sample.size**-0.2, _SMALLEST_BANDWIDTH)

    confidence, correct = np.asarray(confidence), np.asarray(correct, dtype=bool)
    return scott(confidence[correct]), scott(confidence[~correct])


def _check(confidence: np.ndarray, correct: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    confidence = np.asarray(confidence, dtype=np.float64)
    refused = ~((confidence >= 0.0) & (confidence <= 1.0))
    if refused.any():
        row = refused.argmax()
        raise SidekickError(f"confidence in row {row} is {confidence[row]}, not within 0 to 1")
    return confidence, np.asarray(correct, dtype=bool)


def _grid_columns(confidence: np.ndarray, correct: np.ndarray) -> sparse.csc_array:
    """Spread each sample over its two neighbouring grid points: (n, 2 x 1025), correct first."""
    n = confidence.size
    position = confidence * _INTERVALS
    left = np.minimum(position.astype(np.intp), _INTERVALS - 1)
    share = position - left
    column = left + np.where(correct, 0, _INTERVALS + 1)
    samples = np.arange(n)
    return sparse.csc_array(
        (
            np.concatenate([1.0 - share, share]),
            (np.concatenate([samples, samples]), np.concatenate([column, column + 1])),
        ),
        shape=(n, 2 * (_INTERVALS + 1)),
    )


def _damping(bandwidths: tuple[float, float]) -> np.ndarray:
    """Return the cosine transform of each Gaussian kernel, shape (2, 1025)."""
    frequency = np.pi * np.arange(_INTERVALS + 1)
    return np.exp(-0.5 * np.multiply.outer(bandwidths, frequency) ** 2)


def _densities(counts: np.ndarray, damping: np.ndarray) -> np.ndarray:
    """Smooth counts on the grid, (b, 2 x 1025), into densities, (b, 2, 1025)."""
    counts = counts.reshape(-1, 2, _INTERVALS + 1)
    total = counts.sum(axis=2, keepdims=True)
    # In the cosine basis a Gaussian with all its reflections at 0 and 1 is a product. A count at a
    # boundary meets its own mirror image, hence counts double.
    counts[:, :, [0, -1]] *= 2.0
    smooth = fft.idct(fft.dct(counts, type=1, axis=2) * damping, type=1, axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.maximum(smooth, 0.0) * (_INTERVALS / total)


def _integral(density: np.ndarray) -> np.ndarray:
    return np.trapezoid(density, dx=1.0 / _INTERVALS, axis=-1)
