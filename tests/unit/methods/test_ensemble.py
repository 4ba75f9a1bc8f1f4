import numpy as np
import pytest
from scipy.special import softmax

from sidekick.methods.ensemble import ensemble
from unit.methods.data import make_models


@pytest.mark.parametrize("count", [1, 2, 5])
def test_ensemble_is_the_mean_softmax(count):
    logits, labels = make_models(0, n=40, signals=(1.0,) * count)
    prediction = ensemble(logits)
    mean = np.mean([softmax(z, axis=1) for z in logits], axis=0)
    np.testing.assert_allclose(np.exp(prediction.logits), mean, rtol=1e-12)
    statistics = prediction.statistics(labels)
    np.testing.assert_allclose(statistics.probability, mean.max(axis=1))
    np.testing.assert_array_equal(statistics.predicted, mean.argmax(axis=1))


def test_probabilities_that_underflow_keep_their_logarithm():
    members = [np.array([[0.0, -2000.0, -3000.0]]), np.array([[0.0, -2500.0, -2900.0]])]
    expected = [0.0, -2000.0 - np.log(2), -2900.0 - np.log(2)]
    np.testing.assert_allclose(ensemble(members).logits[0], expected, rtol=1e-12)


def test_float16_members_and_absent_options():
    members = [np.array([[0, -1, -np.inf]], dtype=np.float16), np.array([[-2, 0, -np.inf]])]
    prediction = ensemble(members)
    assert prediction.logits.dtype == np.float64
    assert np.isneginf(prediction.logits[0]).tolist() == [False, False, True]
    assert np.exp(prediction.logits).sum() == pytest.approx(1)


def test_order_of_members_does_not_matter():
    logits, _ = make_models(1, n=20, signals=(1.0, 2.0, 3.0))
    np.testing.assert_allclose(ensemble(logits).logits, ensemble(logits[::-1]).logits, rtol=1e-12)


def test_members_have_equal_say():
    sharp, flat = np.array([[50.0, 0.0]]), np.array([[0.0, 1.0]])
    expected = (1 + softmax(flat)[0, 0]) / 2
    assert np.exp(ensemble([sharp, flat]).logits[0, 0]) == pytest.approx(expected)
