"""Integer resampling weights: the one code path for a value and its bootstrap replicates.

``weights[b, i]`` says how often sample ``i`` occurs in replicate ``b``. A metric under weights is
defined as the metric of the data set in which row ``i`` is repeated ``weights[b, i]`` times, so a
point value is the same function under one row of ones.
"""

from collections.abc import Iterator

import numpy as np

# A block of replicates holds at most about this many numbers (or one replicate). Metrics keep fewer
# than twenty float64 temporaries of that size alive, about 10 MB for any number of replicates, and
# each fits the L2 cache: measured, twice as many numbers are slower for small data sets and half as
# many for large ones.
BLOCK_ELEMENTS = 2**16


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


def replicate_blocks(replicates: int, width: int) -> Iterator[slice]:
    """Yield slices over replicates such that slice length x ``width`` stays bounded.

    Parameters
    ----------
    replicates : int
        Number of replicates B.
    width : int
        Numbers that one replicate needs in the widest temporary.

    Yields
    ------
    slice
    """
    step = max(1, BLOCK_ELEMENTS // max(width, 1))
    for start in range(0, replicates, step):
        yield slice(start, min(start + step, replicates))


def weighted_sums(weights: np.ndarray, columns) -> np.ndarray:
    """Return ``weights @ columns`` without ever holding the weights as floats as a whole.

    Parameters
    ----------
    weights : ndarray of int, shape (B, n)
    columns : ndarray or scipy.sparse array of float64, shape (n, k)

    Returns
    -------
    ndarray of float64, shape (B, k)
    """
    sums = np.empty((weights.shape[0], columns.shape[1]))
    # The transposed product is the form that scipy.sparse computes natively; for a dense array it
    # is the same BLAS call.
    transposed = columns.T
    for rows in replicate_blocks(*weights.shape):
        sums[rows] = (transposed @ weights[rows].astype(np.float64).T).T
    return sums


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
    values = np.asarray(values, dtype=np.float64)
    weights = check_weights(weights, values.size)
    sums = weighted_sums(weights, np.column_stack([values, np.ones_like(values)]))
    return ratio(sums[:, 0], sums[:, 1])


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide, giving NaN (and no warning) wherever the denominator is zero.

    Parameters
    ----------
    numerator, denominator : ndarray of float, shapes that broadcast

    Returns
    -------
    ndarray of float64
    """
    shape = np.broadcast_shapes(np.shape(numerator), np.shape(denominator))
    return np.divide(
        numerator, denominator, out=np.full(shape, np.nan), where=np.not_equal(denominator, 0)
    )
