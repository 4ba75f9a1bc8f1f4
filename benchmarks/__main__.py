"""Print ours beside each peer, as ratios within this run."""

import os
import platform

# Before numpy is imported, here and in the measured processes: one thread each.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

from benchmarks import contenders
from benchmarks.measure import Measurement, measure

_PEER_REPLICATES = 10


def main() -> None:
    """Run every comparison."""
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, 1 thread each")
    print(f"{'work':<44}{'ours s':>9}{'peer s':>9}{'ratio':>8}{'ours MB':>9}{'peer MB':>9}")
    for rows, classes in ((10_000, 100), (50_000, 1_000)):
        _row(
            f"all metrics, {rows:,} × {classes:,} (torchmetrics)",
            measure(contenders.our_metrics, rows, classes),
            measure(contenders.peer_metrics, rows, classes),
        )
    for name, models in (("temperature", 1), ("duo", 2)):
        size = 25_000, 1_000, models
        _row(
            f"fit a {name}, 25,000 × 1,000 (torch LBFGS)",
            measure(contenders.our_fit, *size, rounds=1),
            measure(contenders.peer_fit, *size, rounds=1),
        )
    peer = measure(contenders.peer_bootstrap, 10_000, 10, _PEER_REPLICATES, rounds=1)
    scaled = Measurement(peer.seconds * 1000 / _PEER_REPLICATES, peer.megabytes)
    _row(
        "bootstrap, B = 1,000, n = 10,000 (recompute*)",
        measure(contenders.our_bootstrap, 10_000, 10, 1000, rounds=1),
        scaled,
    )
    print(f"* extrapolated from {_PEER_REPLICATES} resamples")


def _row(name: str, ours: Measurement, peer: Measurement) -> None:
    ratio = peer.seconds / ours.seconds
    print(
        f"{name:<44}{ours.seconds:>9.3f}{peer.seconds:>9.3f}{ratio:>7.1f}×"
        f"{ours.megabytes:>9.0f}{peer.megabytes:>9.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
