"""Read a prepared dataset back as arrays."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sidekick.artifacts import read_json, read_table
from sidekick.datasets.names import CARD_FILE, SAMPLES_FILE, SHIFT_FILE, SPLITS, SPLITS_FILE
from sidekick.datasets.samples import decode_images
from sidekick.errors import SidekickError


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


def read_card(folder: str | Path) -> dict:
    """Read the card of a prepared dataset: the keys that `prepare_dataset` wrote.

    Raises
    ------
    SidekickError
        If the file is missing or is not such a card; the message names it.
    """
    path = Path(folder) / CARD_FILE
    card = read_json(path)
    missing = {"name", "revision", "classes", "image_shape", "has_shift"} - set(card)
    if missing:
        raise SidekickError(f"{path}: not a dataset's card: it lacks {sorted(missing)}")
    return card


def load_split(folder: str | Path, split: str, seed: int) -> ImageSplit:
    """Load one split of one seed.

    Parameters
    ----------
    folder
        Where `prepare_dataset` wrote the dataset's files.
    split
        "train", "val", "test" or "shift". The last two are the same for all seeds; a dataset
        without a shift set has no rows in it.
    seed
        A seed whose splits were drawn.

    Raises
    ------
    SidekickError
        If there is no such split, or a file is missing, damaged or contradicts another;
        with file, value and what there is.
    """
    folder = Path(folder)
    if split not in SPLITS:
        raise SidekickError(f"{folder}: split {split!r}; expected one of {', '.join(SPLITS)}")
    card = read_card(folder)
    if split == "shift":
        return _load_shift(folder, card)
    splits_path = folder / SPLITS_FILE.format(seed=seed)
    splits = read_table(splits_path, ["sample_id", "split"])
    ids = splits.filter(pc.equal(splits["split"], split))["sample_id"]
    ids = ids.take(pc.sort_indices(ids))
    path = folder / SAMPLES_FILE
    table = read_table(path, ["sample_id", "image", "label"])
    rows = pc.index_in(ids, value_set=table["sample_id"].combine_chunks())
    if rows.null_count:
        absent = ids.filter(pc.is_null(rows))[0]
        raise SidekickError(f"{path}: no sample {absent}, which {splits_path} puts in {split}")
    return _image_split(table, rows.to_numpy(), card, path)


def _load_shift(folder: Path, card: dict) -> ImageSplit:
    path = folder / SHIFT_FILE
    columns = ["sample_id", "image", "label", "corruption", "severity"]
    table = read_table(path, columns)
    keys = [(key, "ascending") for key in ("sample_id", "corruption", "severity")]
    return _image_split(table, pc.sort_indices(table, keys).to_numpy(), card, path)


def _image_split(table: pa.Table, rows: np.ndarray, card: dict, path: Path) -> ImageSplit:
    labels = table["label"].to_numpy()
    classes = len(card["classes"])
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        raise SidekickError(
            f"{path}: label {labels[wrong[0]]} in row {wrong[0]}; the card has {classes} classes"
        )
    images = decode_images(table["image"], tuple(card["image_shape"]), str(path))
    parts = {
        key: table[key].to_numpy(zero_copy_only=False)[rows]
        for key in ("sample_id", "corruption", "severity")
        if key in table.column_names
    }
    return ImageSplit(
        parts["sample_id"],
        images[rows],
        labels[rows],
        parts.get("corruption"),
        parts.get("severity"),
    )
