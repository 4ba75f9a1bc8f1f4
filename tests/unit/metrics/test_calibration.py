import numpy as np
import pytest
from hypothesis import given, settings

from sidekick.errors import SidekickError
from sidekick.metrics import ece, reliability_bins, unit_weights
from unit.metrics import naive
from unit.metrics.strategies import statistics


@settings(max_examples=100, deadline=None)
@given(statistics())
def test_ece_against_naive(s):
    value = ece(s.probability, s.correct, unit_weights(s.label.size))[0]
    assert value == pytest.approx(naive.ece(s.probability, s.correct), abs=1e-12)
    assert 0 <= value <= 1


@pytest.mark.parametrize("bins", [1, 2, 7, 10, 15, 49])
def test_edges_belong_to_the_lower_bin(bins):
    edges = np.arange(bins + 1) / bins
    expected = np.ones(bins, dtype=int)
    expected[0] = 2
    np.testing.assert_array_equal(
        reliability_bins(edges, np.ones(bins + 1, dtype=bool), bins).count, expected
    )


def test_probability_one_shares_the_last_bin():
    """Over- and under-confidence of one bin cancel; a 16th bin for 1.0 would hide that."""
    value = ece(np.array([1.0, 0.95]), np.array([False, True]), unit_weights(2))[0]
    assert value == pytest.approx(abs(0.5 - 0.975))


def test_reliability_bins_reproduce_ece():
    rng = np.random.default_rng(0)
    probability = rng.random(400)
    correct = rng.random(400) < probability**2
    bins = reliability_bins(probability, correct)
    assert bins.count.sum() == 400
    inside = (probability > bins.lower[4]) & (probability <= bins.upper[4])
    assert bins.confidence[4] == pytest.approx(probability[inside].mean())
    assert bins.accuracy[4] == pytest.approx(correct[inside].mean())
    total = np.sum(bins.count * np.abs(bins.accuracy - bins.confidence)) / 400
    assert total == pytest.approx(ece(probability, correct, unit_weights(400))[0], rel=1e-12)


def test_empty_bins_are_nan(recwarn):
    bins = reliability_bins(np.array([0.5]), np.array([True]), bins=4)
    np.testing.assert_array_equal(bins.count, [0, 1, 0, 0])
    np.testing.assert_array_equal(bins.accuracy, [np.nan, 1, np.nan, np.nan])
    np.testing.assert_array_equal(bins.confidence, [np.nan, 0.5, np.nan, np.nan])
    assert not recwarn.list


@pytest.mark.parametrize("value", [-0.1, 1.0000001, np.nan])
def test_refused_probability(value):
    with pytest.raises(SidekickError, match="probability in row 1"):
        ece(np.array([0.5, value]), np.array([True, True]), unit_weights(2))
