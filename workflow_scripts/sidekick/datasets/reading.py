"""Read a prepared dataset back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sidekick.artifacts import read_json, read_row_groups, read_table
from sidekick.datasets.decoding import Batch, decode_ahead, fixed_shape_decoder
from sidekick.datasets.names import CARD_FILE, SAMPLES_FILE, SHIFT_FILE, SPLITS, SPLITS_FILE
from sidekick.datasets.samples import decode_images
from sidekick.errors import SidekickError

_CARD_KEYS = {
    "image": {
        "name", "revision", "classes", "image_format", "image_shape", "has_shift", "shift_shape",
    },
    "text": {"name", "revision", "classes", "has_shift", "missing_files", "task", "val_from"},
}  # fmt: skip
_SHIFT_COLUMNS = ("corruption", "severity")
# Images that are decoded at a time on the way into one array.
_DECODED_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class ImageSplit:
    """The images of one split and seed, by sample id (then corruption, severity).

    Attributes
    ----------
    sample_ids
        (n,) object array of strings. In the shift split an id names the clean image, so it
        occurs once per corruption and severity.
    images
        (n, H, W, 3) uint8 RGB.
    labels
        (n,) int32 positions in the card's `classes`.
    corruption, severity
        (n,) object array of strings and (n,) int8 from 1 to 5; None but for the shift split.
    """

    sample_ids: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    corruption: np.ndarray | None = None
    severity: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class StoredFormat:
    """What the stored bytes of a split's images are.

    Attributes
    ----------
    encoded
        Whether they are files (JPEG, PNG, …) instead of row-major RGB bytes.
    shape
        (H, W, 3) of all images, or None if they vary.
    """

    encoded: bool
    shape: tuple[int, int, int] | None


@dataclass(frozen=True, eq=False)
class StoredSplit:
    """Rows of one split, with images as they are stored.

    Attributes
    ----------
    sample_ids, labels, corruption, severity
        As of an `ImageSplit`.
    images
        n binary values in the order of the file.
    places
        (n,) int64: which of `images` is each sample's.
    format
        What the binary values hold.
    source
        The file they are from.
    """

    sample_ids: np.ndarray
    images: pa.ChunkedArray
    places: np.ndarray
    labels: np.ndarray
    format: StoredFormat
    source: str
    corruption: np.ndarray | None = None
    severity: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def stored(self, rows: np.ndarray) -> list[tuple[pa.Buffer, str]]:
        """Give for some rows the bytes, without a copy, and what to call each in a message."""
        names = self.sample_ids[rows]
        return [
            (self.images[place].as_buffer(), f"{self.source}: sample {name}")
            for place, name in zip(self.places[rows].tolist(), names, strict=True)
        ]

    def pixels(self) -> np.ndarray:
        """Give raw images of one shape, in the order of the file, as (n, H, W, 3) uint8.

        Raises
        ------
        SidekickError
            If one of them has another number of bytes; with file and sample.
        """
        size = int(np.prod(self.format.shape))
        lengths = pc.binary_length(self.images).to_numpy()
        wrong = np.flatnonzero(lengths != size)
        if wrong.size:
            name = self.sample_ids[np.flatnonzero(self.places == wrong[0])[0]]
            raise SidekickError(
                f"{self.source}: the image of sample {name} has {lengths[wrong[0]]} bytes; shape "
                f"{self.format.shape} needs {size}"
            )
        return decode_images(self.images, self.format.shape, self.source)


def read_card(folder: str | Path) -> dict:
    """Read the card of a prepared dataset: the keys that `prepare_dataset` wrote.

    Raises
    ------
    SidekickError
        If the file is missing or is not such a card; the message names it.
    """
    path = Path(folder) / CARD_FILE
    card = read_json(path)
    modality = card.get("modality", "image")
    if modality not in _CARD_KEYS:
        raise SidekickError(
            f"{path}: modality {modality!r}; expected one of {', '.join(_CARD_KEYS)}"
        )
    missing = _CARD_KEYS[modality] - set(card)
    if missing:
        raise SidekickError(f"{path}: not a dataset's card: it lacks {sorted(missing)}")
    return card


def stored_format(card: Mapping[str, Any], split: str) -> StoredFormat:
    """Say how a dataset stores the images of a split, which its card tells."""
    if split == "shift":
        # Without a shift set there is no shape, and no image that could contradict this one.
        return StoredFormat(encoded=False, shape=tuple(card["shift_shape"] or (1, 1, 3)))
    shape = card["image_shape"]
    return StoredFormat(card["image_format"] == "encoded", shape and tuple(shape))


def load_split(folder: str | Path, split: str, seed: int, threads: int = 1) -> ImageSplit:
    """Load and decode one split of one seed, whose images must be of one shape.

    Memory holds the images once and, on the way, those of a row group.

    Parameters
    ----------
    folder
        Where `prepare_dataset` wrote the dataset's files.
    split
        "train", "val", "test" or "shift". The last two are the same for all seeds; a dataset
        without a shift set has no rows in it.
    seed
        A seed whose splits were drawn.
    threads
        How many decode, if images are stored as files.

    Raises
    ------
    SidekickError
        If there is no such split, its images vary in size, or a file is missing, damaged or
        contradicts another; with file, value and what there is.
    """
    index = _index(folder, split, seed)
    shape = index.format.shape
    if shape is None:
        raise SidekickError(f"{index.path}: its images vary in size; they form no array")
    order = index.order()
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    images = np.empty((len(order), *shape), np.uint8)
    first = 0
    for part in _parts(index, _DECODED_AT_ONCE):
        pixels = _decoded(part, threads) if index.format.encoded else part.pixels()
        images[place[first : first + len(part)]] = pixels
        first += len(part)
    return ImageSplit(images=images, **index.columns(order))


def load_stored_split(folder: str | Path, split: str, seed: int) -> StoredSplit:
    """Load one split of one seed, by sample id, with its images as they are stored.

    Memory holds the images' bytes once and, on the way, those of a row group. Arguments and
    errors are those of `load_split`, but images may vary in size.
    """
    index = _index(folder, split, seed)
    order = index.order()
    chunks = [chunk for images in index.images() for chunk in images.chunks]
    return StoredSplit(
        images=pa.chunked_array(chunks, pa.binary()),
        places=order,
        format=index.format,
        source=str(index.path),
        **index.columns(order),
    )


def iterate_split(folder: str | Path, split: str, seed: int, batch: int) -> Iterator[StoredSplit]:
    """Give one split of one seed batch by batch, in the order of the file.

    Memory holds the images of a batch and a row group, and ids and labels of the whole split.

    Parameters
    ----------
    folder, split, seed
        As for `load_split`.
    batch
        Rows of every batch but the last, however the file is divided into row groups.

    Yields
    ------
    StoredSplit
        The next rows; of a split without any, one batch of none.

    Raises
    ------
    SidekickError
        As `load_split`, but images may vary in size; a damaged image is noticed when it is
        reached.
    """
    yield from _parts(_index(folder, split, seed), batch)


@dataclass(frozen=True, eq=False)
class _Index:
    """The rows of a file that belong to a split, but for their images.

    Attributes
    ----------
    path, format
        The file, and what its images are.
    wanted
        For each row of the file, whether it belongs to the split.
    table
        The wanted rows: `sample_id`, `label`, and `corruption`, `severity` of the shift split.
    """

    path: Path
    format: StoredFormat
    wanted: np.ndarray
    table: pa.Table

    def __len__(self) -> int:
        return len(self.table)

    def order(self) -> np.ndarray:
        """Give the permutation by sample id, corruption and severity: (n,) int64."""
        keys = [name for name in self.table.column_names if name != "label"]
        order = pc.sort_indices(self.table, [(key, "ascending") for key in keys])
        return order.to_numpy().astype(np.int64)

    def columns(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Give the columns of some rows as the attributes of an `ImageSplit`."""
        names = {"sample_id": "sample_ids", "label": "labels"}
        return {
            names.get(name, name): self.table[name].to_numpy(zero_copy_only=False)[rows]
            for name in self.table.column_names
        }

    def images(self) -> Iterator[pa.ChunkedArray]:
        """Give the images of the wanted rows, one row group after the other."""
        for group in read_row_groups(self.path, ["image"], self.wanted):
            yield group["image"]


