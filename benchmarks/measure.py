"""Measure a function in a process of its own: seconds and extra memory."""

import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
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
    """Time what `make(*arguments)` returns, after one call that does not count.

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


def compare(
    ours: Callable[..., Callable[[], object]],
    peer: Callable[..., Callable[[], object]],
    *arguments,
    peer_arguments: tuple | None = None,
    rounds: int = 3,
) -> tuple[Measurement, Measurement, float]:
    """Measure two functions in turn, so that what else the machine does hits both.

    Parameters
    ----------
    ours, peer, arguments, rounds
        As for `measure`.
    peer_arguments
        Of `peer`, if they are others.

    Returns
    -------
    ours, peer : Measurement
    ratio : float
        Median of the rounds' ratios, peer to ours.
    """
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, mp_context=context) as first,
        ProcessPoolExecutor(1, mp_context=context) as second,
    ):
        pools = first, second
        # One after the other: making inputs must not disturb the other's first call.
        for pool, make, own in zip(
            pools, (ours, peer), (arguments, peer_arguments or arguments), strict=True
        ):
            pool.submit(_prepare, make, own).result()
        taken = [[pool.submit(_take).result() for pool in pools] for _ in range(rounds)]
    ours_taken, peer_taken = zip(*taken, strict=True)
    ratio = statistics.median(b.seconds / a.seconds for a, b in taken)
    return _median(ours_taken), _median(peer_taken), ratio


def _measure(make, arguments, rounds: int) -> Measurement:
    _prepare(make, arguments)
    return _median([_take() for _ in range(rounds)])


def _median(taken: Sequence[Measurement]) -> Measurement:
    """Give the median time and the largest extra memory."""
    return Measurement(
        statistics.median(one.seconds for one in taken), max(one.megabytes for one in taken)
    )


# What a measured process was asked to run.
_PREPARED: list[Callable[[], object]] = []


def _prepare(make, arguments) -> None:
    """Make the inputs and run once: imports, compilation and first touch of memory do not count."""
    _PREPARED[:] = [make(*arguments)]
    _PREPARED[0]()


def _take() -> Measurement:
    before = _reset_peak()
    with _worker_memory() as workers:
        start = time.perf_counter()
        _PREPARED[0]()
        seconds = time.perf_counter() - start
    return Measurement(seconds, _status_megabytes("VmHWM") - before + max(workers))


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
