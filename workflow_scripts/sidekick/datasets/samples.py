"""Samples, in memory or as a stream, and their images as the bytes of a Parquet column."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from sidekick.errors import SidekickError


@dataclass(frozen=True, eq=False)
class Samples:
    """All samples of an image dataset, before they are split.

    Attributes
    ----------
    sample_ids
        (n,) object array of strings: unique, and the same whatever order the samples come in.
    images
        (n, H, W, 3) uint8 RGB.
    labels
        (n,) int32 positions in the dataset's classes.
    """

    sample_ids: np.ndarray
    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> "Samples":
        """Select rows by index or mask."""
        return Samples(self.sample_ids[rows], self.images[rows], self.labels[rows])

    def by_id(self) -> "Samples":
        """Give the samples in ascending order of their ids."""
        return self.take(np.argsort(self.sample_ids, kind="stable"))


class Sample(NamedTuple):
    """One sample of a stream.

    Attributes
    ----------
    sample_id
        Unique, of the characters [A-Za-z0-9_.-]; the same whatever order the samples come in.
    image
        Row-major RGB bytes, or the bytes of an image file: see `Reading.encoded`.
    label
        Position in the classes.
    part
        "train" or "test" where the source has an official test set, else "all".
    """

    sample_id: str
    image: bytes
    label: int
    part: str


@dataclass(frozen=True, eq=False)
class Reading:
    """An opened dataset: what a dataset's module gives.

    Attributes
    ----------
    classes
        The names of the classes.
    samples
        All samples, once; bounded in memory as far as the module says. The test samples come in
        the official order, if there is one.
    encoded
        Whether images are files (JPEG, PNG) instead of pixels.
    image_shape
        (H, W, 3) of all images that are pixels; None for files.
    """

    classes: tuple[str, ...]
    samples: Iterator[Sample]
    encoded: bool
    image_shape: tuple[int, int, int] | None


def safe_id(text: str) -> str:
    """Replace the characters that ids do not have by hyphens."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text)


def encode_images(images: np.ndarray) -> pa.Array:
    """Give (n, H, W, 3) uint8 images as a binary column of row-major bytes."""
    return pa.array([image.tobytes() for image in images], pa.binary())


def decode_images(column: pa.ChunkedArray, shape: tuple[int, int, int], source: str) -> np.ndarray:
    """Give a binary column of row-major bytes as (n, H, W, 3) uint8 images.

    Parameters
    ----------
    column
        What `encode_images` made, possibly in several chunks.
    shape
        (H, W, 3) of every image.
    source
        The file the column is from, for the message.

    Raises
    ------
    SidekickError
        If an image has another number of bytes than `shape` needs; with file and first row.
    """
    size = int(np.prod(shape))
    parts = [np.empty((0, *shape), np.uint8)]
    row = 0
    for chunk in column.chunks:
        if len(chunk) == 0:
            continue
        _, offsets_buffer, values = chunk.buffers()
        offsets = np.frombuffer(offsets_buffer, np.int32)[chunk.offset :][: len(chunk) + 1]
        lengths = np.diff(offsets)
        wrong = np.flatnonzero(lengths != size)
        if wrong.size:
            raise SidekickError(
                f"{source}: the image in row {row + wrong[0]} has {lengths[wrong[0]]} bytes; "
                f"shape {tuple(shape)} needs {size}"
            )
        pixels = np.frombuffer(values, np.uint8)[offsets[0] : offsets[-1]]
        parts.append(pixels.reshape(-1, *shape))
        row += len(chunk)
    return np.concatenate(parts)
