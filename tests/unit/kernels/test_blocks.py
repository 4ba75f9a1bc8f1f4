import numpy as np
import pytest

from sidekick.kernels import blocks as module
from sidekick.kernels.blocks import UnusableRow, blocks
from unit.kernels import cases


def collect(logits, dtype, orders=None):
    """Join copies of all blocks: values, and -inf where an option is absent."""
    values, absent, ends = [], [], 0
    for block in blocks(logits, dtype, orders):
        assert block.rows.start == ends
        ends = block.rows.stop
        assert block.values.flags.c_contiguous
        assert block.values.dtype == dtype
        assert block.values.shape == (len(logits), ends - block.rows.start, logits[0].shape[1])
        values.append(block.values.copy())
        shape = block.values.shape[1:]
        absent.append(
            np.broadcast_to(block.absent, shape) if block.absent.size else np.zeros(shape)
        )
    return np.concatenate(values, axis=1), np.concatenate(absent)


def centred(own):
    wide = own.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    return np.where(np.isneginf(wide), 0.0, wide)


@pytest.mark.parametrize("elements", [1, 40, 100, 1 << 19])
@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("dtype", cases.TYPES)
def test_all_rows_come_once_and_in_order(monkeypatch, dtype, absent, elements):
    monkeypatch.setattr(module, "_BLOCK_ELEMENTS", elements)
    logits, _ = cases.make(cases.ordinary, 0, 3, 17, 5, dtype, absent)
    computed = np.float32 if dtype == np.float16 else np.float64
    values, gone = collect(logits, computed)
    for own, found in zip(logits, values, strict=True):
        np.testing.assert_allclose(found, centred(own), atol=0 if computed == np.float64 else 1e-6)
    assert (np.isneginf(gone) == np.isneginf(logits[0])).all()


def test_an_option_is_absent_if_it_is_in_any_model():
    first, second = np.zeros((2, 3)), np.zeros((2, 3))
    first[0, 1], second[1, 2] = -np.inf, -np.inf
    _, gone = collect([first, second], np.float64)
    assert np.isneginf(gone).tolist() == [[False, True, False], [False, False, True]]


def test_each_model_has_its_own_order(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK_ELEMENTS", 30)
    logits, _ = cases.make(cases.ordinary, 1, 2, 11, 4, np.float16)
    order = np.random.default_rng(0).permutation(11)[:7]
    values, _ = collect(logits, np.float32, [order[::-1], order])
    plain, _ = collect(logits, np.float32)
    assert (values[0] == plain[0][order[::-1]]).all()
    assert (values[1] == plain[1][order]).all()
    first = np.arange(7)
    values, _ = collect([own[:7] for own in logits], np.float32, [None, first[::-1]])
    assert (values[0] == plain[0][:7]).all()
    assert (values[1] == plain[1][:7][::-1]).all()


def test_rows_that_are_not_contiguous():
    (logits,), _ = cases.make(cases.ordinary, 2, 1, 20, 6, np.float16)
    values, _ = collect([logits[::3]], np.float32)
    assert (values[0] == collect([logits[::3].copy()], np.float32)[0][0]).all()
    values, _ = collect([np.asfortranarray(logits)], np.float32)
    assert (values[0] == collect([logits], np.float32)[0][0]).all()


@pytest.mark.parametrize("elements", [8, 1 << 19])
@pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
def test_an_unusable_row_is_named_by_model_and_row(monkeypatch, value, elements):
    monkeypatch.setattr(module, "_BLOCK_ELEMENTS", elements)
    logits, _ = cases.make(cases.ordinary, 3, 2, 9, 4, np.float32)
    logits[1][6, 2] = value
    with pytest.raises(UnusableRow, match="model 1, row 6") as caught:
        list(blocks(logits, np.float32))
    assert (caught.value.model, caught.value.row) == (1, 6)
    # With an order the row is its place in that order.
    with pytest.raises(UnusableRow) as caught:
        list(blocks(logits, np.float32, [None, np.arange(9)[::-1]]))
    assert (caught.value.model, caught.value.row) == (1, 2)
