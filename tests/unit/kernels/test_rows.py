import numpy as np
import pytest

from sidekick.kernels.rows import centre_rows
from unit.kernels import cases


def centre(logits, dtype):
    raw = logits.view(np.uint16) if logits.dtype == np.float16 else logits
    centred = np.empty(logits.shape, dtype=dtype)
    return centre_rows(np.ascontiguousarray(raw), centred), centred


@pytest.mark.parametrize("classes", cases.CLASSES)
@pytest.mark.parametrize("kind", cases.SHAPES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("n", [1, 6])
def test_rows_lose_their_maximum_exactly(kind, n, classes):
    """Float16 differences are exact in float32; those of float32 are rounded once."""
    for given, computed in (
        (np.float16, np.float32),
        (np.float32, np.float32),
        (np.float64, np.float64),
    ):
        (logits,), _ = cases.make(kind, 0, 1, n, classes, given)
        (refused, absent), centred = centre(logits, computed)
        wide = logits.astype(computed)
        assert (refused, absent) == (-1, 0)
        assert (centred == wide - wide.max(axis=1, keepdims=True)).all()
        assert (centred.max(axis=1) == 0).all()


def test_centred_rows_are_kept_bit_by_bit():
    (logits,), _ = cases.make(cases.ordinary, 1, 1, 50, 33, np.float64)
    centred = (logits - logits.max(axis=1, keepdims=True)).astype(np.float16)
    _, again = centre(centred, np.float32)
    assert (again == centred.astype(np.float32)).all()


@pytest.mark.parametrize("dtype", cases.TYPES)
def test_absent_options_are_counted(dtype):
    (logits,), _ = cases.make(cases.ordinary, 2, 1, 40, 9, dtype, absent=True)
    wide = np.float32 if dtype == np.float16 else dtype
    (refused, absent), centred = centre(logits, wide)
    assert refused == -1
    assert absent == np.isneginf(logits).sum() > 0
    assert (np.isneginf(centred) == np.isneginf(logits)).all()


@pytest.mark.parametrize("dtype", cases.TYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("classes", [1, 4, 65])
def test_the_first_unusable_row_is_named(dtype, value, classes):
    wide = np.float32 if dtype == np.float16 else dtype
    for place in {0, classes - 1}:
        (logits,), _ = cases.make(cases.ordinary, 3, 1, 20, classes, dtype)
        logits[[7, 12], place] = value
        if np.isneginf(value):
            logits[[7, 12]] = value
        (refused, _), _ = centre(logits, wide)
        assert refused == 7


def test_largest_finite_numbers_are_usable():
    for dtype in (np.float32, np.float64):
        limit = np.finfo(dtype).max
        (refused, absent), centred = centre(np.array([[limit, 0.0], [0.0, -limit]], dtype), dtype)
        assert (refused, absent) == (-1, 0)
        assert centred.tolist() == [[0.0, -limit], [0.0, -limit]]
