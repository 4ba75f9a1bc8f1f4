"""The evaluation engine beside its peers, beside the machine's limits, and as models are added."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from benchmarks import contenders, samples
from benchmarks.measure import Measurement, compare, measure
from benchmarks.roof import measure_roof

# Goals are stated for the larger size.
SIZES = ((10_000, 100), (50_000, 1_000))
_MODELS = 20
_PAIRS = _MODELS * (_MODELS - 1) // 2
# What slow peers are run on, and extrapolated from.
_PEER_PAIRS = 5
_PEER_REPLICATES = 5
_REPLICATES = 1000
_GOAL = 0.5


def run() -> None:
    """Print all comparisons; every peer has one thread, as we have."""
    print(f"load average {os.getloadavg()[0]:.1f} (ratios are medians of rounds taken in turn)")
    print(
        f"{'work':<50}{'ours s':>9}{'peer s':>9}{'ratio':>8}{'goal':>7}{'ours MB':>9}{'peer MB':>9}"
    )
    for size in SIZES:
        _metrics(*size)
        _fits(*size)
        _duos(*size)
    _cascades()
    _bootstrap()
    _roofs()
    _growth()


def _metrics(rows: int, classes: int) -> None:
    size = f"{rows:,} × {classes:,}"
    for name, ours, goal in (
        (f"all metrics, {size}, float16", contenders.our_metrics, _goal(30, rows)),
        (f"all metrics, {size}, in double", contenders.our_metrics_in_double, None),
    ):
        found = compare(ours, contenders.peer_metrics, rows, classes, rounds=5)
        _row(name, *found, goal)
        if goal:
            _memory(*found[:2])


def _fits(rows: int, classes: int) -> None:
    rows //= 2
    for name, models in (("temperature", 1), ("duo", 2)):
        size = rows, classes, models
        found = compare(contenders.our_fit, contenders.peer_fit, *size)
        _row(f"fit a {name}, {rows:,} × {classes:,}", *found, _goal(10, 2 * rows))
    print(f"  NLL of the duo less the peer's: {_nll_difference(rows, classes):+.1e}")


def _nll_difference(rows: int, classes: int) -> float:
    size = rows, classes, 2
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        ours, peer = (
            pool.submit(_call, make, size).result()
            for make in (contenders.our_fit, contenders.peer_fit)
        )
    return ours - peer


def _call(make, arguments):
    return make(*arguments)()


def _duos(rows: int, classes: int) -> None:
    ours, peer, ratio = compare(
        contenders.our_duos,
        contenders.peer_duos,
        rows,
        classes,
        _MODELS,
        peer_arguments=(rows, classes, _PEER_PAIRS),
        rounds=1 if rows > 10_000 else 3,
    )
    share = _PAIRS / _PEER_PAIRS
    peer = Measurement(peer.seconds * share, peer.megabytes)
    name = f"{_PAIRS} duos, {rows // 2:,} + {rows // 2:,} × {classes:,}"
    _row(name, ours, peer, ratio * share, _goal(60, rows))
    print(f"  peer extrapolated from {_PEER_PAIRS} pairs")


def _cascades() -> None:
    name = f"{_MODELS * (_MODELS - 1)} cascades with s_d, 25,000"
    for peer, what, goal in (
        (samples.peer_cascades, "loop", 20),
        (samples.peer_cascades_summed, "cumsum", None),
    ):
        found = compare(samples.our_cascades, peer, 25_000, _MODELS)
        _row(f"{name} (numpy {what})", *found, goal)


def _bootstrap() -> None:
    share = _REPLICATES / _PEER_REPLICATES
    for peer, what, goal in (
        (samples.peer_bootstrap, "recompute", 50),
        (samples.peer_bootstrap_of_statistics, "ours, recompute", None),
    ):
        ours, found, ratio = compare(
            samples.our_bootstrap,
            peer,
            *(10_000, 100, _REPLICATES),
            peer_arguments=(10_000, 100, _PEER_REPLICATES),
        )
        found = Measurement(found.seconds * share, found.megabytes)
        _row(f"paired bootstrap, B = 1,000, n = 10,000 ({what})", ours, found, ratio * share, goal)
    print(f"  peers extrapolated from {_PEER_REPLICATES} resamples")


def _roofs() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        roof, kernels = pool.submit(measure_roof).result()
    print(
        f"\nroof: reads {roof.bytes_per_second / 1e9:.1f} GB/s, "
        f"{roof.exponentials_per_second / 1e9:.1f} billion exponentials/s in the cache"
    )
    print(f"{'kernel':<50}{'seconds':>9}{'of read':>9}{'of exp':>8}{'goal':>7}")
    for kernel in kernels:
        read, exponentials = roof.fractions(kernel)
        print(
            f"{kernel.name:<50}{kernel.seconds:>9.3f}{read:>9.0%}{exponentials:>8.0%}{_GOAL:>7.0%}"
        )


def _growth() -> None:
    rows, classes = SIZES[0]
    print(f"\nall duos of more and more models, {rows // 2:,} + {rows // 2:,} × {classes:,}")
    print(f"{'models':>8}{'pairs':>8}{'seconds':>9}{'ms/pair':>9}{'extra MB':>10}")
    for models in (5, 10, 20, 40):
        found = measure(contenders.our_duos, rows, classes, models)
        pairs = models * (models - 1) // 2
        print(
            f"{models:>8}{pairs:>8}{found.seconds:>9.2f}{1000 * found.seconds / pairs:>9.2f}"
            f"{found.megabytes:>10.0f}",
            flush=True,
        )


def _goal(times: float, rows: int) -> float | None:
    return times if rows == SIZES[-1][0] else None


def _row(name: str, ours: Measurement, peer: Measurement, ratio: float, goal: float | None) -> None:
    wanted = f"{goal}×" if goal else "-"
    print(
        f"{name:<50}{ours.seconds:>9.3f}{peer.seconds:>9.3f}{ratio:>7.1f}×{wanted:>7}"
        f"{ours.megabytes:>9.0f}{peer.megabytes:>9.0f}",
        flush=True,
    )


def _memory(ours: Measurement, peer: Measurement) -> None:
    print(
        f"  extra memory 1/{peer.megabytes / max(ours.megabytes, 1):.0f} of the peer's (goal 1/10)"
    )
