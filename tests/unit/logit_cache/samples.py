"""Small caches to write and spoil."""

import numpy as np

from sidekick.logit_cache import CachedLogits, write_logits

FACTS = {"benchmark": "tiny", "dataset": "toy", "model": "mine", "seed": 3, "split": "test"}


def make_columns(n=6, classes=4, seed=0, shift=False, features=None):
    """Arguments of `write_logits`, but for the path."""
    rng = np.random.default_rng(seed)
    columns = {
        "sample_ids": np.array([f"img_{i:03}" for i in range(n)], dtype=object),
        "labels": rng.integers(0, classes, n).astype(np.int32),
        "logits": rng.normal(size=(n, classes)).astype(np.float32) * 4 + 7,
        "facts": dict(FACTS),
    }
    if shift:
        # Three samples, each corrupted in all the ways there are.
        cells = [("fog", 1), ("fog", 2), ("snow", 1)]
        columns["sample_ids"] = np.array([f"img_{i // 3:03}" for i in range(n)], dtype=object)
        columns["labels"] = np.repeat(rng.integers(0, classes, n // 3), 3).astype(np.int32)
        columns["corruption"] = np.array([cells[i % 3][0] for i in range(n)], dtype=object)
        columns["severity"] = np.array([cells[i % 3][1] for i in range(n)], dtype=np.int8)
    if features is not None:
        columns["features"] = rng.normal(size=(n, features)).astype(np.float32)
    return columns


def write(path, **columns):
    write_logits(path, **columns)
    return path


def make_cache(n=6, source="a.parquet", **options):
    """The same in memory."""
    columns = make_columns(n, **options)
    columns.pop("facts")
    highest = columns["logits"].max(axis=1)
    columns["logits"] = (columns["logits"] - highest[:, None]).astype(np.float16)
    return CachedLogits(logit_max=highest, source=source, **columns)
