"""Measure a function in a process of its own: seconds and extra memory."""

import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measurement:
    """Median seconds of the timed rounds, and peak memory above what the inputs took.

    The memory of worker processes counts, without the pages that they share.
    """

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
    # Not a `Pool`, whose processes may not have workers of their own.
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measure, make, arguments, rounds).result()


def _measure(make, arguments, rounds: int) -> Measurement:
    function = make(*arguments)
    before = _reset_peak()
    with _worker_memory() as workers:
        function()
    extra = _status_megabytes("VmHWM") - before + max(workers)
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


@contextmanager
def _worker_memory() -> Iterator[list[float]]:
    """Collect, ten times a second, the memory that child processes have for themselves."""
    collected, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            collected.append(sum(_private_megabytes(child) for child in _children()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield collected
    finally:
        over.set()
        watcher.join()


def _children() -> list[str]:
    tasks = Path("/proc/self/task").iterdir()
    return [child for task in tasks for child in (task / "children").read_text().split()]


def _private_megabytes(process: str) -> float:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def _status_megabytes(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    raise KeyError(key)
