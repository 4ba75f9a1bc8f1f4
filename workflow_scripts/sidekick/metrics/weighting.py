"""Integer resampling weights: the one code path for a value and its bootstrap replicates.

``weights[b, i]`` says how often sample ``i`` occurs in replicate ``b``. A metric under weights is
defined as the metric of the data set in which row ``i`` is repeated ``weights[b, i]`` times, so a
point value is the same function under one row of ones.
"""

import numpy as np


def unit_weights(samples: int) -> np.ndarray:
    """Return the weights of the data as they are: one replicate, each sample once.

    Parameters
    ----------
    samples : int
        Number of samples n.

    Returns
    -------
    ndarray of uint8, shape (1, n)
    """
    return np.ones((1, samples), dtype=np.uint8)


def check_weights(weights: np.ndarray, samples: int) -> np.ndarray:
    """Return ``weights`` as an array after checking that they count samples.

    Parameters
    ----------
    weights : array_like of int, shape (B, n)
        Resampling counts, uint8 or uint16 as a rule.
    samples : int
        The n that the weights have to match.

    Returns
    -------
    ndarray of int, shape (B, n)

    Raises
    ------
    ValueError
        Wrong shape, not integer, or negative: a mistake of the calling code, not of a user.
    """
    weights = np.asarray(weights)
    if weights.ndim != 2 or weights.shape[0] == 0 or weights.shape[1] != samples:
        raise ValueError(f"weights must have shape (B >= 1, {samples}), not {weights.shape}")
    if not np.issubdtype(weights.dtype, np.integer):
        raise ValueError(f"weights must be integers, not {weights.dtype}")
    if np.issubdtype(weights.dtype, np.signedinteger) and weights.min() < 0:
        raise ValueError("weights must not be negative")
    return weights


def for_kernels(weights: np.ndarray) -> np.ndarray:
    """Return weights in one of the two types that kernels are compiled for.

    Parameters
    ----------
    weights : ndarray of int, shape (B, n)

    Returns
    -------
    ndarray of uint8 or int64, shape (B, n)
    """
    return np.ascontiguousarray(weights, dtype=np.uint8 if weights.dtype == np.uint8 else np.int64)


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean of ``values`` in each replicate.

    Parameters
    ----------
    values : array_like of float or bool, shape (n,)
    weights : ndarray of int, shape (B, n)

    Returns
    -------
    ndarray of float64, shape (B,)
        NaN where a replicate holds no sample.
    """
    from sidekick.kernels.replicates import weighted_sums

    values = np.asarray(values)
    if values.dtype != np.bool_:
        values = values.astype(np.float64, copy=False)
    weights = check_weights(weights, values.size)
    sums, totals = np.empty(weights.shape[0]), np.empty(weights.shape[0], dtype=np.int64)
    weighted_sums(for_kernels(weights), values, sums, totals)
    return ratio(sums, totals)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide, giving NaN (and no warning) wherever the denominator is zero.

    Parameters
    ----------
    numerator, denominator : ndarray of float, shapes that broadcast

    Returns
    -------
    ndarray of float64
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.equal(denominator, 0), np.nan, np.true_divide(numerator, denominator))
