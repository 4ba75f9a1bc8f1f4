"""The images that training reads: decoded in memory, or decoded ahead by threads."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sidekick.datasets.decoding import Batch, decode_ahead
from sidekick.datasets.reading import StoredSplit, load_split, load_stored_split, read_card
from sidekick.models.pixels import as_tensor, host_images, upload
from sidekick.models.preprocessing import Preprocessing, image_loader

# Of one split, decoded on the device.
_MEMORY_LIMIT = 4 << 30


def _nothing() -> None:
    """Draw no change."""


Change = Callable[[Tensor], Tensor]
"""Maps pixels (B, 3, h, w) uint8 to as many of the same shape, on any device."""


class LabelledImages(ABC):
    """The images and labels of one split.

    Attributes
    ----------
    labels
        (n,) int64 on the device.
    """

    def __init__(self, labels: np.ndarray, device: torch.device) -> None:
        self.labels = torch.from_numpy(labels).to(device, torch.int64)

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def batches(
        self, rows: Iterable[Tensor], draw: Callable[[], Change | None] = _nothing
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Give batch after batch.

        Parameters
        ----------
        rows
            Per batch the positions of its samples: (B,) int64 on the CPU.
        draw
            Called once per batch, in their order, perhaps some batches ahead; what it gives is
            applied to the batch's pixels. Where these are decoded by threads for the CPU, it is
            applied there.

        Yields
        ------
        pixels
            (B, 3, h, w) uint8 on the device, channels last in memory.
        labels
            (B,) int64 on the device.
        """


class DecodedImages(LabelledImages):
    """A split that lies decoded on the device.

    Parameters
    ----------
    images
        (n, H, W, 3) uint8: batches have this height and width.
    labels
        (n,) integers.
    device
        Where to keep them.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, device: torch.device) -> None:
        super().__init__(labels, device)
        self._images = as_tensor(images, device).permute(0, 2, 3, 1)

    def batches(
        self, rows: Iterable[Tensor], draw: Callable[[], Change | None] = _nothing
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `LabelledImages.batches`."""
        for batch in rows:
            place = batch.to(self.labels.device)
            pixels = self._images.index_select(0, place).permute(0, 3, 1, 2)
            yield _changed(pixels, draw()), self.labels[place]


class StoredImages(LabelledImages):
    """A split that is decoded and brought to the network's size while training goes on.

    The order of images and their pixels do not depend on the number of threads. These end with
    the iteration, whichever way it ends.

    Parameters
    ----------
    split
        The images as they are stored.
    preprocessing
        Its size is that of the batches.
    device
        Where batches go.
    threads
        How many decode.
    """

    def __init__(
        self, split: StoredSplit, preprocessing: Preprocessing, device: torch.device, threads: int
    ) -> None:
        super().__init__(split.labels, device)
        self._split = split
        self._size = preprocessing.size
        self._load = image_loader(split.format, preprocessing)
        self._threads = threads

    def batches(
        self, rows: Iterable[Tensor], draw: Callable[[], Change | None] = _nothing
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `LabelledImages.batches`.

        Raises
        ------
        SidekickError
            If an image does not decode; with its name.
        """
        device = self.labels.device

        on_host = device.type == "cpu"

        def stored() -> Iterator[Batch[_Facts]]:
            for batch in rows:
                images = host_images((len(batch), *self._size, 3), device)
                facts = images, batch, draw()
                yield Batch(self._split.stored(batch.numpy()), images.numpy(), facts)

        def finish(batch: Batch[_Facts]) -> None:
            images, _, change = batch.facts
            if change is not None:
                images.copy_(change(images.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))

        decoding = decode_ahead(
            stored(),
            self._load,
            self._threads,
            finish=finish if on_host else None,
            # As many threads work already; the caller's own number stays as it is.
            initialise=partial(torch.set_num_threads, 1),
        )
        with closing(decoding) as decoded:
            for images, batch, change in (finished.facts for finished in decoded):
                pixels = upload(images, device)
                yield pixels if on_host else _changed(pixels, change), self.labels[batch.to(device)]


_Facts = tuple[Tensor, Tensor, Change | None]
"""Of a batch that is decoded: where its pixels go, its rows and its change."""


def _changed(pixels: Tensor, change: Change | None) -> Tensor:
    return pixels if change is None else change(pixels)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a training reads of a dataset.

    Attributes
    ----------
    train, val
        The splits of one seed.
    classes
        Number of classes C.
    main_metric
        The metric by which validation picks among alternatives.
    preprocessing
        How pixels become the network's input.
    fingerprint
        Changes when the dataset's revision or the choice of samples changes.
    """

    train: LabelledImages
    val: LabelledImages
    classes: int
    main_metric: str
    preprocessing: Preprocessing
    fingerprint: str


def load_training_data(
    folder: str | Path,
    seed: int,
    device: torch.device,
    preprocessing: Preprocessing,
    threads: int,
) -> TrainingData:
    """Load the train and val splits of a seed.

    A split of images of one shape that takes at most 4 GiB lies decoded on the device, in the
    dataset's own shape. Any other stays in main memory as it is stored, and `threads` threads
    decode it ahead of the training, to the network's size.

    Parameters
    ----------
    folder
        A prepared dataset.
    seed
        Whose splits to read.
    device
        Where training runs.
    preprocessing
        What the network wants; see `resolve_preprocessing`.
    threads
        How many decode.

    Raises
    ------
    SidekickError
        If a file is missing, damaged or contradicts another.
    """
    card = read_card(folder)
    digest = hashlib.sha256(str(card["revision"]).encode())
    parts = {}
    for split in ("train", "val"):
        parts[split], ids = _load(folder, card, split, seed, device, preprocessing, threads)
        digest.update("\n".join(ids).encode())
    return TrainingData(
        **parts,
        classes=len(card["classes"]),
        main_metric=card["main_metric"],
        preprocessing=preprocessing,
        fingerprint=digest.hexdigest(),
    )


def _load(
    folder: str | Path,
    card: Mapping[str, Any],
    split: str,
    seed: int,
    device: torch.device,
    preprocessing: Preprocessing,
    threads: int,
) -> tuple[LabelledImages, np.ndarray]:
    """Give a split's images and its sample ids."""
    shape = card["image_shape"]
    if shape is not None and card["sizes"][split] * prod(shape) <= _MEMORY_LIMIT:
        decoded = load_split(folder, split, seed, threads)
        return DecodedImages(decoded.images, decoded.labels, device), decoded.sample_ids
    stored = load_stored_split(folder, split, seed)
    return StoredImages(stored, preprocessing, device, threads), stored.sample_ids
