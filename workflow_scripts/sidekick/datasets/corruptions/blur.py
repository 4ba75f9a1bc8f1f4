"""Blur: every pixel becomes a weighted mean of pixels near it."""

from functools import cache
from math import ceil, cos, radians, sin

import numpy as np
from scipy.ndimage import correlate, gaussian_filter
from scipy.signal import oaconvolve

from sidekick.datasets.corruptions.pixels import to_uint8
from sidekick.datasets.corruptions.resampling import clipped_zoom

# From about this many weights on, a kernel is faster through Fourier transforms.
_MANY_WEIGHTS = 40


def defocus_blur(
    image: np.ndarray, constants: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Spread every pixel over a disk; like a lens out of focus."""
    kernel = _disk(*constants)[..., None]
    values = image / 255
    if np.count_nonzero(kernel) < _MANY_WEIGHTS:
        # SciPy's "mirror" is OpenCV's default border (reflect 101).
        return to_uint8(correlate(values, kernel, mode="mirror"))
    reach = len(kernel) // 2
    padded = np.pad(values, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    return to_uint8(oaconvolve(padded, kernel, mode="valid", axes=(0, 1)))


def gaussian_blur(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Blur with a Gaussian."""
    return to_uint8(smooth(image / 255, sigma))


def smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    """Blur (H, W) or (H, W, C) values as scikit-image's `gaussian` does by default."""
    return gaussian_filter(values, sigma, axes=(0, 1), mode="nearest", truncate=4)


def motion_blur(
    image: np.ndarray, constants: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Smear the image along a line of at most 45 degrees to the horizontal."""
    return smear(image, *constants, angle=rng.uniform(-45, 45))


def smear(image: np.ndarray, radius: float, sigma: float, angle: float) -> np.ndarray:
    """Give what ImageMagick's motion blur makes of an image.

    Parameters
    ----------
    image
        (H, W) or (H, W, C) uint8.
    radius
        The line is 2⌈radius⌉ + 1 pixels long and starts at the pixel.
    sigma
        Its weights are one half of a Gaussian of this standard deviation.
    angle
        Where it leads: 0 to the right, 90 down, in degrees.

    Returns
    -------
    numpy.ndarray
        uint8, rounded to the nearest.
    """
    steps = np.arange(2 * ceil(radius) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    right = np.ceil(steps * cos(radians(angle)) - 0.5).astype(int)
    down = np.ceil(steps * sin(radians(angle)) - 0.5).astype(int)
    reach = max(np.abs(right).max(), np.abs(down).max())
    border = ((reach, reach), (reach, reach), (0, 0))[: image.ndim]
    padded = np.pad(image, border, mode="edge").astype(np.float32)
    height, width = image.shape[:2]
    total = np.full(image.shape, 0.5, np.float32)
    for weight, row, column in zip(weights, reach + down, reach + right, strict=True):
        total += np.float32(weight) * padded[row : row + height, column : column + width]
    return np.minimum(total, 255).astype(np.uint8)


def zoom_blur(
    image: np.ndarray, constants: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Average the image with its enlargements; like a camera that rushes towards the scene."""
    end, step = constants
    factors = np.arange(1, end, step)
    values = image / 255
    total = values.copy()
    for factor in factors:
        total += clipped_zoom(values, factor)
    return to_uint8(total / (len(factors) + 1))


@cache
def _disk(radius: float, softness: float) -> np.ndarray:
    """Give a disk on the pixel grid, its rim softened by a small Gaussian.

    A larger disk fills its grid; its softened rim is then reflected at the grid's border, and the
    weights sum to slightly more or less than 1. As published.
    """
    reach, soft_reach = (8, 1) if radius <= 8 else (int(radius), 2)
    squares = np.arange(-reach, reach + 1) ** 2
    disk = (squares[:, None] + squares <= radius**2).astype(float)
    gaussian = np.exp(-(np.arange(-soft_reach, soft_reach + 1) ** 2) / (2 * softness**2))
    gaussian /= gaussian.sum()
    return correlate(disk / disk.sum(), np.outer(gaussian, gaussian), mode="mirror")
