import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from sidekick.errors import SidekickError
from sidekick.metrics import (
    margin,
    max_softmax,
    negative_entropy,
    sample_statistics,
    statistics,
)
from unit.metrics import naive
from unit.metrics.strategies import make_logits


def test_against_naive_and_scipy(synthetic):
    logits, labels = synthetic
    s = sample_statistics(logits, labels)
    p = softmax(logits, axis=1)
    np.testing.assert_allclose(
        s.nll, -log_softmax(logits, axis=1)[np.arange(500), labels], rtol=1e-12, atol=1e-12
    )
    assert s.nll.mean() == pytest.approx(naive.nll(logits, labels), rel=1e-12)
    assert s.brier.mean() == pytest.approx(naive.brier(logits, labels), rel=1e-12)
    np.testing.assert_allclose(s.probability, p.max(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(s.confidence, s.probability)
    np.testing.assert_array_equal(s.predicted, logits.argmax(axis=1))
    np.testing.assert_array_equal(s.correct, s.predicted == labels)
    assert s.classes == 7


def test_types_of_the_arrays(synthetic):
    s = sample_statistics(*synthetic)
    for name in ("nll", "brier", "confidence", "probability"):
        assert getattr(s, name).dtype == np.float64
    assert s.correct.dtype == bool
    assert s.predicted.dtype == s.label.dtype == np.int32


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64])
def test_any_dtype_is_computed_in_float64(dtype, synthetic):
    logits, labels = synthetic
    stored = (10 * logits).astype(dtype)
    s, reference = (sample_statistics(z, labels) for z in (stored, stored.astype(np.float64)))
    np.testing.assert_array_equal(s.nll, reference.nll)
    np.testing.assert_array_equal(s.probability, reference.probability)


def test_nll_does_not_underflow():
    s = sample_statistics(np.array([[0.0, 5000.0, -5000.0]]), np.array([2]))
    assert s.nll[0] == 10_000.0
    assert s.brier[0] == 2.0


def test_small_losses_keep_their_digits():
    gap = 60.0
    s = sample_statistics(np.array([[gap, 0.0]]), np.array([0]))
    assert s.nll[0] == pytest.approx(np.exp(-gap), rel=1e-12)
    assert s.brier[0] == pytest.approx(2 * np.exp(-gap) ** 2, rel=1e-12)


def test_confidence_is_the_float64_nearest_to_the_probability():
    """Float32 is 1.0 from a gap of 17 on, float64 only from 37 on."""
    gaps = np.arange(17.0, 37.0, 0.25)
    s = sample_statistics(np.column_stack([gaps, np.zeros_like(gaps)]), np.zeros(gaps.size, int))
    assert (s.confidence < 1.0).all()
    np.testing.assert_array_equal(1.0 - s.confidence, 1.0 - (1.0 - 1.0 / (1.0 + np.exp(gaps))))


def test_absent_options_have_no_influence():
    logits, labels = make_logits(seed=1, n=40, classes=3)
    padded = np.column_stack([logits, np.full(40, -np.inf)])
    s, reference = sample_statistics(padded, labels), sample_statistics(logits, labels)
    for name in ("nll", "brier", "confidence", "predicted"):
        np.testing.assert_array_equal(getattr(s, name), getattr(reference, name))
    for score in (max_softmax, margin, negative_entropy):
        np.testing.assert_array_equal(score(padded), score(logits))


def test_ties_go_to_the_lowest_class():
    s = sample_statistics(np.array([[0.0, 3.0, 3.0], [1.0, 1.0, 1.0]]), np.array([1, 2]))
    np.testing.assert_array_equal(s.predicted, [1, 0])
    assert s.probability[1] == 1 / 3


def test_given_prediction_and_confidence(synthetic):
    logits, labels = synthetic
    predicted = np.random.default_rng(0).integers(0, 7, 500)
    s = sample_statistics(logits, labels, predicted=predicted)
    np.testing.assert_allclose(
        s.probability, softmax(logits, axis=1)[np.arange(500), predicted], rtol=1e-12
    )
    np.testing.assert_array_equal(s.correct, predicted == labels)
    np.testing.assert_array_equal(s.nll, sample_statistics(logits, labels).nll)

    confidence = margin(logits)
    s = sample_statistics(logits, labels, confidence=confidence)
    np.testing.assert_array_equal(s.confidence, confidence)
    np.testing.assert_array_equal(s.probability, sample_statistics(logits, labels).probability)


def test_scores_against_naive(synthetic):
    logits, _ = synthetic
    p = np.sort(softmax(logits, axis=1), axis=1)
    np.testing.assert_allclose(max_softmax(logits), p[:, -1], rtol=1e-12)
    np.testing.assert_allclose(margin(logits), p[:, -1] - p[:, -2], atol=1e-12)
    np.testing.assert_allclose(negative_entropy(logits), (p * np.log(p)).sum(axis=1), rtol=1e-12)


def test_scores_of_certain_and_of_clueless_rows():
    logits = np.array([[0.0, -np.inf, -np.inf], [2.0, 2.0, 2.0]])
    np.testing.assert_array_equal(max_softmax(logits), [1.0, 1 / 3])
    np.testing.assert_array_equal(margin(logits), [1.0, 0.0])
    np.testing.assert_allclose(negative_entropy(logits), [0.0, -np.log(3)], atol=1e-12)