def _index(folder: str | Path, split: str, seed: int) -> _Index:
    folder = Path(folder)
    if split not in SPLITS:
        raise SidekickError(f"{folder}: split {split!r}; expected one of {', '.join(SPLITS)}")
    card = read_card(folder)
    if "image_format" not in card:
        raise SidekickError(f"{folder}: a dataset of text, without images")
    format_ = stored_format(card, split)
    is_shift = split == "shift"
    path = folder / (SHIFT_FILE if is_shift else SAMPLES_FILE)
    table = read_table(path, ["sample_id", "label", *(_SHIFT_COLUMNS if is_shift else ())])
    _require_labels(table["label"].to_numpy(), len(card["classes"]), path)
    if is_shift:
        return _Index(path, format_, np.ones(len(table), bool), _without_dictionaries(table))
    splits_path = folder / SPLITS_FILE.format(seed=seed)
    splits = read_table(splits_path, ["sample_id", "split"])
    ids = splits.filter(pc.equal(splits["split"], split))["sample_id"]
    wanted = pc.is_in(table["sample_id"], value_set=ids.combine_chunks())
    table = table.filter(wanted)
    _require_same_ids(table["sample_id"], ids, path, f"{splits_path} puts in {split}")
    return _Index(path, format_, wanted.to_numpy(), table)


