"""Crossed bootstrap over seeds and samples, and the intervals made of it.

Test samples and training seeds are crossed: each seed's model answers (nearly) the same samples.
So both are resampled, independently, and a sample weighs the same in every seed and in every
predictor of a replicate. Everything computed from the same :class:`Resampler` is therefore paired.

With few seeds the outer resampling is optimistic: the bootstrap variance of a mean over S seeds is
(S - 1)/S of the unbiased estimate, two thirds for S = 3, and 0 for S = 1, where an interval covers
the samples only. Resampling both ways is the scheme of Owen (2007), "The pigeonhole bootstrap":
its variance is right on average up to such factors; no bootstrap of crossed data is exact.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sidekick.errors import SidekickError

# An interval over the replicates that happen to be defined would be conditional on that. A few are
# tolerable, more are not.
_UNDEFINED_SHARE = 0.05


class Resampler:
    """Resampling weights for the samples of several seeds.

    Parameters
    ----------
    sample_ids : sequence of sequences of str
        For each seed the ids of its test samples, in the order of its arrays. Seeds may share all,
        some or none of them.
    replicates : int
        Number of replicates B.
    seed : int
        Seed of the random generator.

    Attributes
    ----------
    seed_weights : ndarray of int64, shape (B, S)
        How often each seed was drawn: S draws with replacement; ones if S = 1.

    Raises
    ------
    SidekickError
        No seeds, no samples or a repeated id within a seed.

    Notes
    -----
    Each replicate draws as many samples with replacement as there are distinct ids, from the ids
    in sorted order: the weights depend on the set of ids and on ``seed``, never on row order. A
    replicate may hold no sample of a seed that has very few of its own.
    """

    def __init__(self, sample_ids: Sequence[Sequence[str]], replicates: int, seed: int):
        if not sample_ids or replicates < 1:
            raise SidekickError("a bootstrap needs at least one seed and one replicate")
        ids = [np.asarray(one, dtype=np.str_) for one in sample_ids]
        for index, one in enumerate(ids):
            if one.size == 0:
                raise SidekickError(f"seed number {index} has no samples")
            unique, count = np.unique(one, return_counts=True)
            if unique.size < one.size:
                repeated = str(unique[count > 1][0])
                raise SidekickError(f"seed number {index} has sample {repeated!r} more than once")
        union = np.unique(np.concatenate(ids))
        positions = [np.searchsorted(union, one) for one in ids]
        # None where a seed has all samples in this order: its weights need no copy.
        self._positions = [
            None if np.array_equal(own, np.arange(union.size)) else own for own in positions
        ]

        # Two streams, so that neither kind of weight depends on how many the other resamples.
        samples_rng, seeds_rng = (
            np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2)
        )
        n = union.size
        # A count is about Poisson(1): beyond 255 samples, one above 255 has probability 1/255!.
        self._union_weights = np.ones((1 + replicates, n), dtype=np.uint8)
        for row in self._union_weights[1:]:
            row[:] = np.bincount(samples_rng.integers(0, n, size=n), minlength=n)
        count = len(ids)
        self.seed_weights = seeds_rng.multinomial(
            count, np.full(count, 1.0 / count), size=replicates
        )

    def weights(self, seed_index: int) -> np.ndarray:
        """Return the weights of one seed's samples, in the order in which its ids were given.

        Parameters
        ----------
        seed_index : int
            Position in ``sample_ids``.

        Returns
        -------
        ndarray of uint8, shape (B, n_s)
        """
        return self.weights_and_ones(seed_index)[1:]

    def weights_and_ones(self, seed_index: int) -> np.ndarray:
        """Return the weights of the data as they are, and then :meth:`weights`.

        Parameters
        ----------
        seed_index : int

        Returns
        -------
        ndarray of uint8, shape (1 + B, n_s)
            Not to be written to: seeds with the same samples share one array.
        """
        positions = self._positions[seed_index]
        if positions is None:
            return self._union_weights
        return self._union_weights.take(positions, axis=1)


class Intervals(NamedTuple):
    """Values with their percentile intervals; NaN where undefined.

    Parameters
    ----------
    value, low, high : ndarray of float64, shape (...)
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def mean_over_seeds(values: np.ndarray, seed_weights: np.ndarray) -> np.ndarray:
    """Average a metric over seeds, in the data as they are and in each replicate.

    Parameters
    ----------
    values : ndarray of float, shape (..., S, 1 + B)
        The metric of each seed: on the data as they are, then under ``Resampler.weights``.
    seed_weights : ndarray of int, shape (B, S)
        ``Resampler.seed_weights``.

    Returns
    -------
    ndarray of float64, shape (..., 1 + B)
        NaN where any seed that counts is; a replicate does not care for seeds that it did not draw.

    Raises
    ------
    ValueError
        Shapes do not match.

    Notes
    -----
    With 3 seeds the resampling of seeds understates their variance by the factor 2/3,
    (S - 1)/S in general; Owen (2007), "The pigeonhole bootstrap".
    """
    values = np.asarray(values, dtype=np.float64)
    replicates, seeds = seed_weights.shape
    if values.shape[-2:] != (seeds, replicates + 1):
        raise ValueError(
            f"values {values.shape} and seed weights {seed_weights.shape} must be "
            "(..., S, 1 + B) and (B, S)"
        )
    counts = np.concatenate([np.ones((seeds, 1)), seed_weights.T], axis=1)
    # A seed that a replicate does not draw must not turn it into NaN through 0 * NaN.
    drawn = np.where(counts > 0, values, 0.0)
    return np.einsum("...sb,sb->...b", drawn, counts) / seeds


def intervals(replicates: np.ndarray, level: float = 0.95) -> Intervals:
    """Give values and percentile bootstrap intervals of many metrics at once.

    For paired differences, subtract the replicates of two predictors first.

    Parameters
    ----------
    replicates : ndarray of float, shape (M, 1 + B)
        Each metric in the data as they are, then in each replicate.
    level : float
        Coverage, within (0, 1).

    Returns
    -------
    Intervals
        Of shape (M,). The bounds are NaN where the value is, and where more than 5 % of the
        replicates are undefined.
    """
    value, resampled = replicates[:, 0], replicates[:, 1:]
    tails = [(1.0 - level) / 2.0, (1.0 + level) / 2.0]
    low, high = np.full((2, len(value)), np.nan)
    missing = ~np.isfinite(resampled)
    complete = np.isfinite(value) & ~missing.any(axis=1)
    if complete.any():
        low[complete], high[complete] = np.quantile(resampled[complete], tails, axis=1)
    partial = np.isfinite(value) & ~complete & (missing.mean(axis=1) <= _UNDEFINED_SHARE)
    for row in np.flatnonzero(partial):
        low[row], high[row] = np.quantile(resampled[row, ~missing[row]], tails)
    return Intervals(value, low, high)
