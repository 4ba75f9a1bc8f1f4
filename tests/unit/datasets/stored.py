"""Prepared datasets of any images, written by hand."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

SPLITS = ("train", "val", "test")


def encode(image, file_format="PNG", mode="RGB", **options):
    """Give (H, W, 3) uint8 as the bytes of an image file."""
    file = io.BytesIO()
    Image.fromarray(image).convert(mode).save(file, file_format, **options)
    return file.getvalue()


def random_image(height, width, seed=0):
    """Smooth colours under some noise, as JPEG is made for."""
    rng = np.random.default_rng([seed, height, width])
    coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    noise = rng.integers(-9, 10, smooth.shape)
    return (smooth.astype(int) + noise).clip(0, 255).astype(np.uint8)


def write_dataset(folder, images, *, shape=None, encoded=True, shift=(), group=5, classes=3):
    """Write a dataset whose rows are shuffled, a third of them in each split.

    Parameters
    ----------
    images
        What the column `image` holds, by id: row i is of class i modulo `classes`, has the id
        `s{i:03d}`, and is in the split i modulo 3.
    shape, encoded
        What the card says of them.
    shift
        (n, H, W, 3) uint8: each with the id of a test sample, under corruptions in turn.
    group
        Rows of a row group.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = len(images)
    ids = [f"s{row:03d}" for row in range(count)]
    labels = pa.array(np.arange(count) % classes, pa.int32())
    splits = [SPLITS[row % 3] for row in range(count)]
    parts = ["test" if split == "test" else "train" for split in splits]
    samples = pa.table(
        {
            "sample_id": ids,
            "image": pa.array(images, pa.binary()),
            "label": labels,
            "part": pa.array(parts).dictionary_encode(),
        }
    )
    order = np.random.default_rng(0).permutation(count)
    pq.write_table(samples.take(order), folder / "samples.parquet", row_group_size=group)
    (folder / "splits").mkdir(exist_ok=True)
    for seed in (0, 1):
        table = {"seed": [seed] * count, "sample_id": ids, "split": splits}
        pq.write_table(pa.table(table), folder / f"splits/seed{seed}.parquet")
    tested = np.resize(np.flatnonzero(np.arange(count) % 3 == 2), len(shift))
    rows = pa.table(
        {
            "sample_id": pa.array([ids[row] for row in tested], pa.string()),
            "image": pa.array([image.tobytes() for image in shift], pa.binary()),
            "label": labels.take(pa.array(tested)),
            "corruption": pa.array(
                [("fog", "blur")[row // 10 % 2] for row in range(len(shift))], pa.string()
            ).dictionary_encode(),
            "severity": pa.array([row // 20 + 1 for row in range(len(shift))], pa.int8()),
        }
    )
    order = np.random.default_rng(1).permutation(len(shift))
    pq.write_table(rows.take(order), folder / "shift.parquet", row_group_size=group)
    card = {
        "name": "by hand",
        "revision": "1",
        "classes": [f"class {number}" for number in range(classes)],
        "main_metric": "accuracy",
        "sizes": {split: splits.count(split) for split in SPLITS},
        "has_shift": len(shift) > 0,
        "image_format": "encoded" if encoded else "raw",
        "image_shape": shape and list(shape),
        "shift_shape": list(shift[0].shape) if len(shift) else None,
    }
    (folder / "dataset.json").write_text(json.dumps(card))
    return folder
