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
from dataclasses import dataclass

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
        self._positions = [np.searchsorted(union, one) for one in ids]

        # Two streams, so that the sample weights do not depend on the number of seeds.
        samples_rng, seeds_rng = (
            np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2)
        )
        n = union.size
        # A count is about Poisson(1): beyond 255 samples, one above 255 has probability 1/255!.
        self._union_weights = np.empty((replicates, n), dtype=np.uint8)
        for row in self._union_weights:
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
        return self._union_weights.take(self._positions[seed_index], axis=1)


@dataclass(frozen=True)
class Interval:
    """A value with its percentile interval.

    Parameters
    ----------
    value, low, high : float
        NaN where undefined.
    note : str or None
        Why something is NaN; None where all is defined.
    """

    value: float
    low: float
    high: float
    note: str | None


def interval(
    values: np.ndarray, replicates: np.ndarray, seed_weights: np.ndarray, level: float = 0.95
) -> Interval:
    """Return the mean over seeds with its percentile bootstrap interval.

    Parameters
    ----------
    values : array_like of float, shape (S,)
        The metric of each seed on the data as they are.
    replicates : array_like of float, shape (S, B)
        The metric of each seed under ``Resampler.weights``.
    seed_weights : ndarray of int, shape (B, S)
        ``Resampler.seed_weights``.
    level : float
        Coverage, within (0, 1).

    Returns
    -------
    Interval
        All NaN if the value of some seed is undefined. ``low`` and ``high`` NaN if more than 5 % of
        the replicates are undefined; a replicate is where any seed that it draws is.

    Raises
    ------
    ValueError
        Shapes do not match.

    Notes
    -----
    A replicate is the seed-weighted mean. With 3 seeds the resampling of seeds understates their
    variance by the factor 2/3, (S - 1)/S in general; Owen (2007), "The pigeonhole bootstrap".
    """
    values = np.asarray(values, dtype=np.float64)
    replicates = np.asarray(replicates, dtype=np.float64)
    seeds = values.size
    if (
        values.ndim != 1
        or replicates.shape[:1] != (seeds,)
        or (seed_weights.shape != replicates.shape[::-1])
    ):
        raise ValueError(
            f"values {values.shape}, replicates {replicates.shape} and seed weights "
            f"{seed_weights.shape} must be (S,), (S, B) and (B, S)"
        )
    nan = float("nan")
    undefined_seeds = np.count_nonzero(~np.isfinite(values))
    if undefined_seeds:
        return Interval(nan, nan, nan, f"undefined for {undefined_seeds} of {seeds} seeds")
    value = float(values.mean())

    missing = ~np.isfinite(replicates.T)
    undefined = (missing & (seed_weights > 0)).any(axis=1)
    # A seed that a replicate does not draw must not turn it into NaN through 0 * NaN.
    filled = np.where(missing, 0.0, replicates.T)
    means = np.einsum("bs,bs->b", filled, seed_weights) / seed_weights.sum(axis=1)
    share = undefined.mean()
    if share > _UNDEFINED_SHARE:
        return Interval(value, nan, nan, f"undefined in {share:.1%} of the bootstrap replicates")
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(means[~undefined], [tail, 1.0 - tail])
    return Interval(value, float(low), float(high), None)


def paired_difference(
    values: np.ndarray,
    replicates: np.ndarray,
    baseline_values: np.ndarray,
    baseline_replicates: np.ndarray,
    seed_weights: np.ndarray,
    level: float = 0.95,
) -> Interval:
    """Return the paired difference to a baseline with its percentile bootstrap interval.

    Parameters
    ----------
    values, baseline_values : array_like of float, shape (S,)
    replicates, baseline_replicates : array_like of float, shape (S, B)
        Both under the weights of the same :class:`Resampler`.
    seed_weights : ndarray of int, shape (B, S)
    level : float

    Returns
    -------
    Interval
        Of value minus baseline; undefined where either is, as in :func:`interval`.

    Raises
    ------
    ValueError
        Shapes do not match.
    """
    difference = np.subtract(values, baseline_values)
    return interval(difference, np.subtract(replicates, baseline_replicates), seed_weights, level)
