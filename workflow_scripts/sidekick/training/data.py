"""The splits that training reads, decoded in memory."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sidekick.datasets.reading import load_split, read_card
from sidekick.models.pixels import as_tensor


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images and labels on the training device.

    Attributes
    ----------
    pixels
        (n, 3, H, W) uint8.
    labels
        (n,) int64.
    """

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a training reads of a dataset.

    Attributes
    ----------
    train, val
        The splits of one seed.
    classes
        Number of classes C.
    image_shape
        (height, width, channels).
    fingerprint
        Changes when the dataset's revision or the choice of samples changes.
    """

    train: LabelledImages
    val: LabelledImages
    classes: int
    image_shape: tuple[int, int, int]
    fingerprint: str


def load_training_data(folder: str | Path, seed: int, device: torch.device) -> TrainingData:
    """Load the train and val splits of a seed onto the device."""
    card = read_card(folder)
    digest = hashlib.sha256(str(card["revision"]).encode())
    parts = {}
    for split in ("train", "val"):
        images = load_split(folder, split, seed)
        digest.update("\n".join(images.sample_ids).encode())
        labels = torch.from_numpy(images.labels).to(device, torch.int64)
        parts[split] = LabelledImages(as_tensor(images.images, device), labels)
    return TrainingData(
        **parts,
        classes=len(card["classes"]),
        image_shape=tuple(card["image_shape"]),
        fingerprint=digest.hexdigest(),
    )
