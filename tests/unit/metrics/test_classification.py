import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidekick.metrics import (
    accuracy,
    brier,
    coverage,
    macro_f1,
    nll,
    selective_accuracy,
    unit_weights,
)
from unit.metrics import naive
from unit.metrics.strategies import statistics


@settings(max_examples=100, deadline=None)
@given(statistics())
def test_macro_f1_against_naive(s):
    value = macro_f1(s.predicted, s.label, unit_weights(s.label.size))
    assert value[0] == pytest.approx(naive.macro_f1(s.predicted, s.label), rel=1e-12)


def test_classes_that_a_replicate_lacks_are_left_out():
    predicted, label = np.array([0, 1, 5]), np.array([0, 2, 5])
    weights = np.array([[1, 1, 1], [1, 0, 0], [0, 1, 0]], dtype=np.uint8)
    np.testing.assert_allclose(macro_f1(predicted, label, weights), [2 / 4, 1.0, 0.0])


def test_macro_f1_of_a_replicate_does_not_depend_on_the_others():
    rng = np.random.default_rng(0)
    predicted, label = rng.integers(0, 6, (2, 40))
    weights = rng.integers(0, 4, (50, 40)).astype(np.uint8)
    whole = macro_f1(predicted, label, weights)
    alone = [macro_f1(predicted, label, row[None])[0] for row in weights]
    np.testing.assert_array_equal(alone, whole)


def test_means():
    weights = np.array([[1, 1, 1], [0, 3, 1]], dtype=np.uint8)
    np.testing.assert_allclose(accuracy(np.array([True, False, True]), weights), [2 / 3, 1 / 4])
    np.testing.assert_allclose(nll(np.array([1.0, 2.0, 6.0]), weights), [3.0, 3.0])
    np.testing.assert_allclose(brier(np.array([0.0, 2.0, 1.0]), weights), [1.0, 7 / 4])


def test_selection():
    accepted, correct = np.array([True, True, False, False]), np.array([True, False, True, False])
    weights = np.array([[1, 1, 1, 1], [3, 1, 0, 4], [0, 0, 1, 1]], dtype=np.uint8)
    np.testing.assert_allclose(coverage(accepted, weights), [0.5, 0.5, 0.0])
    np.testing.assert_allclose(selective_accuracy(accepted, correct, weights), [0.5, 0.75, np.nan])


@given(st.integers(1, 6), st.booleans())
def test_all_right_or_all_wrong(n, right):
    label = np.arange(n)
    predicted = label if right else label + n
    assert macro_f1(predicted, label, unit_weights(n))[0] == float(right)
    assert accuracy(predicted == label, unit_weights(n))[0] == float(right)
