"""What samples look like: their images as small PNG files, or their questions."""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from sidekick.artifacts import read_row_groups, read_table
from sidekick.datasets.decoding import decode_rgb
from sidekick.datasets.names import SAMPLES_FILE, SHIFT_FILE
from sidekick.datasets.reading import StoredFormat, read_card, stored_format

LARGEST_SIDE = 160
"""Pixels to which larger images are made smaller."""

MOST_TEXT = 2000
"""Characters after which texts are cut off."""


class Key(NamedTuple):
    """A sample, or a corrupted version of it."""

    sample_id: str
    corruption: str | None = None
    severity: int | None = None


class Content(NamedTuple):
    """What is shown of a sample; None where its dataset has no such thing."""

    image: bytes | None = None
    question: str | None = None
    choices: list[str] | None = None


def read_contents(folder: str | Path, wanted: Iterable[Key]) -> dict[Key, Content]:
    """Read the images or questions of some samples of a prepared dataset.

    Only row groups that hold one of them are read. Samples that the dataset does not have are left
    out: logits from elsewhere may be about others.
    """
    card = read_card(folder)
    wanted = set(wanted)
    if "image_format" not in card:
        return _questions(
            Path(folder) / SAMPLES_FILE, {key for key in wanted if not key.corruption}
        )
    found = {}
    for is_shift, file, split in ((False, SAMPLES_FILE, "test"), (True, SHIFT_FILE, "shift")):
        own = {key for key in wanted if (key.corruption is not None) == is_shift}
        if own:
            found |= _images(Path(folder) / file, own, stored_format(card, split), is_shift)
    return found


def clipped(text: str) -> str:
    """Cut off what is longer than `MOST_TEXT`, and say so by an ellipsis."""
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"


def small_png(pixels: np.ndarray) -> bytes:
    """Give an (H, W, 3) uint8 image as a PNG whose sides are at most `LARGEST_SIDE`."""
    image = Image.fromarray(pixels)
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _questions(path: Path, wanted: set[Key]) -> dict[Key, Content]:
    found = {}
    for row in _rows(path, wanted, ["sample_id"], ["question", "choices"]):
        choices = [clipped(choice) for choice in row["choices"]]
        found[Key(row["sample_id"])] = Content(None, clipped(row["question"]), choices)
    return found


def _images(
    path: Path, wanted: set[Key], stored: StoredFormat, is_shift: bool
) -> dict[Key, Content]:
    names = list(Key._fields) if is_shift else ["sample_id"]
    found = {}
    for row in _rows(path, wanted, names, ["image"]):
        key = Key(*(row[name] for name in names))
        if stored.encoded:
            pixels = decode_rgb(row["image"], f"{path}: sample {key.sample_id}")
        else:
            pixels = np.frombuffer(row["image"], np.uint8).reshape(stored.shape)
        found[key] = Content(small_png(pixels))
    return found


def _rows(
    path: Path, wanted: set[Key], names: list[str], columns: list[str]
) -> Iterable[Mapping[str, object]]:
    """Give the rows of a file whose names are those of a wanted sample."""
    keys = read_table(path, names).to_pydict()
    present = [Key(*key) in wanted for key in zip(*keys.values(), strict=True)]
    for group in read_row_groups(path, [*names, *columns], np.array(present, dtype=bool)):
        yield from group.to_pylist()
