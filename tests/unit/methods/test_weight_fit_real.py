"""Fits on the softmax outputs of real CIFAR-100 classifiers, tuned on half of the rows."""

import numpy as np
import pytest

from sidekick.methods import controls, duo
from sidekick.methods.ensemble import ensemble
from sidekick.methods.prediction import Prediction
from sidekick.methods.temperature import fit_temperature, scale
from sidekick.methods.weight_fit import fit_weights
from sidekick.metrics import Resampler, evaluate_statistics, intervals, unit_weights
from unit.methods import reference
from unit.methods.data import centred_float16

VAL = np.arange(10000) % 2 == 0
PAIRS = [("wrn", "densenet"), ("wrn", "lenet"), ("densenet", "lenet")]


def evaluate(prediction, labels):
    values = evaluate_statistics(prediction.statistics(labels), unit_weights(len(labels)))
    return {metric: value[0] for metric, value in values.items()}


@pytest.mark.parametrize("pair", PAIRS)
def test_cached_logits_have_the_same_optimum_in_single_precision(real, pair):
    models, labels = real
    halves = [centred_float16(models[name][VAL]) for name in pair]
    fit = fit_weights(halves, labels[VAL])
    weights, nll = reference.fit_by_scipy(halves, labels[VAL])
    assert fit.nll == pytest.approx(nll, abs=1e-6)
    np.testing.assert_allclose(fit.weights, weights, atol=1e-4)
    assert fit.converged


@pytest.mark.parametrize("pair", PAIRS)
def test_optimum_is_scipys(real, pair):
    models, labels = real
    logits = [models[name][:2000] for name in pair]
    fit = fit_weights(logits, labels[:2000])
    weights, nll = reference.fit_by_scipy(logits, labels[:2000])
    assert fit.nll == pytest.approx(nll, abs=1e-9)
    np.testing.assert_allclose(fit.weights, weights, atol=1e-5)
    assert fit.converged


def test_optimum_is_torchs(real):
    models, labels = real
    logits = [models["wrn"][VAL], models["densenet"][VAL]]
    fit = fit_weights(logits, labels[VAL])
    weights, nll = reference.fit_by_torch(logits, labels[VAL])
    assert fit.nll == pytest.approx(nll, abs=1e-9)
    np.testing.assert_allclose(fit.weights, weights, atol=1e-5)
    assert fit.iterations <= 5


def test_centred_float16_gives_the_same_fit(real):
    models, labels = real
    logits = [models["wrn"][VAL], models["densenet"][VAL]]
    exact = fit_weights(logits, labels[VAL])
    rounded = fit_weights([centred_float16(z) for z in logits], labels[VAL])
    np.testing.assert_allclose(rounded.weights, exact.weights, rtol=1e-3)
    assert rounded.nll == pytest.approx(exact.nll, abs=1e-5)


def test_known_temperatures(real):
    models, labels = real
    for half in (VAL, ~VAL):
        temperatures = {
            name: 1 / fit_temperature(models[name][half], labels[half]).weights[0]
            for name in ("wrn", "densenet")
        }
        assert temperatures["wrn"] == pytest.approx(1.11, abs=0.01)
        assert temperatures["densenet"] == pytest.approx(2.12, abs=0.02)


def test_averaging_probabilities_with_a_weak_model_ruins_calibration(real):
    models, labels = real
    alone = evaluate(Prediction(models["wrn"]), labels)
    averaged = evaluate(ensemble([models["wrn"], models["lenet"]]), labels)
    assert alone["accuracy"] == pytest.approx(0.7543, abs=5e-5)
    assert alone["ece"] == pytest.approx(0.058, abs=5e-4)
    assert averaged["accuracy"] == pytest.approx(0.7531, abs=5e-5)
    assert averaged["ece"] == pytest.approx(0.325, abs=5e-4)


def test_a_fitted_duo_with_a_weak_model_stays_within_the_large_ones_intervals(real):
    models, labels = real
    large, small = models["wrn"], models["lenet"]
    fit = duo.fit_duo(large[VAL], small[VAL], labels[VAL])
    tuned = fit_temperature(large[VAL], labels[VAL])
    test = labels[~VAL]
    weights = Resampler([[str(row) for row in range(len(test))]], 200, 0).weights(0)
    weights = np.concatenate([np.ones_like(weights[:1]), weights])
    alone = evaluate_statistics(scale(large[~VAL], tuned).statistics(test), weights)
    joint = evaluate(duo.weighted(large[~VAL], small[~VAL], fit), test)
    for metric in ("accuracy", "nll", "aurc", "ece", "brier"):
        _, low, high = intervals(alone[metric][None])
        assert low[0] <= joint[metric] <= high[0], metric
    assert fit.weights[1] < 0.25 * fit.weights[0]


def test_a_shuffled_sidekick_gets_almost_no_weight(real):
    models, labels = real
    noise = controls.noise_sidekick(models["densenet"], np.random.default_rng(0))
    fit = duo.fit_duo(models["wrn"][VAL], noise[VAL], labels[VAL])
    tuned = fit_temperature(models["wrn"][VAL], labels[VAL])
    assert fit.weights[1] < 0.01
    assert fit.nll <= tuned.nll
    assert fit.nll == pytest.approx(tuned.nll, abs=1e-3)


def test_a_sidekick_that_copies_its_large_model_is_no_gain(real):
    models, labels = real
    logits = models["wrn"][VAL]
    fit = duo.fit_duo(logits, 3 * logits, labels[VAL])
    tuned = fit_temperature(logits, labels[VAL])
    assert fit.nll == pytest.approx(tuned.nll, abs=1e-9)
    assert fit.weights @ [1, 3] == pytest.approx(tuned.weights[0], rel=1e-5)
