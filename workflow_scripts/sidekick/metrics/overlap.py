"""Overlap of the confidence densities of correct and of wrong samples."""

from functools import lru_cache

import numpy as np

from sidekick.errors import SidekickError
from sidekick.metrics.weighting import check_weights, for_kernels, unit_weights

# Densities are evaluated on a grid of steps of a fifth of the smallest bandwidth.
_INTERVALS = 512
# More samples than this are first binned linearly onto as many steps, which moves the overlap of
# so many samples by less than 1e-5.
_BINS = 1024
# Densities of so many replicates, 0.5 MB, are held at a time.
_REPLICATES = 64
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
    weights = for_kernels(check_weights(weights, confidence.size))
    estimators = _estimators(confidence, correct, bandwidths)
    result = np.empty(weights.shape[0])
    for start in range(0, weights.shape[0], _REPLICATES):
        rows = slice(start, start + _REPLICATES)
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
        own = confidence[members]
        # Beyond this frequency the damping is below 1e-9.
        terms = int(np.ceil(np.sqrt(-2.0 * np.log(1e-9)) / (np.pi * bandwidth)))
        frequency = np.pi * np.arange(1, terms + 1)
        if own.size > _BINS:
            # Each value is spread over its two neighbouring points.
            left = np.minimum((own * _BINS).astype(np.int16), _BINS - 1)
            order = np.argsort(left, kind="stable")
            members, self._left = members[order], left[order].astype(np.int64)
            self._share = own[order] * _BINS - self._left
            self._analysis = np.ascontiguousarray(_waves(_BINS, terms).T)
        else:
            self._left, self._share = np.arange(own.size), np.zeros(own.size)
            self._analysis = np.cos(np.multiply.outer(own, frequency))
        self._members = members
        damping = 2.0 * np.exp(-0.5 * (bandwidth * frequency) ** 2)
        self._synthesis = damping[:, None] * _waves(_INTERVALS, terms)

    def densities(self, weights: np.ndarray) -> np.ndarray:
        """Return the density of each replicate, (b, 513); NaN where the class is empty."""
        from sidekick.kernels.replicates import densities

        return densities(
            weights, self._members, self._left, self._share, self._analysis, self._synthesis
        )


def _waves(intervals: int, terms: int) -> np.ndarray:
    """Give cos(pi k x) for k from 1 on a grid of [0, 1]: (terms, intervals + 1)."""
    return _more_waves(intervals, -(-terms // 256) * 256)[:terms]


@lru_cache(maxsize=2)
def _more_waves(intervals: int, terms: int) -> np.ndarray:
    grid = np.linspace(0.0, 1.0, intervals + 1)
    return np.cos(np.multiply.outer(np.pi * np.arange(1, terms + 1), grid))


def _estimators(
    confidence: np.ndarray, correct: np.ndarray, bandwidths: tuple[float, float] | None
) -> list[_Density]:
    widths = bandwidths or scott_bandwidths(confidence, correct)
    classes = np.flatnonzero(correct), np.flatnonzero(~correct)
    return [_Density(confidence, *part) for part in zip(classes, widths, strict=True)]
