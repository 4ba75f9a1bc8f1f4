"""RandAugment on whole batches, equal to torchvision's on each image."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

# What `torchvision.transforms.v2.RandAugment` draws from, in its order, and whether it draws a
# sign too.
OPERATIONS = {
    "identity": False,
    "shear_x": True,
    "shear_y": True,
    "translate_x": True,
    "translate_y": True,
    "rotate": True,
    "brightness": True,
    "color": True,
    "contrast": True,
    "sharpness": True,
    "posterize": False,
    "solarize": False,
    "autocontrast": False,
    "equalize": False,
}
_SIGNED = torch.tensor(list(OPERATIONS.values()))
_BINS = 31


def rand_augment(
    pixels: Tensor, operations: int, magnitude: int, generator: torch.Generator
) -> Tensor:
    """Change each image by operations drawn at random, one after the other.

    Each image draws its operations and their signs independently, with the chances and strengths
    of `torchvision.transforms.v2.RandAugment(operations, magnitude)`; what an operation does to an
    image is bit for bit what torchvision does. See Cubuk et al., *RandAugment*, arXiv 1909.13719.

    Parameters
    ----------
    pixels
        (B, 3, H, W) uint8, on any device; not changed.
    operations
        How many operations each image goes through.
    magnitude
        Their strength, from 0 to 30.
    generator
        On the CPU, so that the same seed draws the same on every device.

    Returns
    -------
    Tensor
        (B, 3, H, W) uint8, channels last in memory.
    """
    shape = (operations, len(pixels))
    kinds = torch.randint(len(OPERATIONS), shape, generator=generator)
    negative = torch.rand(shape, generator=generator) <= 0.5
    # Most of torchvision's operations are faster on whole planes.
    pixels = pixels.contiguous()
    for kind, sign in zip(kinds, negative, strict=True):
        pixels = apply_operations(pixels, kind, sign, magnitude)
    return pixels.contiguous(memory_format=torch.channels_last)


def apply_operations(pixels: Tensor, kinds: Tensor, negative: Tensor, magnitude: int) -> Tensor:
    """Change each image by the operation chosen for it.

    The strength is shared, so images that drew the same operation and sign change in the same way
    and go through torchvision together.

    Parameters
    ----------
    pixels
        (B, 3, H, W) uint8.
    kinds
        (B,) int64 on the CPU: positions in `OPERATIONS`.
    negative
        (B,) bool on the CPU: the signs. Operations without one ignore it.
    magnitude
        From 0 to 30.

    Returns
    -------
    Tensor
        (B, 3, H, W) uint8, contiguous.
    """
    changes = _changes(magnitude, *pixels.shape[2:])
    variants = 2 * kinds + (negative & _SIGNED[kinds])
    order = variants.argsort(stable=True)
    sizes = variants.bincount(minlength=2 * len(OPERATIONS)).tolist()
    groups = pixels.index_select(0, order.to(pixels.device)).split(sizes)
    changed = [
        changes[variant](group) if len(group) else group for variant, group in enumerate(groups)
    ]
    return torch.cat(changed).index_select(0, order.argsort().to(pixels.device))


def _changes(magnitude: int, height: int, width: int) -> list[Callable[[Tensor], Tensor]]:
    """Give what each operation does, with the positive and with the negative sign."""
    shear = math.degrees(math.atan(_level(0.3, magnitude)))
    right, down = (_level(150.0 / 331.0 * side, magnitude) for side in (width, height))
    degrees, factor = _level(30.0, magnitude), _level(0.9, magnitude)
    bits = int((8 - torch.arange(_BINS) / ((_BINS - 1) / 4)).round()[magnitude])
    threshold = 255.0 * float(torch.linspace(1.0, 0.0, _BINS)[magnitude])
    changes = []
    for sign in (1, -1):
        changes.append(
            {
                "identity": lambda images: images,
                "shear_x": partial(_affine, shear=[sign * shear, 0.0], center=[0, 0]),
                "shear_y": partial(_affine, shear=[0.0, sign * shear], center=[0, 0]),
                "translate_x": partial(_affine, translate=[int(sign * right), 0]),
                "translate_y": partial(_affine, translate=[0, int(sign * down)]),
                "rotate": partial(F.rotate, angle=sign * degrees),
                "brightness": partial(F.adjust_brightness, brightness_factor=1 + sign * factor),
                "color": partial(F.adjust_saturation, saturation_factor=1 + sign * factor),
                "contrast": partial(F.adjust_contrast, contrast_factor=1 + sign * factor),
                "sharpness": partial(_sharpen, factor=1 + sign * factor),
                "posterize": partial(F.posterize, bits=bits),
                "solarize": partial(F.solarize, threshold=threshold),
                "autocontrast": F.autocontrast,
                "equalize": F.equalize,
            }
        )
    return [signed[name] for name in OPERATIONS for signed in changes]


def _level(limit: float, magnitude: int) -> float:
    return float(torch.linspace(0.0, limit, _BINS)[magnitude])


def _affine(
    images: Tensor,
    translate: list[int] | None = None,
    shear: list[float] | None = None,
    center: list[float] | None = None,
) -> Tensor:
    return F.affine(
        images,
        angle=0.0,
        translate=translate or [0, 0],
        scale=1.0,
        shear=shear or [0.0, 0.0],
        center=center,
    )


def _sharpen(images: Tensor, factor: float) -> Tensor:
    # The blur inside is a convolution per channel, on the CPU many times faster in this layout.
    images = images.contiguous(memory_format=torch.channels_last)
    return F.adjust_sharpness(images, sharpness_factor=factor).contiguous()
