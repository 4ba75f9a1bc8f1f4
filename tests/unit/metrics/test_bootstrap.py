import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidekick.errors import SidekickError
from sidekick.metrics import Intervals, Resampler, intervals, mean_over_seeds, weighted_mean


def _ids(*numbers):
    return [f"s{number:05d}" for number in numbers]


def test_weights_count_draws():
    resampler = Resampler([_ids(*range(300))], replicates=500, seed=0)
    weights = resampler.weights(0)
    assert weights.shape == (500, 300)
    assert weights.dtype == np.uint8
    np.testing.assert_array_equal(weights.sum(axis=1, dtype=int), 300)
    # Multinomial: mean 1 and variance 1 - 1/n for each sample.
    assert abs(weights.mean(axis=0) - 1).max() < 5 / np.sqrt(500)
    assert weights.var() == pytest.approx(1 - 1 / 300, rel=0.02)


def test_a_sample_weighs_the_same_in_every_seed():
    a, b = _ids(*range(50)), _ids(*range(70, 20, -1))
    resampler = Resampler([a, b], replicates=30, seed=1)
    of_a = dict(zip(a, resampler.weights(0).T, strict=True))
    of_b = dict(zip(b, resampler.weights(1).T, strict=True))
    shared = set(a) & set(b)
    assert len(shared) == 29
    for sample in shared:
        np.testing.assert_array_equal(of_a[sample], of_b[sample])
    union = of_a | of_b
    np.testing.assert_array_equal(sum(w.astype(int) for w in union.values()), len(union))


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(12)), st.integers(0, 1000))
def test_row_order_does_not_matter(order, seed):
    rows = Resampler([_ids(*range(12))], replicates=5, seed=seed)
    moved = Resampler([_ids(*order)], replicates=5, seed=seed)
    np.testing.assert_array_equal(moved.weights(0), rows.weights(0)[:, order])


def test_seeded():
    ids = [_ids(*range(40))] * 3
    first, again, other = (Resampler(ids, replicates=20, seed=s) for s in (7, 7, 8))
    np.testing.assert_array_equal(first.weights(2), again.weights(2))
    np.testing.assert_array_equal(first.seed_weights, again.seed_weights)
    assert (first.weights(2) != other.weights(2)).any()
    assert (first.seed_weights != other.seed_weights).any()


def test_seed_weights_do_not_depend_on_the_samples():
    few, many = (Resampler([_ids(*range(n))] * 3, replicates=20, seed=7) for n in (2, 40))
    np.testing.assert_array_equal(few.seed_weights, many.seed_weights)


def test_sample_weights_do_not_depend_on_the_number_of_seeds():
    ids = _ids(*range(40))
    one, three = (Resampler([ids] * seeds, replicates=20, seed=7) for seeds in (1, 3))
    np.testing.assert_array_equal(one.weights(0), three.weights(1))


def test_seed_weights():
    np.testing.assert_array_equal(Resampler([_ids(0, 1)], 4, seed=0).seed_weights, np.ones((4, 1)))
    weights = Resampler([_ids(0, 1)] * 3, 4000, seed=0).seed_weights
    assert weights.shape == (4000, 3)
    np.testing.assert_array_equal(weights.sum(axis=1), 3)
    assert weights.var(axis=0) == pytest.approx(np.full(3, 2 / 3), rel=0.1)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "at least one seed"),
        ([_ids(0), []], "seed number 1 has no samples"),
        ([_ids(0, 1, 0)], "sample 's00000' more than once"),
    ],
)
def test_refused_ids(ids, message):
    with pytest.raises(SidekickError, match=message):
        Resampler(ids, replicates=3, seed=0)


def together(values, replicates):
    return np.concatenate([np.reshape(values, (-1, 1)), replicates], axis=1)


def interval(values, replicates, seed_weights, level=0.95):
    mean = mean_over_seeds(together(values, replicates), seed_weights)
    return Intervals(*(part[0] for part in intervals(mean[None], level)))


def test_interval_of_a_mean_is_the_normal_one():
    rng = np.random.default_rng(0)
    values = rng.normal(size=400)
    resampler = Resampler([_ids(*range(400))], replicates=4000, seed=0)
    replicates = weighted_mean(values, resampler.weights(0))
    result = interval([values.mean()], replicates[None], resampler.seed_weights)
    half = 1.96 * values.std() / np.sqrt(400)
    assert result.value == pytest.approx(values.mean())
    assert result.low == pytest.approx(values.mean() - half, abs=0.05 * half)
    assert result.high == pytest.approx(values.mean() + half, abs=0.05 * half)
    narrow = interval([values.mean()], replicates[None], resampler.seed_weights, level=0.5)
    assert narrow.high - narrow.low == pytest.approx(2 * half * 0.6745 / 1.96, rel=0.1)


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    resampler = Resampler([_ids(*range(100))], replicates=300, seed=0)
    covered = 0
    for _ in range(400):
        values = rng.random(100)
        replicates = weighted_mean(values, resampler.weights(0))
        result = interval([values.mean()], replicates[None], resampler.seed_weights)
        covered += result.low <= 0.5 <= result.high
    assert 0.91 <= covered / 400 <= 0.98


