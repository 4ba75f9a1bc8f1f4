"""Overlap of the confidence densities of correct and of wrong samples."""

import numpy as np
from scipy import sparse

from sidekick.errors import SidekickError
from sidekick.metrics.weighting import (
    check_weights,
    ratio,
    replicate_blocks,
    unit_weights,
    weighted_sums,
)

# Densities are evaluated on a grid of steps of a fifth of the smallest bandwidth.
_INTERVALS = 512
# More samples than this are first binned linearly onto as many steps, which moves the overlap of
# so many samples by less than 1e-5.
_BINS = 1024
# Samples of (nearly) equal confidence still need a density. Narrower kernels would only resolve
# how the confidences round.
_SMALLEST_BANDWIDTH = 0.01


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
    to one on [0, 1]), trapezoid rule on 513 points. The bandwidth stays fixed over replicates, so
    their spread describes the samples and not the smoothing.
    """
    confidence, correct = _check(confidence, correct)
    weights = check_weights(weights, confidence.size)
    estimators = _estimators(confidence, correct, bandwidths)
    result = np.empty(weights.shape[0])
    for rows in replicate_blocks(weights.shape[0], max(confidence.size, _BINS)):
        densities = [estimator.densities(weights[rows]) for estimator in estimators]
        result[rows] = np.trapezoid(np.minimum(*densities), dx=1.0 / _INTERVALS, axis=-1)
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
    grid, density_correct, density_wrong : ndarray of float64, shape (513,)
        Each density has trapezoid area 1, or is NaN throughout where its class is empty.

    Raises
    ------
    SidekickError
        A confidence lies outside [0, 1].
    """
    confidence, correct = _check(confidence, correct)
    once = unit_weights(confidence.size)
    densities = [e.densities(once)[0] for e in _estimators(confidence, correct, None)]
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
        At least 0.01 each, which is also the value for fewer than two samples.
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


class _Density:
    """The density of one class in any replicate.

    A Gaussian with all its reflections at 0 and 1 is a cosine series,
    1 + 2 sum_k exp(-(pi k h)^2 / 2) cos(pi k x_i) cos(pi k x), of which the bandwidth h leaves few
    terms. So replicates cost two small matrix products and no kernel is evaluated.
    """

    def __init__(self, confidence: np.ndarray, members: np.ndarray, bandwidth: float):
        self._members = members
        own = confidence[members]
        self._bins = _bin_columns(own) if own.size > _BINS else None
        points = own if self._bins is None else np.linspace(0.0, 1.0, _BINS + 1)
        # Beyond this frequency the damping is below 1e-9.
        terms = int(np.ceil(np.sqrt(-2.0 * np.log(1e-9)) / (np.pi * bandwidth)))
        frequency = np.pi * np.arange(1, terms + 1)
        grid = np.linspace(0.0, 1.0, _INTERVALS + 1)
        self._analysis = np.cos(np.multiply.outer(points, frequency))
        self._analysis *= 2.0 * np.exp(-0.5 * (bandwidth * frequency) ** 2)
        self._synthesis = np.cos(np.multiply.outer(frequency, grid))

    def densities(self, weights: np.ndarray) -> np.ndarray:
        """Return the density of each replicate, (b, 513); NaN where the class is empty."""
        own = weights[:, self._members].astype(np.float64)
        total = own.sum(axis=1, keepdims=True)
        if self._bins is not None:
            own = weighted_sums(weights[:, self._members], self._bins)
        waves = (own @ self._analysis) @ self._synthesis
        # The series may undershoot 0 by rounding where there is no sample near.
        return np.maximum(1.0 + ratio(waves, total), 0.0)


def _estimators(
    confidence: np.ndarray, correct: np.ndarray, bandwidths: tuple[float, float] | None
) -> list[_Density]:
    widths = bandwidths or scott_bandwidths(confidence, correct)
    classes = np.flatnonzero(correct), np.flatnonzero(~correct)
    return [_Density(confidence, *part) for part in zip(classes, widths, strict=True)]


def _bin_columns(values: np.ndarray) -> sparse.csc_array:
    """Spread each value over its two neighbouring grid points, (n, 1025)."""
    position = values * _BINS
    left = np.minimum(position.astype(np.intp), _BINS - 1)
    share = position - left
    rows = np.arange(values.size)
    return sparse.csc_array(
        (
            np.concatenate([1.0 - share, share]),
            (np.concatenate([rows, rows]), np.concatenate([left, left + 1])),
        ),
        shape=(values.size, _BINS + 1),
    )
