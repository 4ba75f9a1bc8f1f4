import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sidekick.errors import SidekickError
from sidekick.metrics import (
    accuracy_at_cost,
    accuracy_at_deferral,
    auroc,
    curve_area,
    deferral_curve,
    deferral_ratio,
    evaluate_deferral,
    ideal_curve,
    random_curve,
    unit_weights,
)
from unit.metrics import naive
from unit.metrics.strategies import ranked, weights_for

SCORES = st.sampled_from([0.0, 0.0, 1.0, 1.0, 0.25, 0.7])


@st.composite
def cascades(draw, min_size=1, max_size=9):
    """Small model's confidences with ties, and real-valued scores of both models."""
    confidence, _ = draw(ranked(min_size, max_size))
    n = confidence.size
    scores = st.lists(SCORES, min_size=n, max_size=n)
    return confidence, np.array(draw(scores)), np.array(draw(scores))


def _evaluate(data, **options):
    return evaluate_deferral(*data, unit_weights(len(data[0])), **options)


@settings(max_examples=60, deadline=None)
@given(cascades(max_size=6))
def test_area_is_that_of_the_curve_averaged_over_all_tie_breaks(data):
    curve = naive.mean_joint_accuracy(*data)
    result = _evaluate(data)
    n = len(data[0])
    area = np.trapezoid(curve, np.arange(n + 1) / n)
    assert result.deferral_area[0] == pytest.approx(area, abs=1e-12)
    gain = area - (curve[0] + curve[-1]) / 2
    assert result.deferral_gain_area[0] == pytest.approx(gain, abs=1e-12)
    assert result.small_score[0] == pytest.approx(curve[0], abs=1e-12)
    assert result.large_score[0] == pytest.approx(curve[-1], abs=1e-12)
    assert result.gap[0] == pytest.approx(curve[-1] - curve[0], abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(cascades(min_size=2))
def test_s_d_is_the_quotient_of_the_integrated_areas(data):
    confidence, small, large = data
    p_s, p_l = small.mean(), large.mean()
    assume(p_s > 0 and abs(p_l - p_s) > 1e-9)
    random_area = curve_area(*random_curve(p_s, p_l))
    real = curve_area(*deferral_curve(confidence, small, large)) - random_area
    useful = curve_area(*ideal_curve(p_s, p_l)) - random_area
    assert _evaluate(data).s_d[0] == pytest.approx(real / useful, rel=1e-9, abs=1e-12)


def test_s_d_with_ties_is_the_expectation_over_random_orders():
    rng = np.random.default_rng(0)
    confidence = rng.integers(0, 5, 100) / 4
    small, large = rng.random(100) < 0.5, rng.random(100) < 0.8
    sample = [
        _evaluate((confidence + 1e-6 * rng.random(100), small, large)).s_d[0] for _ in range(2000)
    ]
    error = np.std(sample) / np.sqrt(len(sample))
    assert abs(np.mean(sample) - _evaluate((confidence, small, large)).s_d[0]) < 4 * error


@settings(max_examples=100, deadline=None)
@given(ranked(min_size=2, max_size=20), st.sampled_from([1.0, 0.6]))
def test_s_d_is_twice_auroc_minus_one_under_nested_errors(data, success):
    """The paper's model: large right where small is, elsewhere with the same probability."""
    confidence, correct = data
    assume(0 < correct.sum() < correct.size)
    weights = unit_weights(correct.size)
    s_d = evaluate_deferral(confidence, correct, np.where(correct, 1.0, success), weights).s_d
    np.testing.assert_allclose(s_d, 2 * auroc(confidence, correct, weights) - 1, atol=1e-12)


def test_s_d_exceeds_one_when_large_fails_on_confident_samples():
    small = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    large = np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, 0])
    result = _evaluate((np.arange(10) / 10, small, large))
    assert result.s_d[0] == pytest.approx(0.165 / 0.09)
    assert result.deferral_area[0] == pytest.approx(result.oracle_area[0])


def test_s_d_rewards_a_worse_small_model_and_the_area_does_not():
    confidence, large = np.arange(10) / 10, np.ones(10)
    good = _evaluate((confidence, np.array([0, 0, 1, 0, 1, 1, 1, 1, 1, 1]), large))
    bad = _evaluate((confidence, np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1]), large))
    assert bad.s_d[0] > good.s_d[0]
    assert bad.deferral_area[0] < good.deferral_area[0]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_weights_are_repeated_rows(data):
    cascade = data.draw(cascades())
    n = len(cascade[0])
    weights = data.draw(weights_for(n))
    ratios = (0.0, 0.2, 1 / 3, 0.5, 1.0)
    result = evaluate_deferral(*cascade, weights, ratios)
    for b, row in enumerate(weights):
        repeated = _evaluate([np.repeat(part, row) for part in cascade], ratios=ratios)
        for name, value in vars(repeated).items():
            np.testing.assert_allclose(
                getattr(result, name)[..., b], value[..., 0], atol=1e-12, err_msg=name
            )
        np.testing.assert_allclose(
            result.accuracy_at[:, b],
            np.interp(ratios, *deferral_curve(*(np.repeat(part, row) for part in cascade))),
            atol=1e-12,
        )


