import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sidekick.methods import controls
from sidekick.methods.prediction import Prediction
from sidekick.metrics import evaluate_statistics, unit_weights
from unit.methods.data import make_models


@settings(deadline=None)
@given(st.integers(1, 50), st.data(), st.integers(0, 2**32 - 1))
def test_random_deferral_defers_exactly_as_many(n, data, seed):
    count = data.draw(st.integers(0, n))
    defer = controls.random_deferral(n, count, np.random.default_rng(seed))
    assert defer.dtype == bool
    assert defer.shape == (n,)
    assert defer.sum() == count


def test_random_deferral_is_fair():
    rng = np.random.default_rng(0)
    share = np.mean([controls.random_deferral(10, 3, rng) for _ in range(4000)], axis=0)
    np.testing.assert_allclose(share, 0.3, atol=0.04)


def test_noise_sidekick_shuffles_whole_rows():
    logits = np.random.default_rng(0).normal(size=(50, 4))
    noise = controls.noise_sidekick(logits, np.random.default_rng(1))
    assert sorted(map(tuple, noise)) == sorted(map(tuple, logits))
    assert (noise != logits).any(axis=1).sum() > 40


def test_noise_sidekick_swaps_logits_only_between_samples_with_the_same_options():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(60, 4))
    logits[rng.random(60) < 0.5, 3] = -np.inf
    logits[7, :2] = -np.inf
    noise = controls.noise_sidekick(logits, rng)
    np.testing.assert_array_equal(np.isneginf(noise), np.isneginf(logits))
    assert sorted(map(tuple, noise)) == sorted(map(tuple, logits))
    assert (noise != logits).any(axis=1).sum() > 40
    np.testing.assert_array_equal(noise[7], logits[7])


def test_oracle_ordering_cannot_be_beaten():
    (logits, _), labels = make_models(0)
    weights = unit_weights(len(labels))
    prediction = Prediction(logits)
    oracle = controls.oracle_ordering(prediction, labels).statistics(labels)
    plain = prediction.statistics(labels)
    np.testing.assert_array_equal(oracle.correct, plain.correct)
    np.testing.assert_array_equal(oracle.nll, plain.nll)
    values = evaluate_statistics(oracle, weights)
    assert values["e_aurc"][0] == 0
    assert values["auroc"][0] == 1


def test_random_ordering_knows_nothing():
    (logits, _), labels = make_models(1, n=20000)
    prediction = controls.random_ordering(Prediction(logits), np.random.default_rng(0))
    values = evaluate_statistics(prediction.statistics(labels), unit_weights(len(labels)))
    assert abs(values["auroc"][0] - 0.5) < 0.02
    assert abs(values["aurc"][0] - (1 - values["accuracy"][0])) < 0.02


def test_orderings_keep_answers_that_are_not_the_argmax():
    logits, labels = np.zeros((4, 3)), np.array([2, 2, 0, 1])
    prediction = Prediction(logits, predicted=np.array([2, 1, 0, 0]))
    oracle = controls.oracle_ordering(prediction, labels)
    assert oracle.confidence.tolist() == [1, 0, 1, 0]
    for ordered in (oracle, controls.random_ordering(prediction, np.random.default_rng(0))):
        assert ordered.answers.tolist() == [2, 1, 0, 0]
