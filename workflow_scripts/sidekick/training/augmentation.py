"""Random changes of training images, on whole batches.

A batch goes through `augment_bytes`, is scaled to [0, 1], and goes through `augment` and `mix`.
All three draw from a generator on the CPU, so that the same seed gives the same images on every
device. A key of the settings that is missing changes nothing and draws nothing.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sidekick.training.rand_augment import rand_augment


def augment_bytes(
    pixels: Tensor, settings: Mapping[str, Any], generator: torch.Generator
) -> Tensor:
    """Mirror images and apply RandAugment to them.

    Parameters
    ----------
    pixels
        (B, 3, H, W) uint8; not changed.
    settings
        `flip`: whether each image is mirrored, left to right, with probability one half.
        `rand_augment`: `operations` and `magnitude` of `rand_augment`.
    generator
        On the CPU.

    Returns
    -------
    Tensor
        (B, 3, H, W) uint8.
    """
    if settings.get("flip"):
        mirrored = torch.rand(len(pixels), 1, 1, 1, generator=generator) < 0.5
        pixels = torch.where(mirrored.to(pixels.device), pixels.flip(3), pixels)
    if strength := settings.get("rand_augment"):
        pixels = rand_augment(pixels, strength["operations"], strength["magnitude"], generator)
    return pixels


def augment(images: Tensor, settings: Mapping[str, Any], generator: torch.Generator) -> Tensor:
    """Translate each image and add noise to it.

    Parameters
    ----------
    images
        (B, channels, H, W) float32 in [0, 1].
    settings
        `shift`: each image moves by up to this many whole pixels along each axis; what comes in
        repeats the edge. `noise`: each image draws its noise's standard deviation uniformly from
        0 to this value.
    generator
        On the CPU.

    Returns
    -------
    Tensor
        (B, channels, H, W) float32 in [0, 1].
    """
    if shift := settings.get("shift", 0):
        images = _translate(images, int(shift), generator)
    if noise := settings.get("noise", 0.0):
        images = _add_noise(images, noise, generator)
    return images


def mix(
    images: Tensor,
    labels: Tensor,
    classes: int,
    settings: Mapping[str, Any],
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Blend each image, and its target, with its neighbour's in the batch (mixup).

    See Zhang et al., *mixup*, arXiv 1710.09412. As in its published code, the batch draws one
    share λ from Beta(α, α). The batch should be shuffled.

    Parameters
    ----------
    images
        (B, channels, H, W) float32.
    labels
        (B,) int64.
    classes
        C.
    settings
        `mixup`: α.
    generator
        On the CPU.

    Returns
    -------
    tuple of Tensor
        The images, and the targets: probabilities (B, C) float32, or the labels as they came if
        `mixup` is missing or 0.
    """
    alpha = settings.get("mixup", 0.0)
    if not alpha:
        return images, labels
    # torch has no public Beta distribution that draws from a given generator.
    key = torch.randint(2**63 - 1, (), generator=generator).item()
    share = float(np.random.default_rng(key).beta(alpha, alpha))
    targets = F.one_hot(labels, classes).to(images.dtype)
    return images.lerp(images.roll(1, 0), 1 - share), targets.lerp(targets.roll(1, 0), 1 - share)


def _translate(images: Tensor, shift: int, generator: torch.Generator) -> Tensor:
    count, _, height, width = images.shape
    moves = torch.randint(-shift, shift + 1, (2, count, 1), generator=generator)
    rows = (torch.arange(height) + moves[0]).clamp(0, height - 1).to(images.device)
    columns = (torch.arange(width) + moves[1]).clamp(0, width - 1).to(images.device)
    sample = torch.arange(count, device=images.device)[:, None, None]
    # Indexed with channels last, as the images lie in memory.
    moved = images.permute(0, 2, 3, 1)[sample, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def _add_noise(images: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    count, channels, height, width = images.shape
    sigma = noise * torch.rand(count, 1, 1, 1, generator=generator)
    values = torch.randn(count, height, width, channels, generator=generator)
    values = (sigma * values).permute(0, 3, 1, 2).to(images.device)
    return (images + values).clamp(0, 1)
