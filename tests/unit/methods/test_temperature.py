import numpy as np
import pytest
from scipy.special import softmax

from sidekick.methods.temperature import fit_temperature, scale
from unit.methods import reference
from unit.methods.data import make_models


def test_temperature_is_the_best_of_a_fine_grid():
    (logits, _), labels = make_models(0)
    fit = fit_temperature(logits, labels)
    grid = np.linspace(0.9, 1.1, 201) * fit.weights[0]
    losses = [reference.nll_and_gradient([w], [logits], labels)[0] for w in grid]
    assert np.argmin(losses) == 100


def test_scaling_is_a_softmax_of_weighted_logits():
    (logits, _), labels = make_models(1, n=20)
    fit = fit_temperature(logits, labels)
    prediction = scale(logits, fit)
    np.testing.assert_allclose(
        softmax(prediction.logits, axis=1), softmax(fit.weights[0] * logits, axis=1), rtol=1e-12
    )
    assert prediction.predicted is None
    np.testing.assert_array_equal(prediction.answers, logits.argmax(axis=1))


def test_float16_is_scaled_in_double_precision():
    logits = np.array([[0.0, -3.0]], dtype=np.float16)
    fit = fit_temperature(*[np.array(a) for a in ([[0.0, -3.0], [0.0, -1.0]], [0, 1])])
    assert scale(logits, fit).logits.dtype == np.float64


def test_absent_options_stay_absent():
    logits = np.array([[1.0, -np.inf, 0.0], [0.0, 2.0, -np.inf], [0.5, 0.0, 0.0]])
    fit = fit_temperature(logits, np.array([0, 0, 0]))
    assert np.isneginf(scale(logits, fit).logits).tolist() == np.isneginf(logits).tolist()


def test_answers_do_not_change_even_if_the_fit_finds_no_information():
    (logits, _), _ = make_models(2, n=40)
    fit = fit_temperature(logits, logits.argmin(axis=1))
    prediction = scale(np.hstack([logits, np.full((40, 1), -np.inf)]), fit)
    assert fit.weights[0] == 0
    np.testing.assert_array_equal(prediction.answers, logits.argmax(axis=1))
    statistics = prediction.statistics(logits.argmax(axis=1))
    assert statistics.correct.all()
    assert statistics.probability == pytest.approx(np.full(40, 1 / 5))
