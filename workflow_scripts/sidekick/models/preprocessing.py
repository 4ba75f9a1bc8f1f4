"""What a network wants done to an image before it reads it.

The order and arithmetic are those of timm's own evaluation transform: the shorter side is
resized, the centre is cropped, pixels are scaled to [0, 1] and normalised per channel.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from sidekick.datasets.decoding import Load, decode_rgb
from sidekick.datasets.reading import StoredFormat
from sidekick.errors import SidekickError

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")

# A strip that is longer than this times its width would resize to an image of gigabytes.
_LONGEST_STRIP = 32


@dataclass(frozen=True)
class Preprocessing:
    """How images become a network's input.

    Attributes
    ----------
    size
        (height, width) of the input.
    crop
        The share of the resized image's side that the crop keeps, at most 1: for a square input,
        the shorter side is resized to `floor(size / crop)` pixels.
    interpolation
        One of `INTERPOLATIONS`, with antialiasing (but for `nearest`).
    mean, std
        Per channel, of pixels in [0, 1].

    Notes
    -----
    An image that has the network's size already is taken whole, whatever `crop`. timm's few
    networks that were evaluated on squashed or bordered images get centre crops like all others.
    Only the middle of an image more than 32 times as long as wide is looked at.
    """

    size: tuple[int, int]
    crop: float
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        # JSON has lists; equal settings must be equal however they came here.
        for key in ("size", "mean", "std"):
            object.__setattr__(self, key, tuple(getattr(self, key)))

    def as_dict(self) -> dict[str, Any]:
        """Give the settings as JSON values, for `Preprocessing(**values)`."""
        values = asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value
                for key, value in values.items()}  # fmt: skip

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the input."""
        return (*self.size, len(self.mean))


def resolve_preprocessing(
    entry: Mapping[str, Any],
    pretrained_cfg: Mapping[str, Any],
    image_shape: Sequence[int] | None,
) -> Preprocessing:
    """Decide how a dataset's images become the input of a model.

    With pretrained weights the network reads images as those weights were trained to. From
    scratch it reads images of one fixed shape as they are, and images of varying size at the
    size that timm gives for the architecture.

    Parameters
    ----------
    entry
        The model entry. `pretrained` decides as above; `input` overrides single settings: `size`
        (side of a square, or height and width), `crop`, `interpolation`, `mean`, `std`.
    pretrained_cfg
        timm's facts about the network: `model.pretrained_cfg`.
    image_shape
        (height, width, channels) of all images, or None if they vary.

    Raises
    ------
    SidekickError
        If `input` has a value that makes no sense; with key, value and what is allowed.
    """
    own = {
        "size": tuple(pretrained_cfg["input_size"][1:]),
        # A few volo networks were evaluated on a padded image, that is with a crop above 1.
        "crop": min(pretrained_cfg.get("crop_pct") or 0.875, 1.0),
        "interpolation": pretrained_cfg.get("interpolation") or "bicubic",
        "mean": pretrained_cfg["mean"],
        "std": pretrained_cfg["std"],
    }
    if not entry.get("pretrained") and image_shape is not None:
        own |= {"size": tuple(image_shape[:2]), "crop": 1.0}
    return Preprocessing(**own | _overrides(entry.get("input") or {}))


