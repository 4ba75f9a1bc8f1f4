"""Against plain sums in extended precision.

Tolerances: in single precision 1e-6 of the size of the logits for losses and gradients and of its
square for Hessians, per row; in double precision 1e-13.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidekick.kernels import blocks as module
from sidekick.kernels.blocks import blocks
from sidekick.kernels.instructions import LOG2_E
from sidekick.kernels.moments import add_moments
from unit.kernels import cases, plain

TOLERANCE = {np.float32: 1e-6, np.float64: 1e-13}
SINGLE, DOUBLE = np.float32, np.float64
PRECISIONS = [(np.float16, SINGLE), (np.float32, SINGLE), (np.float32, DOUBLE), (DOUBLE, DOUBLE)]


def moments(logits, weights, labels, dtype, members=None):
    """Loss, number of clearly wrong rows, gradient and Hessian of one combination."""
    members = range(len(logits)) if members is None else members
    size = len(weights)
    totals = np.zeros((1, 2 + size + size * (size + 1) // 2))
    scaled = (LOG2_E * np.array([weights])).astype(dtype)
    for block in blocks(logits, dtype):
        add_moments(
            block.values,
            block.absent,
            labels[block.rows],
            np.array([members], dtype=np.int64),
            scaled,
            np.empty((2, logits[0].shape[1]), dtype=dtype),
            np.empty(totals.shape[1]),
            totals,
        )
    hessian = np.zeros((size, size))
    hessian[np.tril_indices(size)] = totals[0, 2 + size :]
    hessian.T[np.tril_indices(size)] = totals[0, 2 + size :]
    return totals[0, 0], totals[0, 1], totals[0, 2 : 2 + size], hessian


def assert_same(found, logits, weights, labels, dtype):
    loss, _, gradient, hessian = found
    # The weights as they are rounded.
    weights = (LOG2_E * np.array(weights)).astype(dtype) / np.longdouble(LOG2_E)
    exact = plain.moments(logits, weights, labels)
    wide = [own.astype(np.float64) for own in logits]
    size = np.array([np.ptp(own[np.isfinite(own)]) for own in wide]) + 1.0
    tolerance = TOLERANCE[dtype] * len(labels)
    scale = 1 + float(weights @ size)
    assert loss == pytest.approx(exact[0], abs=tolerance * scale)
    assert (np.abs(gradient - exact[1]) <= tolerance * scale * size).all()
    assert (np.abs(hessian - exact[2]) <= tolerance * scale * np.outer(size, size)).all()


@pytest.mark.parametrize("models", [1, 2, 3])
@pytest.mark.parametrize("precision", PRECISIONS, ids=lambda p: f"{p[0].__name__}-{p[1].__name__}")
@pytest.mark.parametrize("kind", cases.SHAPES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("absent", [False, True], ids=["all present", "some absent"])
def test_sums_are_the_plain_ones(kind, precision, models, absent):
    stored, dtype = precision
    for n, classes in [(1, 5), *((6, classes) for classes in cases.CLASSES)]:
        logits, labels = cases.make(kind, classes, models, n, classes, stored, absent)
        for weights in ([0.7, 0.4, 0.2], [1.0, 0.0, 0.0], [0.0, 1e-3, 2.0]):
            found = moments(logits, weights[:models], labels, dtype)
            assert_same(found, logits, weights[:models], labels, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 100])
def test_two_models_that_exclude_each_others_answer(dtype, classes):
    """Every sum of logits is so low that its power of two alone would be 0."""
    logits = [np.full((3, classes), -500.0), np.full((3, classes), -700.0)]
    logits[0][:, 0], logits[1][:, 1] = 0.0, 0.0
    labels = np.array([0, 1, classes - 1], dtype=np.int32)
    logits = [own.astype(dtype) for own in logits]
    assert_same(moments(logits, [1.0, 1.0], labels, dtype), logits, [1.0, 1.0], labels, dtype)


@pytest.mark.parametrize("weights", [[0.0], [0.0, 0.0], [0.0, 0.0, 0.0]], ids=len)
def test_weights_of_zero_make_all_classes_equal(weights):
    logits, labels = cases.make(cases.ordinary, 0, len(weights), 4, 9, np.float64)
    found = moments(logits, weights, labels, np.float64)
    assert found[0] == pytest.approx(4 * np.log(9))
    assert_same(found, logits, weights, labels, np.float64)


def test_only_the_members_count():
    logits, labels = cases.make(cases.ordinary, 1, 4, 7, 12, np.float64)
    found = moments(logits, [0.3, 0.6], labels, np.float64, members=[3, 1])
    assert_same(found, [logits[3], logits[1]], [0.3, 0.6], labels, np.float64)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("models", [1, 2, 3])
def test_rows_with_an_unlikely_label_are_counted(models, dtype):
    """No row counts unless another class is above the label."""
    logits, labels = cases.make(cases.ordinary, 2, models, 200, 6, dtype)
    weights = [0.5, 0.6, 0.7][:models]
    unlikely = plain.statistics(logits, weights, labels)["nll"] > np.log(6)
    counted = moments(logits, weights, labels, dtype)[1]
    assert counted == unlikely.sum() > 0
    z = plain.combine(logits, weights)
    assert (z.max(axis=1) > z[np.arange(200), labels])[unlikely].all()
    right = z.argmax(axis=1).astype(np.int32)
    assert moments(logits, weights, right, dtype)[1] == 0
    equal, labels = cases.make(cases.equal, 2, models, 200, 6, dtype)
    assert moments(equal, weights, labels, dtype)[1] == 0


def test_an_absent_label_has_an_infinite_loss():
    logits = [np.array([[0.0, -np.inf, 1.0]])] * 2
    assert moments(logits, [1.0, 1.0], np.array([1], dtype=np.int32), np.float64)[0] == np.inf


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("models", [1, 2, 3])
def test_blocks_do_not_show(monkeypatch, models, dtype):
    logits, labels = cases.make(cases.ordinary, 3, models, 37, 19, dtype)
    weights = [0.5, 0.6, 0.7][:models]
    whole = moments(logits, weights, labels, dtype)
    for elements in (1, 100, 333):
        monkeypatch.setattr(module, "_BLOCK_ELEMENTS", elements)
        parts = moments(logits, weights, labels, dtype)
        for one, other in zip(whole, parts, strict=True):
            np.testing.assert_array_equal(one, other)


@st.composite
def problems(draw):
    """Multiples of 1/4, whose sums with other such numbers are exact."""
    models, n = draw(st.integers(1, 3)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes = draw(st.integers(1, 40))
    logits = rng.integers(-60, 60, (models, n, classes)) / 4
    weights = draw(st.lists(st.sampled_from([0.0, 0.25, 1.5]), min_size=models, max_size=models))
    return list(logits.astype(np.float32)), weights, rng.integers(0, classes, n).astype(np.int32)


@settings(max_examples=60, deadline=None)
@given(problems(), st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]))
def test_shifts_and_orders_change_nothing(problem, seed, dtype):
    logits, weights, labels = problem
    rng = np.random.default_rng(seed)
    n, classes = logits[0].shape
    plainly = moments(logits, weights, labels, dtype)
    shifted = [own + rng.integers(-400, 400, (n, 1)).astype(np.float32) / 4 for own in logits]
    for one, other in zip(plainly, moments(shifted, weights, labels, dtype), strict=True):
        np.testing.assert_array_equal(one, other)
    rows, order = rng.permutation(n), rng.permutation(classes)
    moved = [own[rows][:, order] for own in logits]
    renamed = np.argsort(order)[labels[rows]].astype(np.int32)
    for one, other in zip(plainly, moments(moved, weights, renamed, dtype), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=n * TOLERANCE[dtype] * 2000)