def test_one_class():
    s = sample_statistics(np.array([[3.0], [-2.0]]), np.array([0, 0]))
    np.testing.assert_array_equal(s.confidence, [1.0, 1.0])
    np.testing.assert_array_equal(s.nll, [0.0, 0.0])
    np.testing.assert_array_equal(margin(np.array([[3.0]])), [1.0])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-50, 50))
def test_shift_of_a_row_changes_nothing(seed, shift):
    logits, labels = make_logits(seed, n=5, classes=4)
    s, shifted = (sample_statistics(z, labels) for z in (logits, logits + shift))
    for name in ("nll", "brier", "confidence"):
        np.testing.assert_allclose(getattr(shifted, name), getattr(s, name), rtol=1e-9, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.permutations(range(5)))
def test_names_of_the_classes_do_not_matter(seed, permutation):
    logits, labels = make_logits(seed, n=5, classes=5)
    renamed = np.empty_like(logits)
    renamed[:, permutation] = logits
    s = sample_statistics(logits, labels)
    t = sample_statistics(renamed, np.array(permutation)[labels])
    np.testing.assert_array_equal(s.correct, t.correct)
    for name in ("nll", "brier", "confidence"):
        np.testing.assert_allclose(getattr(t, name), getattr(s, name), rtol=1e-12, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_bounds(seed, scale):
    logits, labels = make_logits(seed, n=20, classes=3)
    s = sample_statistics(logits * scale, labels)
    assert (s.nll >= 0).all()
    assert ((s.brier >= 0) & (s.brier <= 2)).all()
    assert ((s.confidence >= 1 / 3 - 1e-12) & (s.confidence <= 1)).all()
    assert ((margin(logits * scale) >= 0) & (margin(logits * scale) <= 1)).all()
    entropy = -negative_entropy(logits * scale)
    assert ((entropy >= 0) & (entropy <= np.log(3) + 1e-12)).all()


def test_blocks_of_rows_do_not_show(monkeypatch, synthetic):
    logits, labels = synthetic
    whole = sample_statistics(logits, labels), margin(logits)
    monkeypatch.setattr(statistics, "_BLOCK_ELEMENTS", 7 * 64)
    parts = sample_statistics(logits, labels), margin(logits)
    np.testing.assert_array_equal(parts[0].nll, whole[0].nll)
    np.testing.assert_array_equal(parts[0].predicted, whole[0].predicted)
    np.testing.assert_array_equal(parts[1], whole[1])


def test_memory_stays_bounded():
    """20,000 x 1,000 logits are 160 MB as float64; the temporaries have to stay far below."""
    logits = np.zeros((20_000, 1_000), dtype=np.float16)
    tracemalloc.start()
    try:
        sample_statistics(logits, np.zeros(20_000, dtype=int))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64e6


def _logits_with(row, value):
    logits = np.zeros((5000, 300), dtype=np.float16)
    logits[row, 2] = value
    return logits


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (_logits_with(4321, np.nan), "row 4321 contain NaN"),
        (_logits_with(4321, np.inf), r"row 4321 contain \+inf"),
        (np.array([[0.0, 1.0], [-np.inf, -np.inf]]), "row 1 are all -inf"),
        (np.zeros((0, 3)), r"shape \(samples, classes\), not \(0, 3\)"),
        (np.zeros((3, 0)), "shape"),
        (np.zeros(3), "shape"),
    ],
)
def test_refused_logits(logits, message):
    with pytest.raises(SidekickError, match=message):
        sample_statistics(logits, np.zeros(len(logits), dtype=int))
    for score in (max_softmax, margin, negative_entropy):
        with pytest.raises(SidekickError, match=message):
            score(logits)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 3, 1], "label in row 1 is 3, allowed are 0 to 2"),
        ([0, 1, -1], "label in row 2 is -1"),
        ([0, 1], "one integer label for each of 3 rows"),
        ([0.0, 1.0, 1.0], "integer"),
        ([[0], [1], [1]], "integer label"),
    ],
)
def test_refused_labels(labels, message):
    with pytest.raises(SidekickError, match=message):
        sample_statistics(np.zeros((3, 3)), np.array(labels))


def test_refused_absent_label():
    logits = np.array([[0.0, 1.0], [0.0, -np.inf]])
    with pytest.raises(SidekickError, match="label 1 in row 1 is -inf"):
        sample_statistics(logits, np.array([0, 1]))


def test_refused_predictions_and_confidences():
    logits, labels = np.zeros((2, 3)), np.array([0, 1])
    with pytest.raises(SidekickError, match="predicted class in row 1 is 7"):
        sample_statistics(logits, labels, predicted=np.array([0, 7]))
    with pytest.raises(SidekickError, match="confidence in row 1 is NaN"):
        sample_statistics(logits, labels, confidence=np.array([0.5, np.nan]))
    with pytest.raises(SidekickError, match="expected 2 confidences"):
        sample_statistics(logits, labels, confidence=np.array([0.5]))
