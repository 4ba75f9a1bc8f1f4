"""Time quantised networks and Monte-Carlo dropout on them, as ratios within this run.

Run it alone by `python -m benchmarks.quantised`. Weights are random: they do not change how long
anything takes. Everything runs in one thread, and what is measured is that thread's time on the
processor, which other work on the machine disturbs least.
"""

import os

# Before numpy is imported, here and in the measured processes: one thread each.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import measure
from sidekick.methods.dropout_moments import closed_form
from sidekick.methods.dropout_sampling import sampled_moments
from sidekick.methods.mc_dropout import Head
from sidekick.models.create import create_model
from sidekick.models.preprocessing import Preprocessing
from sidekick.quantisation.graph import append_head, export_backbone
from sidekick.quantisation.inference import load_network
from sidekick.quantisation.quantise import quantise_backbone
from sidekick.quantisation.storage import write_network

_CLASSES, _HIDDEN, _PASSES = 100, 300, 50
_ROUNDS = 7
_DROPOUT = (0.2, 0.4)


def run() -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory() as folder:
        print(f"\nint8 networks, one thread, processor time, median of {_ROUNDS} rounds")
        for architecture, side in (("resnet50", 32), ("efficientnet_b0", 224), ("resnet50", 224)):
            files, head = _written(architecture, side, Path(folder))
            images = 64 if side == 224 else 256
            _compare_types(architecture, side, files, images=16 if side > 32 else 64)
            if architecture == "resnet50":
                _compare_estimators(side, files["int8"], head, images)


def _written(architecture: str, side: int, folder: Path) -> tuple[dict[str, Path], Head]:
    """Make a network of random weights and write it in both types."""
    torch.manual_seed(0)
    model = create_model({"architecture": architecture}, _CLASSES).eval()
    preprocessing = Preprocessing((side, side), 1.0, "bicubic", (0.5,) * 3, (0.25,) * 3)
    backbone = export_backbone(model, preprocessing)
    quantised = quantise_backbone(backbone, [_images(side, 4)])
    features = backbone.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    head = _head(features)
    facts = {"classes": _CLASSES}
    files = {}
    for kind, graph in (("float32", backbone), ("int8", quantised)):
        files[kind] = folder / f"{architecture}_{side}_{kind}.onnx"
        whole = append_head(graph, head, int8=kind == "int8")
        write_network(files[kind], whole.SerializeToString(), facts)
    return files, head


def _head(features: int) -> Head:
    rng = np.random.default_rng(0)
    return Head(
        scale=np.ones(features),
        shift=np.zeros(features),
        hidden_weight=rng.normal(size=(_HIDDEN, features)) / np.sqrt(features),
        hidden_bias=np.zeros(_HIDDEN),
        output_weight=rng.normal(size=(_CLASSES, _HIDDEN)) / np.sqrt(_HIDDEN),
        output_bias=np.zeros(_CLASSES),
        dropout=_DROPOUT,
        seed=0,
    )


def _images(side: int, count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def _batch_size(side: int) -> int:
    return 8 if side > 32 else 64


def forward(file: str, side: int, images: int) -> Callable[[], object]:
    """Run a network over images, batch by batch."""
    network = load_network(file, threads=1)
    pixels = _images(side, images)
    batches = np.array_split(pixels, images // _batch_size(side))

    def call() -> None:
        for _ in network.stream(batches):
            pass

    return call


def load_and_run(file: str, side: int, images: int) -> Callable[[], object]:
    """Load a network and run it, for its memory."""
    return lambda: forward(file, side, images)()


def _compare_types(architecture: str, side: int, files: Mapping[str, Path], images: int) -> None:
    calls = {kind: forward(str(file), side, images) for kind, file in files.items()}
    seconds, ratios = _interleaved(calls, reference="int8")
    sizes = {kind: file.stat().st_size for kind, file in files.items()}
    memory = {
        kind: measure(load_and_run, str(file), side, images, rounds=1).megabytes
        for kind, file in files.items()
    }
    print(f"\n{architecture}, {side} × {side}, batches of {_batch_size(side)}")
    print(
        f"  float32 {1e3 * seconds['float32'] / images:.2f} ms per image, "
        f"int8 {1e3 * seconds['int8'] / images:.2f}: {ratios['float32']:.2f}× as fast; "
        f"files {sizes['float32'] / 1e6:.1f} and {sizes['int8'] / 1e6:.1f} MB: "
        f"{sizes['float32'] / sizes['int8']:.2f}× as small; "
        f"peak memory {memory['float32']:.0f} and {memory['int8']:.0f} MB"
    )


def _compare_estimators(side: int, file: Path, head: Head, images: int) -> None:
    network = load_network(file, threads=1)
    batches = np.array_split(_images(side, images), images // _batch_size(side))
    found = np.concatenate([features for features, _ in network.stream(batches)])
    # As many rows as a small test split has; the network need not run on as many.
    repeats = 1024 // images
    features = np.tile(found, (repeats, 1))
    few = batches[:1]

    def deterministic() -> None:
        for _ in network.stream(batches):
            pass

    def cached() -> None:
        sampled_moments(head, features, [_PASSES], np.random.default_rng(0), rows_per_mask=128)

    def closed(covariances: int, products: type) -> Callable[[], object]:
        return lambda: closed_form(head, features, covariances, products)

    def naive() -> None:
        for _ in range(_PASSES):
            for _ in network.stream(few):
                pass

    calls = {
        "one pass": deterministic,
        "cached": cached,
        "closed": closed(1, np.float32),
        "closed 3": closed(3, np.float32),
        "closed 3, float64": closed(3, np.float64),
    }
    seconds, ratios = _interleaved(calls, reference="one pass")
    extra = {name: ratio / repeats for name, ratio in ratios.items()}
    start = time.process_time()
    naive()
    naive_seconds = (time.process_time() - start) * len(batches)
    print(
        f"  one int8 pass {1e3 * seconds['one pass'] / images:.2f} ms per image = 1; with "
        f"{_PASSES} cached passes {1 + extra['cached']:.3f}; closed form {1 + extra['closed']:.3f} "
        f"(shared masks of 3 classes: {1 + extra['closed 3']:.3f}, and in float64 "
        f"{1 + extra['closed 3, float64']:.3f}); {_PASSES} full passes "
        f"{naive_seconds / seconds['one pass']:.1f}"
    )


def _interleaved(
    calls: Mapping[str, Callable[[], object]], reference: str
) -> tuple[dict[str, float], dict[str, float]]:
    """Time functions in turn; give median seconds, and median ratios to one of them."""
    for call in calls.values():
        call()
    rounds = []
    for _ in range(_ROUNDS):
        taken = {}
        for name, call in calls.items():
            start = time.process_time()
            call()
            taken[name] = time.process_time() - start
        rounds.append(taken)
    seconds = {name: statistics.median(taken[name] for taken in rounds) for name in calls}
    ratios = {
        name: statistics.median(taken[name] / taken[reference] for taken in rounds)
        for name in calls
    }
    return seconds, ratios


if __name__ == "__main__":
    run()
