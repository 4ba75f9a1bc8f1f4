import dataclasses
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidekick.metrics import (
    density_overlap,
    evaluate_statistics,
    negative_entropy,
    sample_statistics,
    scott_bandwidths,
    undefined_reason,
    unit_weights,
)
from unit.metrics.strategies import make_logits, statistics, weights_for


def _rows(s, index):
    """The statistics of the given rows, in that order and as often as they are named."""
    fields = {
        field.name: getattr(s, field.name)[index]
        for field in dataclasses.fields(s)
        if field.name != "classes"
    }
    return dataclasses.replace(s, **fields)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_weights_are_repeated_rows(data):
    """Every metric: w_i copies of row i give the value that the weight w_i gives."""
    s = data.draw(statistics())
    n = s.label.size
    weights = data.draw(weights_for(n))
    replicates = evaluate_statistics(s, weights)
    # The bandwidths belong to the data, not to the replicate.
    fixed = scott_bandwidths(s.confidence, s.correct)
    for b, row in enumerate(weights):
        repeated = _rows(s, np.repeat(np.arange(n), row))
        ones = unit_weights(repeated.label.size)
        expected = evaluate_statistics(repeated, ones)
        expected["overlap"] = density_overlap(repeated.confidence, repeated.correct, ones, fixed)
        for name, value in expected.items():
            np.testing.assert_allclose(
                replicates[name][b], value[0], rtol=1e-12, atol=1e-12, err_msg=name
            )


@settings(max_examples=50, deadline=None)
@given(statistics(max_size=15), st.randoms(use_true_random=False))
def test_row_order_does_not_matter(s, random):
    rows = list(range(s.label.size))
    random.shuffle(rows)
    ones = unit_weights(len(rows))
    expected = evaluate_statistics(s, ones)
    for name, value in evaluate_statistics(_rows(s, rows), ones).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-12, atol=1e-12, err_msg=name)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.permutations(range(5)))
def test_names_of_the_classes_do_not_matter(seed, permutation):
    logits, labels = make_logits(seed, n=40, classes=5)
    renamed = np.empty_like(logits)
    renamed[:, permutation] = logits
    expected = evaluate_statistics(sample_statistics(logits, labels), unit_weights(40))
    values = evaluate_statistics(
        sample_statistics(renamed, np.array(permutation)[labels]), unit_weights(40)
    )
    for name, value in values.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-9, atol=1e-12, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(statistics(max_size=15))
def test_nan_exactly_where_there_is_a_reason(s):
    for name, value in evaluate_statistics(s, unit_weights(s.label.size)).items():
        assert np.isnan(value[0]) == (undefined_reason(name, s) is not None), name


@pytest.mark.parametrize("n", [1, 6])
def test_reasons(n):
    logits, labels = np.eye(3)[np.arange(n) % 3], np.arange(n) % 3
    right, wrong = sample_statistics(logits, labels), sample_statistics(logits, (labels + 1) % 3)
    single = sample_statistics(np.zeros((n, 1)), np.zeros(n, dtype=int))
    for metric in ("auroc", "overlap"):
        assert undefined_reason(metric, right) == "no errors"
        assert undefined_reason(metric, wrong) == "no correct samples"
        assert undefined_reason(metric, single) == "one class"
    for metric in ("accuracy", "aurc", "e_aurc", "augrc", "sac_99", "ece", "macro_f1"):
        for s in (right, wrong, single):
            assert undefined_reason(metric, s) is None
            assert np.isfinite(evaluate_statistics(s, unit_weights(n))[metric][0])


def test_confidence_on_another_scale_leaves_only_the_overlap_undefined():
    logits, labels = make_logits(seed=0, n=100, classes=4)
    s = sample_statistics(logits, labels, confidence=negative_entropy(logits))
    values = evaluate_statistics(s, unit_weights(100))
    assert [name for name, value in values.items() if np.isnan(value[0])] == ["overlap"]
    assert undefined_reason("overlap", s) == "confidence outside [0, 1]"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_replicate_does_not_depend_on_the_others(dtype):
    s = sample_statistics(*make_logits(seed=0, n=60, classes=4))
    weights = np.random.default_rng(0).integers(0, 4, (70, 60)).astype(dtype)
    whole = evaluate_statistics(s, weights)
    parts = [evaluate_statistics(s, row[None]) for row in weights]
    for name, value in whole.items():
        np.testing.assert_array_equal([part[name][0] for part in parts], value, err_msg=name)


@pytest.mark.parametrize(("n", "replicates"), [(100, 20_000), (20_000, 100)])
def test_memory_stays_bounded(n, replicates):
    """Results aside, the peak is that of the blocks: 64 MB whatever B and n."""
    rng = np.random.default_rng(0)
    s = sample_statistics(rng.normal(size=(n, 10)), rng.integers(0, 10, n))
    weights = rng.integers(0, 3, (replicates, n)).astype(np.uint8)
    tracemalloc.start()
    try:
        evaluate_statistics(s, weights)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64e6
