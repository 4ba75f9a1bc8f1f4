"""How close the row kernels come to what this machine can do: reading, and exponentials."""

import time
from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import numpy as np

from benchmarks.contenders import make_cached

_CLASSES = 1000


class Kernel(NamedTuple):
    """One pass over rows: what it has to do, and how long it took."""

    name: str
    bytes: int
    exponentials: int
    seconds: float


class Roof(NamedTuple):
    """What the machine can do on one thread."""

    bytes_per_second: float
    exponentials_per_second: float

    def fractions(self, kernel: Kernel) -> tuple[float, float]:
        """Give the shares of a pass that its reading and its exponentials alone would take."""
        return (
            kernel.bytes / self.bytes_per_second / kernel.seconds,
            kernel.exponentials / self.exponentials_per_second / kernel.seconds,
        )


def measure_roof() -> tuple[Roof, list[Kernel]]:
    """Time reading, exponentials and each kernel in turn; the best of several rounds each."""
    works = {"read": _read(), "exponentials": _exponentials()}
    described = {}
    for models in (1, 2, 20):
        rows = 50_000 if models < 20 else 2_000
        logits, labels = make_cached(rows, _CLASSES, models)
        members = list(combinations(range(models), 2)) or [(0,)]
        what = f"{rows:,} × {_CLASSES:,}, " + (
            "one model" if models == 1 else f"{len(members)} duo" + "s" * (len(members) > 1)
        )
        amount = rows * _CLASSES * 2 * models, rows * _CLASSES * len(members)
        for name, make in (("fit pass", _moments), ("statistics pass", _statistics)):
            described[f"{name}, {what}"] = amount
            works[f"{name}, {what}"] = make(logits, labels, members)
    seconds = {name: [] for name in works}
    for _ in range(6):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    best = {name: min(own[1:]) for name, own in seconds.items()}
    roof = Roof(_READ_BYTES / best["read"], _EXPONENTIALS / best["exponentials"])
    return roof, [Kernel(name, *amount, best[name]) for name, amount in described.items()]


_READ_BYTES = 1 << 28
# So many numbers stay in the first-level cache.
_CACHED, _REPEATED = 4096, 10_000
_EXPONENTIALS = _CACHED * _REPEATED


def _read() -> Callable[[], object]:
    from numba import njit

    @njit(fastmath=True)
    def total(values):
        result = np.uint64(0)
        for i in range(values.size):
            result += values[i]
        return result

    values = np.ones(_READ_BYTES // 8, dtype=np.uint64)
    return lambda: total(values)


def _exponentials() -> Callable[[], object]:
    """Sum e^z as the kernels do, of numbers that stay in the cache."""
    from numba import njit

    from sidekick.kernels.instructions import LOG2_E, power_of_two

    scale = np.float32(LOG2_E)

    @njit(fastmath={"reassoc", "contract", "nsz"})
    def total(values):
        result = values[0] - values[0]
        for i in range(values.size):
            result += power_of_two(scale * values[i])
        return result

    @njit
    def repeat(values):
        result = 0.0
        for _ in range(_REPEATED):
            result += total(values)
        return result

    values = -np.linspace(0, 20, _CACHED, dtype=np.float32)
    return lambda: repeat(values)


def _moments(logits, labels, members) -> Callable[[], object]:
    """One evaluation of loss, gradient and Hessian, as a Newton step takes it."""
    from sidekick.kernels.blocks import blocks
    from sidekick.kernels.moments import add_moments

    count, size = len(members), len(members[0])
    members = np.array(members, dtype=np.int64)
    weights = np.full((count, size), 0.7, dtype=np.float32)
    totals = np.zeros((count, 2 + size + size * (size + 1) // 2))
    combined, row_sums = np.empty((2, _CLASSES), dtype=np.float32), np.empty(totals.shape[1])
    labels = labels.astype(np.int32)

    def run():
        for part in blocks(logits, np.float32):
            own = labels[part.rows]
            add_moments(part.values, part.absent, own, members, weights, combined, row_sums, totals)

    return run


def _statistics(logits, labels, members) -> Callable[[], object]:
    from sidekick.metrics import Combination, combined_statistics

    predictors = [Combination(own, [0.7] * len(own)) for own in members]
    return lambda: combined_statistics(logits, labels, predictors)
