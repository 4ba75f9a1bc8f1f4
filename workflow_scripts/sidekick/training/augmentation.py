"""Random changes of training images, on whole batches."""

from collections.abc import Mapping

import torch
from torch import Tensor


def augment(images: Tensor, settings: Mapping[str, float], generator: torch.Generator) -> Tensor:
    """Translate each image and add noise to it.

    Parameters
    ----------
    images
        (B, channels, H, W) float32 in [0, 1].
    settings
        `shift`: each image moves by up to this many whole pixels along each axis; what comes in
        repeats the edge. `noise`: each image draws its noise's standard deviation uniformly from
        0 to this value. A key that is missing changes nothing.
    generator
        On the CPU, so that the same seed gives the same images on every device.

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
