"""Each replicate against the plain formula on rows repeated as often as they were drawn."""

import numpy as np
import pytest

from sidekick.kernels import replicates

TYPES = (np.uint8, np.int64)


def drawn(seed, n, dtype, count=5):
    """Weights (count, n): the data as they are, resamples, one row alone, no row."""
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=count).astype(dtype)
    weights[0] = 1
    weights[-1] = 0
    weights[-2] = 0
    weights[-2, n // 2] = 7
    return weights


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", [1, 15, 300, 5000])
def test_weighted_sums(n, dtype):
    weights, values = drawn(0, n, dtype), np.random.default_rng(1).normal(size=n)
    sums, totals = np.empty(5), np.empty(5, dtype=np.int64)
    replicates.weighted_sums(weights, values, sums, totals)
    np.testing.assert_allclose(sums, weights.astype(np.int64) @ values, atol=1e-10)
    assert totals.tolist() == weights.sum(axis=1, dtype=np.int64).tolist()


def test_totals_beyond_the_type_of_the_weights():
    weights = np.full((1, 4000), 255, dtype=np.uint8)
    sums, totals = np.empty(1), np.empty(1, dtype=np.int64)
    replicates.weighted_sums(weights, np.ones(4000), sums, totals)
    assert sums[0] == totals[0] == 255 * 4000


@pytest.mark.parametrize("dtype", TYPES)
def test_mean_f1(dtype):
    rng = np.random.default_rng(2)
    label, predicted = rng.integers(0, 6, (2, 40)).astype(np.int32)
    weights = drawn(3, 40, dtype)
    found = replicates.mean_f1(weights, predicted, label, 9)
    for own, value in zip(weights, found, strict=True):
        rows = np.repeat(np.arange(40), own)
        y, answers = label[rows], predicted[rows]
        scores = [
            2 * ((y == c) & (answers == c)).sum() / ((y == c).sum() + (answers == c).sum())
            for c in set(y) | set(answers)
        ]
        np.testing.assert_allclose(value, np.mean(scores) if scores else np.nan, atol=1e-14)


@pytest.mark.parametrize("dtype", TYPES)
def test_absolute_bin_sums(dtype):
    rng = np.random.default_rng(4)
    bins = np.sort(rng.choice([0, 2, 3], 50))
    order, values = rng.permutation(50), rng.normal(size=50)
    starts = np.searchsorted(bins, np.arange(6))
    weights, sums = drawn(5, 50, dtype), np.empty(5)
    replicates.absolute_bin_sums(weights, order, starts, values, sums)
    weighted = weights[:, order].astype(np.int64) * values
    exact = sum(np.abs(weighted[:, bins == k].sum(axis=1)) for k in range(5))
    np.testing.assert_allclose(sums, exact, atol=1e-12)


def ranking_by_hand(confidence, wrong, kept):
    """Total, errors, 2 x outranked pairs, summed risk with ties averaged, selections."""
    n = len(wrong)
    pairs = 0.0
    for right in confidence[~wrong]:
        pairs += 2 * (right > confidence[wrong]).sum() + (right == confidence[wrong]).sum()
    area, before, errors, selected = 0.0, 0, 0.0, np.zeros(len(kept))
    for level in np.unique(confidence)[::-1]:
        group = confidence == level
        m, e = group.sum(), wrong[group].sum()
        area += sum((errors + j * e / m) / (before + j) for j in range(1, m + 1))
        before, errors = before + m, errors + e
        selected[errors <= kept * before] = before
    return [n, wrong.sum(), pairs, area, *selected]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("levels", [1, 4, 1000])
def test_ranking_sums(levels, dtype):
    rng = np.random.default_rng(levels)
    confidence, wrong = rng.integers(0, levels, 60), rng.random(60) < 0.3
    order = np.argsort(-confidence, kind="stable")
    is_last = np.append(np.diff(confidence[order]) != 0, True)
    weights, kept = drawn(6, 60, dtype), np.array([0.5, 0.25, 0.1, 0.0])
    harmonic = np.append(0.0, np.cumsum(1 / np.arange(1, 61)))
    found = np.empty((5, 8))
    replicates.ranking_sums(weights, order, is_last, wrong[order], harmonic, kept, found)
    for own, value in zip(weights, found, strict=True):
        rows = np.repeat(np.arange(60), own)
        np.testing.assert_allclose(
            value, ranking_by_hand(confidence[rows], wrong[rows], kept), atol=1e-10
        )


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("levels", [1, 4, 1000])
def test_deferral_sums(levels, dtype):
    rng = np.random.default_rng(levels)
    rank, gain = rng.integers(0, levels, 60), rng.integers(-1, 2, 60).astype(float)
    order = np.argsort(rank, kind="stable")
    is_last = np.append(np.diff(rank[order]) != 0, True)
    shares = np.array([0.7, 0.0, 0.1, 1.0])
    weights = drawn(7, 60, dtype)
    area, everything, at = np.empty(5), np.empty(5), np.empty((4, 5))
    replicates.deferral_sums(
        weights, order, is_last, gain[order], shares, np.argsort(shares), area, everything, at
    )
    for b, own in enumerate(weights):
        rows = np.repeat(np.arange(60), own)
        if not rows.size:
            assert np.isnan([area[b], everything[b], *at[:, b]]).all()
            continue
        n, ranks, gains = len(rows), rank[rows], gain[rows]
        below = (ranks[:, None] > ranks).sum(axis=1)
        middle = (below + (ranks[:, None] == ranks).sum(axis=1) / 2) / n
        assert area[b] == pytest.approx(-(gains * (middle - 0.5)).mean(), abs=1e-12)
        assert everything[b] == pytest.approx(gains.mean(), abs=1e-12)
        # Within a tie group the gain rises along a straight line.
        levels_here = np.unique(ranks)
        ends = [0, *((ranks <= level).sum() / n for level in levels_here)]
        gained = [0, *(gains[ranks <= level].sum() / n for level in levels_here)]
        np.testing.assert_allclose(at[:, b], np.interp(shares, ends, gained), atol=1e-12)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("terms", [1, 6, 9])
def test_densities(terms, dtype):
    rng = np.random.default_rng(terms)
    members = np.sort(rng.choice(40, 23, replace=False))
    left, share = np.sort(rng.integers(0, 10, 23)), rng.random(23)
    analysis, synthesis = rng.normal(size=(11, terms)) / 50, rng.normal(size=(terms, 13)) / 50
    weights = drawn(8, 40, dtype, count=19)
    weights[-2, members[0]] = 1
    found = replicates.densities(weights, members, left, share, analysis, synthesis)
    for own, value in zip(weights[:, members].astype(float), found, strict=True):
        if not own.any():
            assert np.isnan(value).all()
            continue
        mass = np.zeros(11)
        np.add.at(mass, left, own * (1 - share) / own.sum())
        np.add.at(mass, left + 1, own * share / own.sum())
        np.testing.assert_allclose(value, 1 + mass @ analysis @ synthesis, atol=1e-12)
