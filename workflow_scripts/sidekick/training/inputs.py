"""From stored images to what a network is trained on."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from sidekick.models.pixels import to_unit
from sidekick.models.preprocessing import Preprocessing, ToInput
from sidekick.training.augmentation import augment, augment_bytes, mix
from sidekick.training.data import Change


class Inputs(Protocol):
    """What the epoch loop does with a batch before the network sees it."""

    def draw_change(self, generator: torch.Generator) -> Change | None:
        """Draw what happens to a training batch's bytes, before `training` gets it."""

    def training(
        self, samples: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Give samples to train on and their targets: labels (B,) or probabilities (B, C)."""

    def evaluation(self, samples: Tensor) -> Tensor:
        """Give samples as they are, in the form in which `training` gives them."""

    def to_network(self, samples: Tensor) -> Tensor:
        """Give what the network reads."""


class ImageInputs:
    """Pixels: augmented at the size they come in, then resized and normalised.

    Parameters
    ----------
    preprocessing
        What the network wants.
    classes
        C.
    augmentation
        Settings of `sidekick.training.augmentation`.
    device
        Where the images lie.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        classes: int,
        augmentation: Mapping[str, Any],
        device: torch.device,
    ) -> None:
        self._classes = classes
        self._augmentation = augmentation
        self._to_input = ToInput(preprocessing, device)

    def draw_change(self, generator: torch.Generator) -> Change | None:
        """Draw how a batch is mirrored and what RandAugment does to it: see `augment_bytes`.

        The change has a generator of its own, so that it may be applied ahead and by any thread.
        """
        if not (self._augmentation.get("flip") or self._augmentation.get("rand_augment")):
            return None
        key = torch.randint(2**63 - 1, (), generator=generator).item()
        own = torch.Generator().manual_seed(key)
        return lambda pixels: augment_bytes(pixels, self._augmentation, own)

    def training(
        self, samples: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Map pixels (B, 3, h, w) uint8 to changed ones, float32 in [0, 1], and their targets."""
        samples = augment(to_unit(samples), self._augmentation, generator)
        return mix(samples, labels, self._classes, self._augmentation, generator)

    def evaluation(self, samples: Tensor) -> Tensor:
        """Map pixels (B, 3, h, w) uint8 to float32 in [0, 1]."""
        return to_unit(samples)

    def to_network(self, samples: Tensor) -> Tensor:
        """Map pixels (B, 3, h, w) in [0, 1] to the network's input (B, 3, H, W)."""
        return self._to_input(samples)
