"""Stream several models' logits through the processor's cache, a block of rows at a time."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from sidekick.kernels.rows import centre_rows

# Numbers of all models in a block: at 2 to 4 MB they stay in the caches, and several rows
# fit even of many models.
_BLOCK_ELEMENTS = 1 << 19


class Block(NamedTuple):
    """Some rows of several models.

    Parameters
    ----------
    rows : slice
    values : ndarray of float32 or float64, shape (M, R, C)
        Logits relative to their row's maximum; 0 where absent.
    missing : ndarray of bool, shape (M, R, C), or None
        Which options are absent; None if none is.
    """

    rows: slice
    values: np.ndarray
    missing: np.ndarray | None

    @property
    def absent(self) -> np.ndarray:
        """-inf where an option is absent in any model, else 0: (R, C), or (0, 0) if none is."""
        if self.missing is None:
            return np.empty((0, 0), dtype=self.values.dtype)
        return np.where(self.missing.any(axis=0), -np.inf, 0.0).astype(self.values.dtype)


class UnusableRow(FloatingPointError):
    """A row of logits with NaN, +inf or nothing finite: `model` and `row` say which."""

    def __init__(self, model: int, row: int):
        super().__init__(f"model {model}, row {row}")
        self.model, self.row = model, row


def blocks(
    logits: Sequence[np.ndarray],
    dtype: type,
    orders: Sequence[np.ndarray | None] | None = None,
) -> Iterator[Block]:
    """Yield all rows in blocks; the arrays of one block are overwritten by the next.

    Parameters
    ----------
    logits : sequence of M ndarrays, shape (n, C)
        Of any float type. Nothing larger than a block is converted or copied.
    dtype : type
        np.float32 (for float16 and float32 logits only) or np.float64.
    orders : sequence of ndarray of int, shape (n,), or None
        For each model the rows to take instead of 0, 1, 2 and so on.

    Raises
    ------
    UnusableRow
    """
    orders = orders or [None] * len(logits)
    classes = logits[0].shape[1]
    rows = len(logits[0] if orders[0] is None else orders[0])
    count = max(1, _BLOCK_ELEMENTS // (classes * len(logits)))
    buffer = np.empty(len(logits) * min(count, rows) * classes, dtype=dtype)
    for start in range(0, rows, count):
        part = slice(start, min(start + count, rows))
        shape = len(logits), part.stop - start, classes
        block, missing = buffer[: math.prod(shape)].reshape(shape), None
        for model, (own, order) in enumerate(zip(logits, orders, strict=True)):
            raw = np.ascontiguousarray(own[part if order is None else order[part]])
            refused, absent = centre_rows(_readable(raw, dtype), block[model])
            if refused >= 0:
                raise UnusableRow(model, start + refused)
            if absent:
                if missing is None:
                    missing = np.zeros(block.shape, dtype=bool)
                missing[model] = np.isneginf(raw)
                block[model][missing[model]] = 0.0
        yield Block(part, block, missing)


def _readable(raw: np.ndarray, dtype: type) -> np.ndarray:
    if dtype == np.float64:
        return raw.astype(np.float64, copy=False)
    return raw.view(np.uint16) if raw.dtype == np.float16 else raw
