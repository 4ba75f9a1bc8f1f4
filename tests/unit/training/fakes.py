"""A tiny stand-in for a prepared dataset, learnable and made in memory, and settings for it."""

import numpy as np
import pyarrow as pa

from sidekick.datasets.reading import ImageSplit, StoredFormat, StoredSplit
from sidekick.datasets.samples import encode_images
from sidekick.models.preprocessing import Preprocessing

CLASSES = ["left", "middle", "right"]
SIZES = {"train": 26, "val": 18, "test": 21}
SHIFT_CELLS = [("blur", 1), ("blur", 5), ("fog", 1)]

ENTRY = {"architecture": "small_cnn", "options": {"width": 4}}
RECIPE = {
    "epochs": 5,
    "batch_size": 8,
    "learning_rate": 0.005,
    "weight_decay": 0.01,
    "augmentation": {"noise": 0.05, "shift": 1},
}
HEAD_RECIPE = {
    "epochs": 5,
    "batch_size": 8,
    "learning_rate": 0.005,
    "hidden": 20,
    "dropout": [0.2, 0.4],
    "augmentation": {"noise": 0.05, "shift": 1},
}
PROBE_RECIPE = {"epochs": 6, "batch_size": 8, "learning_rate": 0.02}

# Of the entry above on these images.
PREPROCESSING = Preprocessing((32, 32), 1.0, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def read_card(folder):
    """The parts of a card that the torch side reads."""
    return {
        "name": "bars",
        "revision": 1,
        "classes": CLASSES,
        "main_metric": "accuracy",
        "sizes": SIZES,
        "image_format": "raw",
        "image_shape": [32, 32, 3],
        "shift_shape": [32, 32, 3],
    }


def load_split(folder, split, seed, threads=1):
    """A bright bar whose place is the class, under noise; the seed redraws train and val."""
    if split == "shift":
        test = load_split(folder, "test", seed)
        cells = len(SHIFT_CELLS)
        return ImageSplit(
            np.repeat(test.sample_ids, cells),
            np.repeat(test.images, cells, axis=0),
            np.repeat(test.labels, cells),
            np.array([name for name, _ in SHIFT_CELLS] * len(test), dtype=object),
            np.array([severity for _, severity in SHIFT_CELLS] * len(test), dtype=np.int8),
        )
    rng = np.random.default_rng([list(SIZES).index(split), seed])
    count = SIZES[split]
    labels = np.arange(count, dtype=np.int32) % len(CLASSES)
    images = rng.integers(0, 120, (count, 32, 32, 3))
    for image, label in zip(images, labels, strict=True):
        image[:, 10 * label : 10 * label + 8] += 100
    ids = np.array([f"{split}_{seed}_{row:02d}" for row in range(count)], dtype=object)
    return ImageSplit(ids, images.astype(np.uint8), labels)


def iterate_split(folder, split, seed, batch):
    """The same, in parts."""
    whole = load_split(folder, split, seed)
    for first in range(0, len(whole), batch):
        rows = slice(first, first + batch)
        is_shift = split == "shift"
        yield StoredSplit(
            sample_ids=whole.sample_ids[rows],
            images=pa.chunked_array([encode_images(whole.images[rows])]),
            places=np.arange(len(whole.labels[rows])),
            labels=whole.labels[rows],
            format=StoredFormat(encoded=False, shape=(32, 32, 3)),
            source="bars",
            corruption=whole.corruption[rows] if is_shift else None,
            severity=whole.severity[rows] if is_shift else None,
        )


def install(patch):
    """Put the stand-in where the torch side looks for datasets; `patch` as monkeypatch.setattr."""
    patch("sidekick.training.data.load_split", load_split)
    patch("sidekick.training.data.read_card", read_card)
    patch("sidekick.training.session.read_card", read_card)
    patch("sidekick.flops.count.read_card", read_card)
    patch("sidekick.logit_cache.inference.iterate_split", iterate_split)
