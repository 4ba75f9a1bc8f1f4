"""Correlation of a confidence with a real-valued score, in the place of s_o."""

import numpy as np

from sidekick.errors import SidekickError
from sidekick.metrics.weighting import check_weights, ratio, weighted_mean

# Of the mean square about the whole data's mean: a smaller variance in a replicate is rounding.
_NO_SPREAD = 1e-12


def pearson(confidence: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of confidence and score under each row of weights.

    Parameters
    ----------
    confidence : ndarray of float, shape (n,)
        Any scale, such as the negative entropy of a caption's tokens.
    score : ndarray of float or bool, shape (n,)
        What each answer is worth, such as its factuality. Correctness gives the point-biserial
        correlation.
    weights : ndarray of int, shape (B, n)

    Returns
    -------
    ndarray of float64, shape (B,)
        In [-1, 1]; NaN where a replicate's confidences or scores are all equal, or it holds no
        sample.

    Raises
    ------
    SidekickError
        A value is not finite, or lengths differ.

    Notes
    -----
    Rabanser et al. (2025), "Gatekeeper", use it for captions, where no answer is plainly right or
    wrong and the overlap s_o is not defined. A standard deviation of less than a millionth of the
    replicate's distance from the mean of the whole data counts as none.
    """
    x, y = _centred("confidence", confidence), _centred("score", score)
    if x.shape != y.shape:
        raise SidekickError(f"{x.size} confidences, but {y.size} scores")
    weights = check_weights(weights, x.size)
    mean_x, mean_y, square_x, square_y, product = (
        weighted_mean(values, weights) for values in (x, y, x * x, y * y, x * y)
    )
    spread_x = _spread(mean_x, square_x)
    spread_y = _spread(mean_y, square_y)
    covariance = product - mean_x * mean_y
    return np.clip(ratio(covariance, np.sqrt(spread_x) * np.sqrt(spread_y)), -1.0, 1.0)


def _centred(name: str, values: np.ndarray) -> np.ndarray:
    """Scale to mean 0 and largest size 1, which changes no correlation and saves its digits."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise SidekickError(f"{name} must be a non-empty vector, not of shape {values.shape}")
    refused = ~np.isfinite(values)
    if refused.any():
        row = refused.argmax()
        raise SidekickError(f"{name} in row {row} is {values[row]}: it has no correlation")
    if np.ptp(values) == 0:
        return np.zeros_like(values)
    values = values - values.mean()
    return values / np.abs(values).max()


def _spread(mean: np.ndarray, square: np.ndarray) -> np.ndarray:
    variance = square - mean**2
    return np.where(variance > _NO_SPREAD * square, variance, np.where(np.isnan(square), np.nan, 0))