def _without_dictionaries(table: pa.Table) -> pa.Table:
    """Give dictionary-encoded columns as plain ones, by whose values rows can be sorted."""
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            plain = table.column(place).cast(field.type.value_type)
            table = table.set_column(place, field.name, plain)
    return table


def _require_labels(labels: np.ndarray, classes: int, path: Path) -> None:
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        raise SidekickError(
            f"{path}: label {labels[wrong[0]]} in row {wrong[0]}; the card has {classes} classes"
        )


def _require_same_ids(
    there: pa.ChunkedArray, wanted: pa.ChunkedArray, path: Path, place: str
) -> None:
    """Refuse samples that a split names and nobody has, or that occur twice."""
    absent = wanted.filter(pc.invert(pc.is_in(wanted, value_set=there.combine_chunks())))
    if len(absent):
        raise SidekickError(f"{path}: no sample {absent[0]}, which {place}")
    if len(there) != len(wanted):
        counts = pc.value_counts(there)
        repeated = counts.filter(pc.greater(counts.field("counts"), 1))
        if len(repeated):
            raise SidekickError(f"{path}: sample {repeated[0]['values']} occurs more than once")


def _parts(index: _Index, size: int) -> Iterator[StoredSplit]:
    """Divide the split into parts of `size` rows, but for the last."""
    columns = index.columns(np.arange(len(index)))
    first = 0
    for images in _regrouped(index.images(), size):
        last = first + len(images)
        yield StoredSplit(
            images=images,
            places=np.arange(len(images)),
            format=index.format,
            source=str(index.path),
            **{name: values[first:last] for name, values in columns.items()},
        )
        first = last


def _regrouped(groups: Iterator[pa.ChunkedArray], size: int) -> Iterator[pa.ChunkedArray]:
    """Give the same values in groups of `size`, but for the last; at least one, if empty."""
    held = pa.chunked_array([], pa.binary())
    is_empty = True
    for group in groups:
        held = pa.chunked_array([*held.chunks, *group.chunks], pa.binary())
        while len(held) >= size:
            yield held[:size]
            held, is_empty = held[size:], False
    if len(held) or is_empty:
        yield held


def _decoded(part: StoredSplit, threads: int) -> np.ndarray:
    """Decode image files of one shape."""
    shape = part.format.shape
    images = np.empty((len(part), *shape), np.uint8)
    batch = Batch(part.stored(np.arange(len(part))), images, None)
    for _ in decode_ahead([batch], fixed_shape_decoder(shape), threads):
        pass
    return images
