import numpy as np
import pytest
from hypothesis import given, settings

from sidekick.errors import SidekickError
from sidekick.metrics import (
    confidence_densities,
    density_overlap,
    scott_bandwidths,
    unit_weights,
)
from unit.metrics import naive
from unit.metrics.strategies import ranked


def _value(confidence, correct, bandwidths=None):
    return density_overlap(confidence, correct, unit_weights(correct.size), bandwidths)[0]


@settings(max_examples=40, deadline=None)
@given(ranked(max_size=12))
def test_against_naive(data):
    """A few samples, often at the smallest bandwidth: the worst case for the binning."""
    confidence, correct = data
    expected = naive.overlap(confidence, correct, scott_bandwidths(confidence, correct))
    np.testing.assert_allclose(_value(confidence, correct), expected, atol=1e-3)


def test_densities_against_naive():
    """At bandwidths of real data the binning onto the grid costs 1e-4 of the peak density."""
    rng = np.random.default_rng(0)
    confidence, correct = rng.beta(4, 1, 3000), rng.random(3000) < 0.7
    grid, *densities = confidence_densities(confidence, correct)
    for density, sample, bandwidth in zip(
        densities,
        (confidence[correct], confidence[~correct]),
        scott_bandwidths(confidence, correct),
        strict=True,
    ):
        expected = naive.kde(sample, bandwidth, grid)
        np.testing.assert_allclose(density, expected, atol=1e-4 * expected.max())


@settings(max_examples=50, deadline=None)
@given(ranked(min_size=2, max_size=12))
def test_each_density_integrates_to_one_within_the_interval(data):
    confidence, correct = data
    grid, *densities = confidence_densities(confidence, correct)
    for density, present in zip(densities, (correct.any(), not correct.all()), strict=True):
        area = np.trapezoid(density, grid)
        np.testing.assert_allclose(area, 1.0 if present else np.nan, atol=1e-9)


def test_scott_bandwidth():
    confidence = np.array([0.1, 0.5, 0.9, 0.7, 0.7])
    correct = np.array([True, True, True, False, False])
    assert scott_bandwidths(confidence, correct) == pytest.approx((0.4 * 3**-0.2, 0.01))
    assert scott_bandwidths(confidence[:1], correct[:1]) == (0.01, 0.01)


def test_bandwidth_is_that_of_the_unweighted_sample_in_every_replicate():
    rng = np.random.default_rng(0)
    confidence, correct = rng.random(60), rng.random(60) < 0.6
    weights = rng.integers(0, 3, (20, 60)).astype(np.uint8)
    fixed = scott_bandwidths(confidence, correct)
    replicates = density_overlap(confidence, correct, weights)
    for row, value in zip(weights, replicates, strict=True):
        repeated = np.repeat(confidence, row), np.repeat(correct, row)
        assert _value(*repeated, fixed) == pytest.approx(value, abs=1e-12)
        assert _value(*repeated) != pytest.approx(value, abs=1e-6)


def test_equal_and_separated_densities():
    confidence = np.array([0.2, 0.4, 0.2, 0.4])
    assert _value(confidence, np.array([True, True, False, False])) == pytest.approx(1)
    separated = np.array([0.99, 0.98, 0.1, 0.12])
    assert _value(separated, np.array([True, True, False, False])) == pytest.approx(0, abs=1e-9)


def test_mass_at_the_ends_stays_inside():
    confidence = np.array([1.0] * 5 + [0.0] * 5)
    grid, right, wrong = confidence_densities(confidence, np.arange(10) < 5)
    np.testing.assert_allclose(right, wrong[::-1], rtol=1e-9, atol=1e-9)
    assert right.argmax() == grid.size - 1


@pytest.mark.parametrize("right", [True, False])
def test_one_sided_is_nan_without_a_warning(right, recwarn):
    confidence = np.array([0.1, 0.7, 0.7])
    assert np.isnan(_value(confidence, np.full(3, right)))
    mixed = np.array([True, False, True])
    weights = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 1]], dtype=np.uint8)
    replicates = density_overlap(confidence, mixed, weights)
    np.testing.assert_array_equal(np.isnan(replicates), [True, True, True, False])
    assert not recwarn.list


def test_a_replicate_does_not_depend_on_the_others():
    rng = np.random.default_rng(0)
    confidence, correct = rng.random(50), rng.random(50) < 0.6
    weights = rng.integers(0, 3, (64, 50)).astype(np.uint8)
    whole = density_overlap(confidence, correct, weights)
    widths = scott_bandwidths(confidence, correct)
    alone = [density_overlap(confidence, correct, row[None], widths)[0] for row in weights]
    np.testing.assert_array_equal(alone, whole)


@pytest.mark.parametrize("value", [-1e-9, 1.1, np.nan])
def test_refused_confidence(value):
    confidence, correct = np.array([0.5, value]), np.array([True, False])
    with pytest.raises(SidekickError, match="confidence in row 1"):
        _value(confidence, correct)
    with pytest.raises(SidekickError, match="confidence in row 1"):
        confidence_densities(confidence, correct)