def _overrides(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check the block `input` of a model entry."""
    given = dict(settings)
    if "size" in given:
        size = given["size"]
        sides = (size, size) if not isinstance(size, Sequence) else tuple(size)
        _require(
            len(sides) == 2 and all(type(side) is int and side > 0 for side in sides),
            "size", size, "a side in pixels, or [height, width]",
        )  # fmt: skip
        given["size"] = sides
    if "crop" in given:
        crop = given["crop"]
        _require(_is_number(crop) and 0 < crop <= 1, "crop", crop, "a share above 0, at most 1")
    if "interpolation" in given:
        _require(
            given["interpolation"] in INTERPOLATIONS,
            "interpolation", given["interpolation"], f"one of {', '.join(INTERPOLATIONS)}",
        )  # fmt: skip
    for key, least in (("mean", -math.inf), ("std", 0)):
        if key in given:
            values = given[key]
            fits = (
                isinstance(values, Sequence)
                and len(values) == 3
                and all(_is_number(value) and least < value < math.inf for value in values)
            )
            _require(fits, key, values, "three numbers" + (" above 0" if key == "std" else ""))
    unknown = sorted(set(given) - set(Preprocessing.__dataclass_fields__))
    if unknown:
        raise SidekickError(
            f"input.{unknown[0]}: there is no such setting; allowed are "
            f"{', '.join(Preprocessing.__dataclass_fields__)}"
        )
    return given


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _require(fits: bool, key: str, value: object, allowed: str) -> None:
    if not fits:
        raise SidekickError(f"input.{key}: {value!r} is not allowed; expected {allowed}")


def load_image(data: object, preprocessing: Preprocessing, name: str) -> np.ndarray:
    """Decode an image file, resize and crop it.

    Parameters
    ----------
    data
        The file's bytes.
    preprocessing
        Its `size`, `crop` and `interpolation` are used.
    name
        What to call the image in a message.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8.

    Raises
    ------
    SidekickError
        If it does not decode.

    Notes
    -----
    The image is decoded in full: libjpeg's reduced decoding would change pixels. It is resized by
    torchvision, on x86 six times as fast as by Pillow, whose results it rarely misses by one or
    two of 255.
    """
    return resize_image(decode_rgb(data, name), preprocessing)


def image_loader(stored: StoredFormat, preprocessing: Preprocessing) -> Load:
    """Give the `load_image` of a dataset: for files, or for raw pixels of one shape.

    Raises
    ------
    SidekickError
        The function itself, if an image does not decode or has the wrong number of bytes.
    """
    if stored.encoded:
        return lambda data, name: load_image(data, preprocessing, name)
    size = math.prod(stored.shape)

    def load_raw(data: object, name: str) -> np.ndarray:
        if len(data) != size:
            raise SidekickError(
                f"{name}: the image has {len(data)} bytes; shape {stored.shape} needs {size}"
            )
        # Copied, because torch takes no memory that it must not write to.
        image = np.frombuffer(data, np.uint8).reshape(stored.shape).copy()
        return resize_image(image, preprocessing)

    return load_raw


def resize_image(image: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Resize and crop one image (h, w, 3) uint8 to (H, W, 3)."""
    if image.shape[:2] == preprocessing.size:
        return image
    pixels = torch.from_numpy(_shortened(image)).permute(2, 0, 1)[None]
    return _resize(pixels, preprocessing)[0].permute(1, 2, 0).numpy()


class ToInput:
    """Map pixels in [0, 1] of any size to a network's input, on the device.

    Parameters
    ----------
    preprocessing
        What the network wants.
    device
        Where images will lie.
    """

    def __init__(self, preprocessing: Preprocessing, device: torch.device) -> None:
        self._preprocessing = preprocessing
        self._mean = torch.tensor(preprocessing.mean, device=device).view(1, -1, 1, 1)
        self._std = torch.tensor(preprocessing.std, device=device).view(1, -1, 1, 1)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Resize and crop (B, 3, h, w) float32 unless it has the size already; normalise.

        Returns
        -------
        torch.Tensor
            (B, 3, H, W) float32, channels last in memory.
        """
        if tuple(pixels.shape[2:]) != self._preprocessing.size:
            # Bicubic weights are negative in places; 8-bit images are clipped likewise.
            pixels = _resize(pixels, self._preprocessing).clamp(0, 1)
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        return (pixels - self._mean) / self._std


def _resize(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Resize and crop (B, 3, h, w), 8-bit or float."""
    resized = _resized(tuple(pixels.shape[2:]), preprocessing)
    top, left = _corner(resized, preprocessing)
    height, width = preprocessing.size
    mode = InterpolationMode(preprocessing.interpolation)
    if mode is InterpolationMode.NEAREST:
        # The kind that takes the same pixels as Pillow.
        mode = InterpolationMode.NEAREST_EXACT
    pixels = F.resize(pixels, list(resized), interpolation=mode, antialias=True)
    return pixels[:, :, top : top + height, left : left + width]


def _shortened(image: np.ndarray) -> np.ndarray:
    """Cut the ends off a strip (h, w, 3)."""
    limit = _LONGEST_STRIP * min(image.shape[:2])
    top, left = (max(side - limit, 0) // 2 for side in image.shape[:2])
    return image[top : top + limit, left : left + limit]


def _resized(shape: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    """Give height and width before cropping, rounded as timm rounds."""
    target = [math.floor(side / preprocessing.crop) for side in preprocessing.size]
    if target[0] == target[1]:
        short, long = sorted(shape)
        sides = target[0], int(target[0] * long / short)
        return sides if shape[0] <= shape[1] else sides[::-1]
    ratio = min(side / wanted for side, wanted in zip(shape, target, strict=True))
    return round(shape[0] / ratio), round(shape[1] / ratio)


def _corner(resized: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    """Give where the crop starts, rounded as torchvision rounds."""
    top, left = (
        round((side - wanted) / 2.0)
        for side, wanted in zip(resized, preprocessing.size, strict=True)
    )
    return top, left