def test_seeds_are_resampled_and_their_variance_is_understated_by_the_stated_factor():
    """Samples carry no variance here; the variance over seeds comes out (S - 1)/S of unbiased."""
    rng = np.random.default_rng(0)
    weights = Resampler([_ids(0)] * 3, replicates=20_000, seed=0).seed_weights
    values = rng.normal(size=3)
    result = interval(values, np.repeat(values[:, None], 20_000, axis=1), weights)
    means = weights @ values / 3
    assert means.var() == pytest.approx(2 / 3 * values.var(ddof=1) / 3, rel=0.03)
    assert (result.low, result.high) == pytest.approx(np.quantile(means, [0.025, 0.975]))


def test_nested_interval_is_wider_than_that_of_either_source():
    rng = np.random.default_rng(1)
    samples, seeds = rng.normal(size=200), rng.normal(size=5)
    resampler = Resampler([_ids(*range(200))] * 5, replicates=2000, seed=0)
    replicates = np.stack([weighted_mean(samples + s, resampler.weights(0)) for s in seeds])
    both = interval(samples.mean() + seeds, replicates, resampler.seed_weights)
    only = interval([samples.mean()], replicates[:1], np.ones((2000, 1), dtype=int))
    assert both.high - both.low > only.high - only.low


def test_undefined_value():
    result = interval([0.5, np.nan, 0.7], np.full((3, 10), 0.5), np.ones((10, 3), dtype=int))
    assert np.isnan([result.value, result.low, result.high]).all()


@pytest.mark.parametrize(("missing", "defined"), [(5, True), (6, False)])
def test_undefined_replicates(missing, defined):
    replicates = np.linspace(0, 1, 100)[None].copy()
    replicates[0, :missing] = np.nan
    result = interval([0.5], replicates, np.ones((100, 1), dtype=int))
    assert result.value == 0.5
    if defined:
        expected = np.quantile(replicates[0, missing:], [0.025, 0.975])
        assert (result.low, result.high) == pytest.approx(tuple(expected))
    else:
        assert np.isnan([result.low, result.high]).all()


def test_a_seed_that_is_not_drawn_does_not_undefine_a_replicate():
    replicates = np.array([[0.2, 0.4], [np.nan, 0.6]])
    result = interval([0.3, 0.5], replicates, np.array([[2, 0], [1, 1]]))
    assert (result.low, result.high) == pytest.approx((0.2 + 0.025 * 0.3, 0.5 - 0.025 * 0.3))
    drawn = interval([0.3, 0.5], replicates, np.array([[1, 1], [1, 1]]))
    assert np.isnan(drawn.low)


def test_paired_difference_is_narrower_than_its_parts():
    rng = np.random.default_rng(0)
    common = rng.normal(size=300)
    resampler = Resampler([_ids(*range(300))], replicates=1000, seed=0)
    a, b = common + 0.02 + rng.normal(scale=0.05, size=300), common
    first, second = (
        together([x.mean()], weighted_mean(x, resampler.weights(0))[None]) for x in (a, b)
    )
    result = intervals(first - second)
    assert result.value == pytest.approx(a.mean() - b.mean())
    assert 0 < result.low < result.value < result.high
    alone = intervals(first)
    assert result.high - result.low < 0.2 * (alone.high - alone.low)
    assert [part[0] for part in intervals(first - first)] == [0, 0, 0]


def test_many_metrics_at_once_are_each_as_alone():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 3, 101))
    values[1, 2, 0] = np.nan
    values[2, :, 50:53] = np.nan
    values[3, :, 50:60] = np.nan
    weights = Resampler([_ids(0)] * 3, replicates=100, seed=0).seed_weights
    combined = mean_over_seeds(values, weights)
    at_once = np.stack(intervals(combined))
    for row, own in enumerate(values):
        alone = interval(own[:, 0], own[:, 1:], weights)
        np.testing.assert_array_equal(at_once[:, row], alone)
    assert np.isnan(at_once).sum(axis=0).tolist() == [0, 3, 0, 2]


def test_refused_shapes():
    with pytest.raises(ValueError, match="must be"):
        mean_over_seeds(np.zeros((1, 11)), np.ones((10, 2), dtype=int))
    with pytest.raises(ValueError, match="must be"):
        mean_over_seeds(np.zeros((1, 11)), np.ones((9, 1), dtype=int))
