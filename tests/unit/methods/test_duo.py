import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from sidekick.methods import duo
from sidekick.methods.temperature import fit_temperature, scale
from sidekick.methods.weight_fit import WeightFit
from unit.methods.data import make_models

LARGE = np.array([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5], [1.0, 0.9, 0.0]])
SMALL = np.array([[0.0, 3.0, 0.0], [0.0, 0.0, 4.0], [-1.0, 0.0, 0.5]])


def fit_of(*weights):
    weights = np.array(weights)
    return WeightFit(weights, 0.0, 1, 0.0, True, weights == 0, False)


def expect(prediction, logits, answers, confidence):
    """Compare with logits, answers and confidences worked out by hand."""
    np.testing.assert_allclose(softmax(prediction.logits, axis=1), softmax(logits, axis=1))
    assert prediction.answers.tolist() == list(answers)
    statistics = prediction.statistics(np.zeros(len(answers), int))
    assert statistics.predicted.tolist() == list(answers)
    np.testing.assert_allclose(statistics.confidence, confidence)


def test_weighted_is_the_papers_formula():
    fit = fit_of(0.5, 0.75)
    logits = 0.5 * LARGE + 0.75 * SMALL
    # By hand, second row: (0, 0.5, 3.25). The duo overrules the large model there.
    p = softmax(logits, axis=1)
    expect(duo.weighted(LARGE, SMALL, fit), logits, [1, 2, 1], [p[0, 1], p[1, 2], p[2, 1]])
    assert duo.weighted(LARGE, SMALL, fit).logits[1] == pytest.approx([0.0, 0.5, 3.25])


def test_uq_only_answers_as_the_large_model_with_the_duos_probability():
    fit = fit_of(0.5, 0.75)
    logits = 0.5 * LARGE + 0.75 * SMALL
    p = softmax(logits, axis=1)
    prediction = duo.uq_only(LARGE, SMALL, fit)
    expect(prediction, logits, [0, 1, 0], [p[0, 0], p[1, 1], p[2, 0]])


def test_as_released_answers_as_the_duo_with_the_probability_of_the_large_models_class():
    fit = fit_of(0.5, 0.75)
    logits = 0.5 * LARGE + 0.75 * SMALL
    p = softmax(logits, axis=1)
    prediction = duo.weighted_as_released(LARGE, SMALL, fit)
    expect(prediction, logits, [1, 2, 1], [p[0, 0], p[1, 1], p[2, 0]])
    # Calibration is about the answer all the same.
    probability = prediction.statistics(np.zeros(3, int)).probability
    np.testing.assert_allclose(probability, [p[0, 1], p[1, 2], p[2, 1]])


def test_unweighted_averages_logits_scaled_by_single_temperatures():
    large_fit, small_fit = fit_of(1 / 2.0), fit_of(1 / 0.5)
    logits = (LARGE / 2.0 + SMALL / 0.5) / 2
    p = softmax(logits, axis=1).max(axis=1)
    expect(duo.unweighted(LARGE, SMALL, large_fit, small_fit), logits, logits.argmax(axis=1), p)


def test_divisors_are_the_released_codes_temperatures():
    weights = np.array([0.8, 0.0])
    divisors = duo.divisors(weights)
    assert divisors.tolist() == [0.625, np.inf]
    # z = (z_l / T_l + z_s / T_s) / 2 is the same combination.
    released = (LARGE / divisors[0] + SMALL / divisors[1]) / 2
    np.testing.assert_allclose(released, duo.combine(LARGE, SMALL, weights))


def test_without_a_sidekick_the_duo_is_exactly_temperature_scaling():
    (large, small), labels = make_models(0, n=500)
    fit, alone = duo.fit_duo(large, -small, labels), fit_temperature(large, labels)
    assert fit.weights[1] == 0
    fit = WeightFit(np.array([alone.weights[0], 0.0]), *list(vars(alone).values())[1:])
    scaled = scale(large, alone)
    for prediction in (
        duo.weighted(large, -small, fit),
        duo.uq_only(large, -small, fit),
        duo.weighted_as_released(large, -small, fit),
    ):
        np.testing.assert_array_equal(prediction.logits, scaled.logits)
        ours, theirs = (p.statistics(labels) for p in (prediction, scaled))
        np.testing.assert_array_equal(ours.predicted, theirs.predicted)
        np.testing.assert_allclose(ours.confidence, theirs.confidence, rtol=1e-12)


def test_fit_is_joint():
    (large, small), labels = make_models(1, n=1000)
    fit = duo.fit_duo(large, small, labels)
    separately = [fit_temperature(z, labels).weights[0] for z in (large, small)]
    losses = {
        name: prediction.statistics(labels).nll.mean()
        for name, prediction in (
            ("joint", duo.weighted(large, small, fit)),
            ("separate", duo.weighted(large, small, fit_of(*separately))),
            ("unweighted", duo.unweighted(large, small, *map(fit_of, separately))),
        )
    }
    assert losses["joint"] == pytest.approx(fit.nll, abs=1e-12)
    assert losses["joint"] < min(losses["separate"], losses["unweighted"])


@settings(deadline=None)
@given(st.floats(0, 2), st.floats(0, 2), st.integers(0, 2**32 - 1))
def test_an_option_that_is_absent_in_either_model_is_absent_in_the_duo(w_large, w_small, seed):
    rng = np.random.default_rng(seed)
    large, small = rng.normal(size=(2, 4, 5))
    large[:, 1] = -np.inf
    small[:, 3] = -np.inf
    absent = np.isneginf(duo.combine(large, small, np.array([w_large, w_small])))
    assert absent.tolist() == [[False, True, False, True, False]] * 4


def test_with_both_weights_zero_the_answers_are_the_large_models():
    fit = fit_of(0.0, 0.0)
    for prediction in (
        duo.weighted(LARGE, SMALL, fit),
        duo.uq_only(LARGE, SMALL, fit),
        duo.unweighted(LARGE, SMALL, fit_of(0.0), fit_of(0.0)),
        duo.weighted_as_released(LARGE, SMALL, fit),
    ):
        expect(prediction, np.zeros((3, 3)), LARGE.argmax(axis=1), [1 / 3] * 3)


def test_float16_is_combined_in_double_precision():
    halves = LARGE.astype(np.float16), SMALL.astype(np.float16)
    assert duo.combine(*halves, np.array([0.3, 0.7])).dtype == np.float64
