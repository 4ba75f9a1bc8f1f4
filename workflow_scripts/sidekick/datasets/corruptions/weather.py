"""Snow, frost and fog."""

from collections.abc import Sequence

import numpy as np

from sidekick.datasets.corruptions.blur import smear
from sidekick.datasets.corruptions.pixels import to_uint8
from sidekick.datasets.corruptions.resampling import clipped_zoom, resample
from sidekick.datasets.names import FROST_FILES
from sidekick.errors import SidekickError

# Grey value of red, green and blue (ITU-R BT.601).
_LUMA = (0.299, 0.587, 0.114)

#: Up to what factor an overlay of frost is enlarged for an image it does not cover.
LARGEST_ENLARGEMENT = 4


def snow(image: np.ndarray, constants: tuple[float, ...], rng: np.random.Generator) -> np.ndarray:
    """Whiten the image and let streaks of snow fall over it."""
    mean, scale, zoom, threshold, radius, sigma, kept = constants
    layer = clipped_zoom(rng.normal(mean, scale, size=image.shape[:2]), zoom)
    layer[layer < threshold] = 0
    layer = smear(to_uint8(layer), radius, sigma, angle=rng.uniform(-135, -45)) / 255
    values = image / 255
    whitened = np.maximum(values, (values @ _LUMA)[..., None] * 1.5 + 0.5)
    flakes = layer + layer[::-1, ::-1]
    return to_uint8(kept * values + (1 - kept) * whitened + flakes[..., None])


def checked_overlays(
    overlays: Sequence[np.ndarray] | None, shape: tuple[int, int]
) -> Sequence[np.ndarray]:
    """Give the overlays that `frost` draws from, if they suffice for images of a shape.

    Raises
    ------
    SidekickError
        If there are fewer than five, or one is no image or too small.
    """
    count = len(FROST_FILES)
    if overlays is None or len(overlays) < count:
        found = 0 if overlays is None else len(overlays)
        raise SidekickError(
            f"frost: {found} overlays; expected the {count} of the CIFAR-C generator: "
            + ", ".join(FROST_FILES)
        )
    for name, overlay in zip(FROST_FILES, overlays, strict=False):
        if overlay.dtype != np.uint8 or overlay.ndim != 3 or overlay.shape[2] != 3:
            raise SidekickError(
                f"frost: overlay {name} has shape {overlay.shape} and type {overlay.dtype}; "
                "expected (h, w, 3) and uint8"
            )
        if _covering_scale(overlay, shape) > LARGEST_ENLARGEMENT:
            raise SidekickError(
                f"frost: overlay {name} of {overlay.shape[0]}×{overlay.shape[1]} pixels is too "
                f"small for images of {shape[0]}×{shape[1]}; it may be enlarged up to "
                f"{LARGEST_ENLARGEMENT} times"
            )
    return overlays[:count]


def frost(
    image: np.ndarray,
    constants: tuple[float, float, float],
    rng: np.random.Generator,
    overlays: Sequence[np.ndarray],
) -> np.ndarray:
    """Add a piece of a photograph of frost."""
    image_weight, frost_weight, scale = constants
    overlay = overlays[rng.integers(len(overlays))]
    scale = max(scale, _covering_scale(overlay, image.shape[:2]))
    places = []
    for size, available in zip(image.shape[:2], overlay.shape[:2], strict=True):
        start = rng.integers(round(available * scale) - size)
        # OpenCV's bilinear resizing: between pixel centres, without smoothing before.
        places.append((start + np.arange(size) + 0.5) / scale - 0.5)
    piece = np.rint(resample(overlay.astype(float), *places))
    return to_uint8((image_weight * image + frost_weight * piece) / 255)


def _covering_scale(overlay: np.ndarray, shape: tuple[int, int]) -> float:
    """Give the scale from which an overlay is larger than images of a shape."""
    return max(
        (size + 1) / available for size, available in zip(shape, overlay.shape[:2], strict=True)
    )


def fog(image: np.ndarray, constants: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Add clouds of fog, and dim all to the brightest value there was."""
    amount, decay = constants
    height, width = image.shape[:2]
    clouds = plasma(1 << (max(height, width) - 1).bit_length(), decay, rng)[:height, :width]
    values = image / 255
    brightest = values.max()
    return to_uint8((values + amount * clouds[..., None]) * (brightest / (brightest + amount)))


def plasma(size: int, decay: float, rng: np.random.Generator) -> np.ndarray:
    """Draw clouds by the diamond-square method.

    Parameters
    ----------
    size
        A power of two.
    decay
        The height of the bumps falls by the square of this when their width halves.
    rng
        Source of the bumps.

    Returns
    -------
    numpy.ndarray
        (size, size) heights from 0 to 1; opposite edges fit together.
    """
    heights = np.zeros((size, size))
    bump, step = 1.0, size
    while step >= 2:
        half = step // 2
        corners = heights[::step, ::step]
        above = corners + np.roll(corners, -1, axis=1)
        left = corners + np.roll(corners, -1, axis=0)
        centres = (above + np.roll(above, -1, axis=0)) / 4
        centres += rng.uniform(-bump, bump, corners.shape)
        heights[half::step, half::step] = centres
        for edge, corner_sum, axis in (((0, half), above, 0), ((half, 0), left, 1)):
            middles = (corner_sum + centres + np.roll(centres, 1, axis)) / 4
            middles += rng.uniform(-bump, bump, corners.shape)
            heights[edge[0] :: step, edge[1] :: step] = middles
        step, bump = half, bump / decay**2
    heights -= heights.min()
    return heights / heights.max()