@settings(max_examples=60, deadline=None)
@given(cascades(), st.randoms(use_true_random=False))
def test_row_order_and_monotone_maps_do_not_matter(data, random):
    rows = list(range(len(data[0])))
    random.shuffle(rows)
    result = _evaluate(data, ratios=(0.3,))
    moved = _evaluate((np.exp(data[0][rows]) - 7, data[1][rows], data[2][rows]), ratios=(0.3,))
    for name, value in vars(result).items():
        np.testing.assert_allclose(getattr(moved, name), value, atol=1e-12, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(cascades())
def test_bounds(data):
    result = _evaluate(data, ratios=(0.0, 0.4, 1.0))
    assert 0 <= result.deferral_area[0] <= result.oracle_area[0] + 1e-12 <= 1 + 1e-12
    assert abs(result.deferral_gain_area[0]) <= 0.25 + 1e-12
    assert result.accuracy_at[0, 0] == pytest.approx(result.small_score[0], abs=1e-12)
    assert result.accuracy_at[2, 0] == pytest.approx(result.large_score[0], abs=1e-12)


def test_identical_models_gain_nothing():
    scores = np.array([0.3, 0.1, 1.0])
    result = _evaluate((np.array([0.1, 0.2, 0.3]), scores, scores))
    assert result.gap[0] == result.deferral_gain_area[0] == 0.0
    assert np.isnan(result.s_d[0])


def test_s_d_of_a_rounded_gap_is_nan():
    """0.1 + 0.7 and 0.3 + 0.5 have equal means that differ in the last digit of float64."""
    small, large = np.array([0.1, 0.7, 0.1]), np.array([0.3, 0.5, 0.1])
    assert np.isnan(_evaluate((np.array([0.1, 0.2, 0.3]), small, large)).s_d[0])


def test_s_d_without_a_right_answer_of_the_small_model_is_nan():
    result = _evaluate((np.array([0.1, 0.2]), np.zeros(2), np.array([1.0, 0.0])))
    assert np.isnan(result.s_d[0])
    assert result.deferral_gain_area[0] == pytest.approx(0.125)


def test_empty_replicate_is_nan(recwarn):
    data = np.array([0.1, 0.2]), np.array([0, 1]), np.array([1, 1])
    result = evaluate_deferral(*data, np.zeros((1, 2), dtype=np.uint8), (0.5,))
    assert all(np.isnan(value).all() for value in vars(result).values())
    assert not recwarn.list


def test_more_deferral_can_lower_accuracy():
    data = np.array([0.1, 0.9]), np.array([0, 1]), np.array([1, 0])
    np.testing.assert_allclose(
        _evaluate(data, ratios=(0.0, 0.5, 1.0)).accuracy_at[:, 0], [0.5, 1.0, 0.5]
    )


def test_accuracy_at_a_ratio_and_at_a_cost():
    confidence = np.array([0.1, 0.1, 0.5, 0.9])
    small, large = np.array([0, 1, 0, 1]), np.array([1, 1, 1, 0])
    weights = np.array([[1, 1, 1, 1], [0, 0, 2, 2]], dtype=np.uint8)
    data = confidence, small, large, weights
    np.testing.assert_allclose(accuracy_at_deferral(*data, 0.25), [0.625, 0.75])
    np.testing.assert_allclose(accuracy_at_cost(*data, 1.25 + 2.0, 2.0, 5.0), [0.625, 0.75])
    np.testing.assert_allclose(accuracy_at_cost(*data, 100.0, 2.0, 5.0), [0.75, 0.5])
    assert np.isnan(accuracy_at_cost(*data, 1.9, 2.0, 5.0)).all()
    assert evaluate_deferral(*data).accuracy_at.shape == (0, 2)


def test_deferral_ratio():
    assert deferral_ratio(2.0, 2.0, 5.0) == 0.0
    assert deferral_ratio(4.5, 2.0, 5.0) == 0.5
    assert deferral_ratio(9.0, 2.0, 5.0) == 1.0
    assert np.isnan(deferral_ratio(1.0, 2.0, 5.0))
    for costs in ((0.0, 5.0), (2.0, 0.0), (np.nan, 5.0)):
        with pytest.raises(SidekickError, match="costs must be positive"):
            deferral_ratio(3.0, *costs)


def test_a_replicate_does_not_depend_on_the_others():
    rng = np.random.default_rng(0)
    data = rng.integers(0, 20, 50) / 20, rng.random(50), rng.random(50)
    weights = rng.integers(0, 3, (64, 50)).astype(np.uint8)
    whole = evaluate_deferral(*data, weights, (0.3,))
    parts = [evaluate_deferral(*data, row[None], (0.3,)) for row in weights]
    for name, value in vars(whole).items():
        alone = np.concatenate([getattr(part, name) for part in parts], axis=-1)
        np.testing.assert_array_equal(alone, value, err_msg=name)


@pytest.mark.parametrize(
    ("confidence", "small", "large", "message"),
    [
        ([0.1, 0.2], [0, 1.5], [1, 1], "small model in row 1 is 1.5"),
        ([0.1, 0.2], [0, 1], [np.nan, 1], "large model in row 0 is nan"),
        ([0.1, 0.2], [0, 1], [1], "do not match"),
        ([0.1, np.nan], [0, 1], [1, 1], "row 1 is NaN"),
        ([0.1, 0.2], [0, 1, 1], [1, 1, 1], "2 samples are ranked"),
    ],
)
def test_refusals(confidence, small, large, message):
    with pytest.raises(SidekickError, match=message):
        evaluate_deferral(confidence, small, large, unit_weights(2))
    with pytest.raises(SidekickError, match=message):
        deferral_curve(confidence, small, large)
