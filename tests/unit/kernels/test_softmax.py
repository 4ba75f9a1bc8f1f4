"""Through `softmax_rows`, against a plain softmax in extended precision.

Tolerances of the NLL, for sums of logits down to -z: 2.5e-7 (1 + z) in single precision,
4e-15 (1 + z) in double; a quarter of that for probabilities. What a probability lacks to 1 is, by
itself, relatively as good as the NLL, as long as float64 resolves it.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidekick.errors import SidekickError
from sidekick.kernels import blocks as module
from sidekick.metrics import Combination
from sidekick.metrics.combinations import softmax_rows
from unit.kernels import cases, plain

WEIGHTS = ([1.0], [0.4], [0.7, 0.3], [1.0, 0.0], [0.0, 1.0], [1e-4, 2.0], [0.3, 0.3, 0.5])


def assert_same(logits, labels, single, weights=WEIGHTS):
    combinations = [Combination(range(len(own)), own) for own in weights if len(own) <= len(logits)]
    found = softmax_rows(logits, labels, combinations, single=single)
    rough = 2.5e-7 if single else 4e-15
    for index, one in enumerate(combinations):
        members = [logits[place] for place in one.members]
        exact = plain.statistics(members, one.weights, labels)
        wide = [own.astype(np.float64) for own in members]
        depth = 1.0 + sum(
            weight * np.ptp(own[np.isfinite(own)])
            for own, weight in zip(wide, one.weights, strict=True)
        )
        assert np.abs(found.nll[index] - exact["nll"]).max() < rough * depth
        close = rough * depth / 4
        assert np.abs(found.brier[index] - exact["brier"]).max() < close
        assert np.abs(found.probability[index] - exact["probability"]).max() < close
        lacking = 1.0 - found.probability[index]
        error = np.abs(lacking - exact["lacking"])
        assert (error <= 1.2e-16 + rough * depth * exact["lacking"]).all()
        # Where two classes are nearly equal, rounding may decide.
        rows = np.arange(len(labels))
        chosen = exact["all"][rows, found.answers[index]]
        assert (chosen >= exact["probability"] * (1 - close)).all()
        np.testing.assert_array_equal(found.asked[index], found.probability[index])


@pytest.mark.parametrize("models", [1, 2, 3])
@pytest.mark.parametrize("dtype", cases.TYPES)
@pytest.mark.parametrize("kind", cases.SHAPES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("absent", [False, True], ids=["all present", "some absent"])
def test_statistics_are_the_plain_ones(kind, dtype, models, absent):
    for n, classes in [(1, 5), *((6, classes) for classes in cases.CLASSES)]:
        logits, labels = cases.make(kind, classes, models, n, classes, dtype, absent)
        assert_same(logits, labels, single=False)
        if dtype != np.float64:
            assert_same(logits, labels, single=True)


def test_only_float16_is_computed_in_single_precision_unless_asked():
    logits, labels = cases.make(cases.ordinary, 0, 1, 300, 40, np.float16)
    once = [Combination([0], [1.0])]
    default, single, double = (
        softmax_rows(logits, labels, once, single=single) for single in (None, True, False)
    )
    np.testing.assert_array_equal(default.nll, single.nll)
    assert (default.nll != double.nll).any()
    wide = [logits[0].astype(np.float32)]
    np.testing.assert_array_equal(softmax_rows(wide, labels, once).nll, double.nll)


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("classes", [2, 130, 300])
def test_the_first_of_tied_classes_is_the_answer(single, classes):
    for first, second in {(0, 1), (classes - 2, classes - 1), (0, classes - 1)}:
        logits = np.full((1, classes), -3.0, dtype=np.float32)
        logits[0, [first, second]] = 1.0
        labels = np.zeros(1, dtype=np.int32)
        found = softmax_rows(
            [logits, logits],
            labels,
            [Combination([0], [0.5]), Combination([0, 1], [0.5, 0.25])],
            single=single,
        )
        assert (found.answers == first).all()
        assert (found.probability <= 0.5).all()


@pytest.mark.parametrize("absent", [False, True])
def test_weights_of_zero_give_equal_probabilities_and_the_first_members_answer(absent):
    logits, labels = cases.make(cases.ordinary, 1, 2, 30, 9, np.float64, absent)
    found = softmax_rows(logits, labels, [Combination([1, 0], [0.0, 0.0]), Combination([0], [0.0])])
    present = np.isfinite(logits[0]).sum(axis=1)
    np.testing.assert_array_equal(
        found.answers, [logits[1].argmax(axis=1), logits[0].argmax(axis=1)]
    )
    np.testing.assert_allclose(found.probability, [1 / present] * 2, rtol=1e-12)
    np.testing.assert_allclose(found.nll, [np.log(present)] * 2, atol=1e-12)


def test_probabilities_of_another_ones_answer():
    logits, labels = cases.make(cases.ordinary, 2, 2, 50, 12, np.float64)
    found = softmax_rows(
        logits, labels, [Combination([0], [1.0]), Combination([0, 1], [0.4, 0.9], reference=0)]
    )
    p = plain.statistics(logits, [0.4, 0.9], labels)["all"]
    answers = logits[0].argmax(axis=1)
    np.testing.assert_allclose(found.asked[1], p[np.arange(50), answers].astype(float), rtol=1e-12)
    given_class = np.full(50, 3, dtype=np.int32)
    found = softmax_rows(logits, labels, [Combination([0, 1], [0.4, 0.9])], given=given_class)
    np.testing.assert_allclose(found.asked[0], p[:, 3].astype(float), rtol=1e-12)


def test_confidences_stay_distinct_close_to_1():
    gaps = np.linspace(5, 30, 500)
    logits = np.stack([np.zeros(500), -gaps], axis=1)
    labels = np.zeros(500, dtype=np.int32)
    for own, single in ((logits, False), (logits.astype(np.float16), True)):
        found = softmax_rows([own], labels, [Combination([0], [1.0])], single=single)
        distinct = np.unique(own[:, 1])[::-1]
        assert len(np.unique(found.probability)) == len(distinct)
        order = np.argsort(-own[:, 1], kind="stable")
        assert (np.diff(found.probability[0][order]) >= 0).all()


def test_orders_are_per_model():
    logits, labels = cases.make(cases.ordinary, 3, 2, 40, 7, np.float16)
    order = np.random.default_rng(0).permutation(40)
    pair = [Combination([0, 1], [0.6, 0.4])]
    found = softmax_rows(logits, labels, pair, [None, order])
    exact = softmax_rows([logits[0], logits[1][order]], labels, pair)
    for one, other in zip(found, exact, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", cases.TYPES)
def test_blocks_and_company_do_not_show(monkeypatch, dtype):
    logits, labels = cases.make(cases.ordinary, 4, 3, 41, 23, dtype)
    combinations = [Combination(range(len(own)), own) for own in WEIGHTS]
    whole = softmax_rows(logits, labels, combinations)
    for elements in (1, 200, 777):
        monkeypatch.setattr(module, "_BLOCK_ELEMENTS", elements)
        parts = softmax_rows(logits, labels, combinations)
        for one, other in zip(whole, parts, strict=True):
            np.testing.assert_array_equal(one, other)
    for index, one in enumerate(combinations):
        alone = softmax_rows(logits, labels, [one])
        for together, own in zip(whole, alone, strict=True):
            np.testing.assert_array_equal(together[index], own[0])


@pytest.mark.parametrize("dtype", cases.TYPES)
@pytest.mark.parametrize(
    ("value", "what"),
    [(np.nan, "contain NaN"), (np.inf, "contain .inf"), (-np.inf, "are all -inf")],
)
def test_unusable_rows_are_refused(dtype, value, what):
    logits, labels = cases.make(cases.ordinary, 5, 2, 20, 5, dtype)
    logits[1][11] = value
    pair = [Combination([0, 1], [0.6, 0.4])]
    with pytest.raises(SidekickError, match=f"row 11 {what}"):
        softmax_rows(logits, labels, pair)
    with pytest.raises(SidekickError, match=f"row 8 {what}"):
        softmax_rows(logits, labels, pair, [None, np.arange(20)[::-1]])


def test_an_absent_label_is_refused():
    logits, labels = cases.make(cases.ordinary, 6, 1, 20, 5, np.float32)
    logits[0][13, labels[13]] = -np.inf
    with pytest.raises(SidekickError, match=f"label {labels[13]} in row 13 is -inf"):
        softmax_rows(logits, labels, [Combination([0], [1.0])])


@st.composite
def problems(draw):
    """Multiples of 1/4, whose sums with other such numbers are exact in float16."""
    n, classes = draw(st.integers(1, 8)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = rng.integers(-60, 60, (2, n, classes)) / 4
    dtype = draw(st.sampled_from(cases.TYPES))
    return list(logits.astype(dtype)), rng.integers(0, classes, n).astype(np.int32)


@settings(max_examples=60, deadline=None)
@given(problems(), st.integers(0, 2**32 - 1))
def test_shifts_and_orders_change_nothing(problem, seed):
    logits, labels = problem
    rng = np.random.default_rng(seed)
    n, classes = logits[0].shape
    combinations = [Combination([0, 1], [0.5, 0.25]), Combination([1], [0.75])]
    plainly = softmax_rows(logits, labels, combinations)
    shifted = [own + (rng.integers(-400, 400, (n, 1)) / 4).astype(own.dtype) for own in logits]
    for one, other in zip(plainly, softmax_rows(shifted, labels, combinations), strict=True):
        np.testing.assert_array_equal(one, other)
    rows = rng.permutation(n)
    moved = softmax_rows([own[rows] for own in logits], labels[rows], combinations)
    for one, other in zip(plainly, moved, strict=True):
        np.testing.assert_array_equal(one[:, rows], other)
    order = rng.permutation(classes)
    renamed = np.argsort(order)[labels].astype(np.int32)
    moved = softmax_rows([own[:, order] for own in logits], renamed, combinations)
    np.testing.assert_allclose(moved.nll, plainly.nll, atol=2e-5)
    np.testing.assert_allclose(moved.brier, plainly.brier, atol=1e-6)
    np.testing.assert_allclose(moved.probability, plainly.probability, atol=1e-6)
