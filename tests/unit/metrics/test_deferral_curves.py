import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidekick.errors import SidekickError
from sidekick.metrics import (
    curve_area,
    deferral_curve,
    evaluate_deferral,
    ideal_curve,
    oracle_curve,
    random_curve,
    unit_weights,
)
from unit.metrics import naive
from unit.metrics.test_deferral import cascades


@settings(max_examples=40, deadline=None)
@given(cascades(max_size=6))
def test_deferral_curve_is_the_mean_over_all_tie_breaks(data):
    n = len(data[0])
    curve = np.interp(np.arange(n + 1) / n, *deferral_curve(*data))
    np.testing.assert_allclose(curve, naive.mean_joint_accuracy(*data), atol=1e-12)


def test_deferral_curve_has_a_corner_per_threshold():
    ratio, accuracy = deferral_curve(
        np.array([0.5, 0.5, 0.9]), np.array([0, 1, 1]), np.array([1, 1, 0])
    )
    np.testing.assert_allclose(ratio, [0, 2 / 3, 1])
    np.testing.assert_allclose(accuracy, [2 / 3, 1, 2 / 3])


@settings(max_examples=40, deadline=None)
@given(cascades(max_size=7))
def test_oracle_curve_is_the_best_of_every_subset(data):
    _, small, large = data
    n = len(small)
    best = [
        small.mean() + max(sum(large[i] - small[i] for i in deferred) for deferred in subsets) / n
        for subsets in (itertools.combinations(range(n), k) for k in range(n + 1))
    ]
    np.testing.assert_allclose(
        np.interp(np.arange(n + 1) / n, *oracle_curve(small, large)), best, atol=1e-12
    )
    area = evaluate_deferral(*data, unit_weights(n)).oracle_area[0]
    assert curve_area(*oracle_curve(small, large)) == pytest.approx(area, abs=1e-12)


def test_oracle_of_correctness_rises_stays_and_falls():
    small, large = np.array([0, 0, 1, 1, 0]), np.array([1, 1, 1, 0, 0])
    ratio, accuracy = oracle_curve(small, large)
    np.testing.assert_allclose(ratio, [0, 0.4, 0.8, 1.0])
    np.testing.assert_allclose(accuracy, [0.4, 0.8, 0.8, 0.6])


@given(st.floats(0, 1), st.floats(0, 1))
def test_ideal_line_of_equation_11(p_s, p_l):
    ratio, accuracy = ideal_curve(p_s, p_l)
    assert curve_area(ratio, accuracy) == pytest.approx(
        (p_s + p_l) / 2 + p_s * (p_l - p_s) / 2, abs=1e-12
    )
    if p_s < 0.99:
        for r in np.linspace(0, 1, 7):
            expected = p_s + (p_l - p_s) / (1 - p_s) * r if r <= 1 - p_s else p_l
            assert np.interp(r, ratio, accuracy) == pytest.approx(expected, abs=1e-12)


def test_ideal_line_is_no_upper_bound():
    """The large model fails where the small one is right: the oracle beats Eq. 11."""
    small, large = np.array([1, 1, 0, 0]), np.array([1, 0, 1, 1])
    assert curve_area(*oracle_curve(small, large)) > curve_area(*ideal_curve(0.5, 0.75))


def test_random_line():
    assert curve_area(*random_curve(0.2, 0.8)) == pytest.approx(0.5)


def test_refused_scores():
    with pytest.raises(SidekickError, match="large model in row 0"):
        oracle_curve([0.5], [1.5])
