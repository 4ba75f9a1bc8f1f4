"""Print ours beside each peer, as ratios within this run."""

import os
import platform

# Before numpy is imported, here and in the measured processes: one thread each.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

from benchmarks import engine, language, page, pipelines, planning, quantised
from benchmarks.measure import Measurement, measure


def main() -> None:
    """Run every comparison."""
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, 1 thread each")
    engine.run()
    _pipelines()
    quantised.run()
    language.run()
    page.run()
    planning.run()


def _pipelines() -> None:
    """Compare input pipelines and training with a plain PyTorch loop."""
    print(f"\nimages, {pipelines.WORKERS} threads or workers beside the main thread")
    print(f"{'work':<44}{'ours s':>9}{'peer s':>9}{'ratio':>8}{'ours MB':>9}{'peer MB':>9}")
    for name, ours, peer, count, batch in (
        ("32 × 32, in memory", pipelines.our_small_inputs, pipelines.peer_small_inputs, 6_000, 128),
        ("224 × 224, JPEG", pipelines.our_large_inputs, pipelines.peer_large_inputs, 512, 32),
    ):
        ours, peer = measure(ours, count, batch), measure(peer, count, batch)
        _row(f"input, {name} (DataLoader)", ours, peer)
        print(f"  images/s: ours {count / ours.seconds:,.0f}, peer {count / peer.seconds:,.0f}")
    device = pipelines.device()
    for architecture, count, batch, large in pipelines.TRAININGS[device]:
        setting = architecture, count, batch, device, large
        ours = measure(pipelines.our_training, *setting)
        peer = measure(pipelines.peer_training, *setting)
        side = 224 if large else 32
        _row(f"train {architecture}, {side} × {side}, {device} (plain loop)", ours, peer)
        idle = [
            measure(resident, *setting).seconds
            for resident in (
                pipelines.our_training_without_data,
                pipelines.peer_training_without_data,
            )
        ]
        waiting = [max(0.0, 1 - idle[0] / ours.seconds), max(0.0, 1 - idle[1] / peer.seconds)]
        print(f"  share of time waiting for data: ours {waiting[0]:.0%}, peer {waiting[1]:.0%}")


def _row(name: str, ours: Measurement, peer: Measurement) -> None:
    ratio = peer.seconds / ours.seconds
    print(
        f"{name:<44}{ours.seconds:>9.3f}{peer.seconds:>9.3f}{ratio:>7.1f}×"
        f"{ours.megabytes:>9.0f}{peer.megabytes:>9.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
