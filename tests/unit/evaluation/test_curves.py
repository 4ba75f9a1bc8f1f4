import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from sidekick.evaluation.curves import (
    COVERAGES,
    curve_points,
    reliability_points,
    risk_coverage_curves,
    top_share_mean,
)
from sidekick.methods.prediction import Prediction
from sidekick.metrics import aurc, risk_coverage_curve, unit_weights
from unit.methods.data import make_models
from unit.metrics.naive import orders


@st.composite
def ranked_values(draw):
    n = draw(st.integers(1, 6))
    score = draw(st.lists(st.sampled_from([0.1, 0.5, 0.9]), min_size=n, max_size=n))
    values = draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=n, max_size=n))
    return np.array(score), np.array(values)


@settings(deadline=None)
@given(ranked_values(), st.data())
def test_the_top_share_is_the_mean_over_all_orders_of_ties(ranked, data):
    score, values = ranked
    n = len(score)
    count = data.draw(st.integers(1, n))
    (found,) = top_share_mean(score, values, unit_weights(n), np.array([count / n]))[0]
    means = [values[order[::-1][:count]].mean() for order in orders(score)]
    assert found == pytest.approx(np.mean(means))


@settings(deadline=None)
@given(ranked_values(), st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_weights_are_repetitions(ranked, counts):
    score, values = ranked
    weights = np.array(counts[: len(score)])
    if weights.sum() == 0:
        return
    fractions = np.array([0.3, 0.5, 1.0])
    repeated = np.repeat(score, weights), np.repeat(values, weights)
    np.testing.assert_allclose(
        top_share_mean(score, values, weights[None], fractions),
        top_share_mean(*repeated, unit_weights(weights.sum()), fractions),
    )


def test_the_smallest_share_is_the_top_tie_group():
    score, values = np.array([0.9, 0.9, 0.1]), np.array([1.0, 0.0, 1.0])
    assert top_share_mean(score, values, unit_weights(3), np.array([0.0])) == pytest.approx(0.5)


def test_each_resample_can_have_its_own_share():
    score, values = np.array([3.0, 2.0, 1.0]), np.array([1.0, 0.0, 0.0])
    weights = np.ones((2, 3), dtype=np.uint8)
    found = top_share_mean(score, values, weights, np.array([[1 / 3], [1.0]]))
    np.testing.assert_allclose(found, [[1.0], [1 / 3]])


def test_risk_coverage_curves_are_the_metrics_curves():
    (logits, _), labels = make_models(0, n=50)
    statistics = Prediction(logits).statistics(labels)
    (curve,) = risk_coverage_curves([statistics], [unit_weights(50)])
    coverage, risk = risk_coverage_curve(statistics.confidence, statistics.correct)
    reference = [risk[np.argmin(np.abs(coverage - share))] for share in COVERAGES]
    np.testing.assert_allclose(curve[0], reference, atol=1e-12)
    assert curve[0, -1] == pytest.approx(1 - statistics.correct.mean())
    # 50 samples and 50 points: the mean of the points is the AURC itself.
    area = aurc(statistics.confidence, statistics.correct, unit_weights(50))
    assert curve[0].mean() == pytest.approx(area[0])


def test_points_have_the_band_of_the_resamples():
    curves = np.random.default_rng(0).random((41, 3))
    points = list(curve_points(np.array([0.0, 0.5, 1.0]), curves, 0.9))
    assert [point["x"] for point in points] == [0.0, 0.5, 1.0]
    np.testing.assert_array_equal([point["y"] for point in points], curves[0])
    low, high = np.quantile(curves[1:], [0.05, 0.95], axis=0)
    np.testing.assert_allclose([point["low"] for point in points], low)
    np.testing.assert_allclose([point["high"] for point in points], high)


def test_reliability_is_accuracy_by_bin_with_binomial_intervals():
    (logits, _), labels = make_models(1, n=200)
    halves = [Prediction(logits[i::2]).statistics(labels[i::2]) for i in (0, 1)]
    whole = Prediction(logits).statistics(labels)
    points = list(reliability_points(halves, 0.9))
    assert sum(point["count"] for point in points) == 200
    edges = np.arange(16) / 15
    filled = 0
    for low, high in itertools.pairwise(edges):
        inside = (whole.probability > low) & (whole.probability <= high)
        if not inside.any():
            continue
        point = points[filled]
        filled += 1
        hits, count = int(whole.correct[inside].sum()), int(inside.sum())
        assert point["x"] == pytest.approx(whole.probability[inside].mean())
        assert (point["y"], point["count"]) == (pytest.approx(hits / count), count)
        interval = binomtest(hits, count).proportion_ci(0.9, method="exact")
        assert (point["low"], point["high"]) == pytest.approx((interval.low, interval.high))
    assert filled == len(points)


@pytest.mark.parametrize("right", [True, False])
def test_reliability_of_a_bin_that_is_all_right_or_all_wrong(right):
    logits = np.array([[3.0, 0.0]] * 4)
    statistics = Prediction(logits).statistics(np.full(4, 0 if right else 1))
    (point,) = reliability_points([statistics], 0.95)
    interval = binomtest(4 * right, 4).proportion_ci(0.95, method="exact")
    assert (point["low"], point["high"]) == pytest.approx((interval.low, interval.high))
