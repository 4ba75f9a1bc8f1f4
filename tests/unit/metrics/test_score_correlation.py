import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, pointbiserialr

from sidekick.errors import SidekickError
from sidekick.metrics import unit_weights
from sidekick.metrics.score_correlation import pearson
from unit.metrics.strategies import LEVELS, weights_for

VALUES = st.sampled_from([*LEVELS.tolist(), -3.5, 12.0])


@st.composite
def pairs(draw, min_size=2, max_size=10):
    n = draw(st.integers(min_size, max_size))
    vector = st.lists(VALUES, min_size=n, max_size=n)
    return np.array(draw(vector)), np.array(draw(vector))


def _value(x, y):
    return pearson(x, y, unit_weights(len(x)))[0]


def _expected(x, y):
    if len(set(x)) < 2 or len(set(y)) < 2:
        return np.nan
    return pearsonr(x, y).statistic


@settings(max_examples=200, deadline=None)
@given(pairs())
def test_against_scipy(data):
    np.testing.assert_allclose(_value(*data), _expected(*data), atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_weights_are_repeated_rows(data):
    x, y = data.draw(pairs())
    weights = data.draw(weights_for(len(x)))
    for row, value in zip(weights, pearson(x, y, weights), strict=True):
        expected = _expected(np.repeat(x, row), np.repeat(y, row))
        np.testing.assert_allclose(value, expected, atol=1e-9)


@pytest.mark.parametrize("n", [2, 1000, 20000])
def test_real_valued_scores(n):
    rng = np.random.default_rng(n)
    x = rng.normal(size=n)
    y = np.clip(0.5 + 0.2 * x + 0.3 * rng.normal(size=n), 0, 1)
    assert _value(x, y) == pytest.approx(pearsonr(x, y).statistic, abs=1e-12)
    # Confidences that lie far from 0 and close together, and very small or large ones.
    for shift, scale in ((1e6, 1.0), (0.0, 1e-200), (0.0, 1e200)):
        assert _value(shift + scale * x, y) == pytest.approx(_value(x, y), abs=1e-9)


def test_of_correctness_it_is_the_point_biserial_correlation():
    rng = np.random.default_rng(0)
    confidence = rng.random(500)
    correct = rng.random(500) < confidence
    expected = pointbiserialr(correct, confidence).statistic
    assert _value(confidence, correct) == pytest.approx(expected, abs=1e-12)


def test_perfect_and_reversed():
    x = np.array([0.1, 0.2, 0.7])
    assert _value(x, 3 * x + 1) == pytest.approx(1.0, abs=1e-15)
    assert _value(x, -x) == pytest.approx(-1.0, abs=1e-15)
    assert abs(_value(x, 3 * x + 1)) <= 1


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9])
def test_no_spread_is_nan_without_a_warning(constant, recwarn):
    x = np.array([0.1, 0.2, 0.7])
    assert np.isnan(_value(x, np.full(3, constant)))
    assert np.isnan(_value(np.full(3, constant), x))
    assert np.isnan(_value(x[:1], x[:1]))
    # Spread overall, but none in some replicates.
    y = np.array([0.1, 0.1, 0.8])
    weights = np.array([[1, 1, 1], [4, 9, 0], [0, 0, 3], [0, 0, 0], [1, 0, 1]], dtype=np.uint8)
    found = pearson(x, y, weights)
    np.testing.assert_array_equal(np.isnan(found), [False, True, True, True, False])
    assert not recwarn.list


def test_refusals():
    x = np.array([0.1, 0.2])
    for bad in (np.nan, np.inf):
        with pytest.raises(SidekickError, match="confidence in row 1"):
            _value(np.array([0.1, bad]), x)
        with pytest.raises(SidekickError, match="score in row 1"):
            _value(x, np.array([0.1, bad]))
    with pytest.raises(SidekickError, match="2 confidences, but 3 scores"):
        pearson(x, np.array([0.1, 0.2, 0.3]), unit_weights(2))
    with pytest.raises(SidekickError, match="non-empty"):
        _value(x[:0], x[:0])
