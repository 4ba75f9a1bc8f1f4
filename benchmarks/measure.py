"""Measure a function in a process of its own: seconds and extra memory."""

import multiprocessing
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measurement:
    """Median seconds of the timed rounds, and peak memory above what the inputs took."""

    seconds: float
    megabytes: float


def measure(make: Callable[..., Callable[[], object]], *arguments, rounds: int = 3) -> Measurement:
    """Run `make(*arguments)` once untimed, then time what it returns.

    Parameters
    ----------
    make
        Builds the inputs and returns a function without arguments to time.
    arguments
        Passed to `make`; they must pickle.
    rounds
        Timed calls, after one that is not counted (imports, first-touch of memory).
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measure, (make, arguments, rounds))


def _measure(make, arguments, rounds: int) -> Measurement:
    function = make(*arguments)
    before = _reset_peak()
    function()
    extra = _status_megabytes("VmHWM") - before
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return Measurement(statistics.median(seconds), extra)


def _reset_peak() -> float:
    """Forget the peak that making the inputs reached (Linux); give the memory in use now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status_megabytes("VmRSS")


def _status_megabytes(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    raise KeyError(key)
