"""Stored images as 8-bit network inputs, and those that set the ranges of activations."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from sidekick.artifacts import read_table
from sidekick.datasets.names import SPLITS_FILE
from sidekick.datasets.reading import StoredSplit, iterate_split
from sidekick.errors import SidekickError
from sidekick.models.preprocessing import Preprocessing, image_loader

_ROWS_AT_ONCE = 256


def network_images(
    part: StoredSplit, preprocessing: Preprocessing, rows: np.ndarray | None = None
) -> np.ndarray:
    """Decode, resize and crop stored images.

    Parameters
    ----------
    part
        Rows of a split.
    preprocessing
        What the network wants. Images are resized as 8-bit, as files are for other networks.
    rows
        Which to take; all unless given.

    Returns
    -------
    numpy.ndarray
        (n, H, W, 3) uint8.
    """
    stored = part.format
    rows = np.arange(len(part)) if rows is None else rows
    if not stored.encoded and stored.shape[:2] == preprocessing.size:
        return part.pixels()[part.places[rows]]
    load = image_loader(stored, preprocessing)
    images = np.empty((len(rows), *preprocessing.input_shape), np.uint8)
    for place, (data, name) in enumerate(part.stored(rows)):
        images[place] = load(data, name)
    return images


def drawn_images(
    dataset_folder: str | Path,
    split: str,
    seed: int,
    count: int,
    preprocessing: Preprocessing,
    batch_size: int,
) -> Iterator[np.ndarray]:
    """Stream images that are drawn without replacement from a split.

    Parameters
    ----------
    dataset_folder, split, seed
        As for `sidekick.datasets.reading.iterate_split`; the seed decides the draw as well.
    count
        How many; all if the split has fewer.
    preprocessing
        What the network wants.
    batch_size
        Images of every batch but the last.

    Yields
    ------
    numpy.ndarray
        (n, H, W, 3) uint8, in the order of the file. Memory holds a batch and a row group.

    Raises
    ------
    SidekickError
        If `count` is not positive or the split has no images; or as `iterate_split`.
    """
    wanted = _draw(dataset_folder, split, seed, count)
    parts = iterate_split(dataset_folder, split, seed, _ROWS_AT_ONCE)
    yield from _regrouped(_chosen(parts, wanted, preprocessing), batch_size)


def _draw(folder: str | Path, split: str, seed: int, count: int) -> set[str]:
    if count < 1:
        raise SidekickError(f"quantisation images: {count} from {split}; at least 1 is needed")
    path = Path(folder) / SPLITS_FILE.format(seed=seed)
    table = read_table(path, ["sample_id", "split"])
    ids = sorted(table.filter(pc.equal(table["split"], split))["sample_id"].to_pylist())
    if not ids:
        raise SidekickError(f"{path}: no samples in {split}")
    places = np.random.default_rng(seed).choice(len(ids), min(count, len(ids)), replace=False)
    return {ids[place] for place in places}


def _chosen(
    parts: Iterable[StoredSplit], wanted: set[str], preprocessing: Preprocessing
) -> Iterator[np.ndarray]:
    for part in parts:
        rows = np.flatnonzero([name in wanted for name in part.sample_ids])
        if rows.size:
            yield from network_images(part, preprocessing, rows)


def _regrouped(images: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    images = iter(images)
    while batch := list(islice(images, size)):
        yield np.stack(batch)
