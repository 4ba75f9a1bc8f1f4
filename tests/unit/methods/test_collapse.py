import numpy as np
import pytest

from sidekick.methods.collapse import find_collapse, is_collapsed


def _network(accuracy, sharpness, samples=4000, classes=100, seed=0):
    """Logits that put `sharpness` on one class, the label in a share `accuracy` of the samples."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, samples)
    answers = np.where(rng.random(samples) < accuracy, labels, (labels + 1) % classes)
    logits = 0.01 * rng.normal(size=(samples, classes))
    logits[np.arange(samples), answers] += sharpness
    return logits, labels


def test_a_useful_network_has_not_collapsed():
    logits, labels = _network(0.5, 5.0)
    found = find_collapse(logits, labels)
    assert not found.collapsed
    assert found.reason is None
    assert found.accuracy == pytest.approx(0.5, abs=0.03)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert found.mean_confidence == pytest.approx(probabilities.max(axis=1).mean(), rel=1e-12)
    # Probabilities may be given as their logarithms.
    assert find_collapse(np.log(probabilities), labels).mean_confidence == pytest.approx(
        found.mean_confidence, rel=1e-12
    )


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_uniform_answers(classes):
    labels = np.arange(300) % classes
    found = find_collapse(np.zeros((300, classes)), labels)
    assert found.collapsed
    assert found.mean_confidence == pytest.approx(1 / classes)
    assert "mean confidence" in found.reason
    assert "accuracy" in found.reason


def test_nearly_uniform_but_somewhat_right():
    """As at alpha 0.1 in a published reproduction: accuracy 2 % of 100 classes."""
    logits, labels = _network(0.02, 0.8)
    found = find_collapse(logits, labels)
    assert found.accuracy > found.majority
    assert found.reason.startswith("mean confidence 0.02")
    assert not is_collapsed(*_network(0.12, 3.0))


def test_sure_of_one_class():
    logits, labels = np.zeros((100, 10)), np.arange(100) % 10
    logits[:, 3] = 20
    found = find_collapse(logits, labels)
    assert found.reason == "accuracy 0.1000, while the most frequent class has 0.1000"
    assert found.mean_confidence > 0.99


def test_the_limit_is_two_per_cent_of_the_way():
    labels = np.arange(200) % 4
    for top, expected in ((0.2649, True), (0.2651, False)):
        p = np.full((200, 4), (1 - top) / 3)
        p[np.arange(200), labels] = top
        assert is_collapsed(np.log(p), labels) is expected


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_none(bad):
    logits, labels = _network(0.9, 5.0, samples=20)
    logits[7, 3] = bad
    assert find_collapse(logits, labels).reason == "row 7 of the logits has no largest finite one"
    logits[7] = -np.inf
    assert is_collapsed(logits, labels)


def test_absent_options_count_per_row():
    logits = np.zeros((60, 4))
    logits[:30, 2:] = -np.inf
    labels = np.arange(60) % 2
    found = find_collapse(logits, labels)
    assert "uniform is 0.3750" in found.reason


def test_degenerate_splits():
    # Of a single sample, or a single class, accuracy says nothing.
    assert not is_collapsed(np.array([[5.0, 0.0]]), np.array([0]))
    assert not is_collapsed(np.array([[5.0, 0.0]]), np.array([1]))
    assert is_collapsed(np.array([[0.0, 0.0]]), np.array([1]))
    assert not is_collapsed(np.zeros((5, 1)), np.zeros(5, dtype=int))
