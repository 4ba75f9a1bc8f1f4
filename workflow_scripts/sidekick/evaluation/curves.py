"""Points of curves, with intervals."""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.stats import beta

from sidekick.metrics import SampleStatistics, reliability_bins

GRID = np.linspace(0.0, 1.0, 51)
COVERAGES = GRID[1:]
# Bands of curves need fewer resamples than the numbers in the table.
CURVE_REPLICATES = 200


def top_share_mean(
    score: np.ndarray, values: np.ndarray, weights: np.ndarray, fractions: np.ndarray
) -> np.ndarray:
    """Average `values` over the top fractions of samples ranked by `score`.

    Parameters
    ----------
    score
        (n,); the highest come first. Tied samples count in equal parts.
    values
        (n,).
    weights
        (R, n) resampling weights.
    fractions
        (G,) from 0 to 1, the same for all resamples, or (R, G). At 0 the limit is given: the
        mean of the top tie group.

    Returns
    -------
    ndarray
        (R, G).
    """
    _, group = np.unique(-score, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    weight = np.add.reduceat(weights[:, order], starts, axis=1, dtype=np.float64)
    weighted = weights[:, order] * values[order]
    total = np.add.reduceat(weighted, starts, axis=1, dtype=np.float64)
    weight_sums = np.cumsum(weight, axis=1)
    total_sums = np.cumsum(total, axis=1)
    fractions = np.broadcast_to(fractions, (len(weights), np.shape(fractions)[-1]))
    result = np.empty(fractions.shape)
    for row, (reached, summed, wanted) in enumerate(
        zip(weight_sums, total_sums, fractions, strict=True)
    ):
        # A fraction of one sample at least: the mean over none of them is not defined.
        mass = np.maximum(wanted * reached[-1], np.finfo(float).eps * reached[-1])
        summed = np.interp(mass, np.append(0.0, reached), np.append(0.0, summed))
        result[row] = summed / mass
    return result


def risk_coverage_curves(
    statistics: Sequence[SampleStatistics], weights: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Give each seed's error rates (1 + R, G) among the most confident, at `COVERAGES`."""
    return [
        top_share_mean(own.confidence, 1.0 - own.correct, part, COVERAGES)
        for own, part in zip(statistics, weights, strict=False)
    ]


def curve_points(x: np.ndarray, replicates: np.ndarray, level: float) -> Iterator[dict]:
    """Turn (1 + R, G) curves, the actual one first, into points with a pointwise band."""
    low, high = np.quantile(replicates[1:], [(1 - level) / 2, (1 + level) / 2], axis=0)
    for index, position in enumerate(x):
        yield {
            "x": float(position),
            "y": float(replicates[0, index]),
            "low": float(low[index]),
            "high": float(high[index]),
        }


def reliability_points(statistics: Sequence[SampleStatistics], level: float) -> Iterator[dict]:
    """Give accuracy against mean probability per bin, over the samples of all seeds.

    The interval is Clopper-Pearson's for a binomial proportion. It treats seeds as independent
    samples, which they are not quite: they share test images.
    """
    probability = np.concatenate([own.probability for own in statistics])
    correct = np.concatenate([own.correct for own in statistics])
    bins = reliability_bins(probability, correct)
    tail = (1 - level) / 2
    for count, mean, share in zip(bins.count, bins.confidence, bins.accuracy, strict=True):
        if count == 0:
            continue
        hits = round(share * count)
        yield {
            "x": float(mean),
            "y": float(share),
            "low": float(beta.ppf(tail, hits, count - hits + 1)) if hits else 0.0,
            "high": float(beta.ppf(1 - tail, hits + 1, count - hits)) if hits < count else 1.0,
            "count": int(count),
        }
