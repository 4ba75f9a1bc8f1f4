"""Bilinear interpolation: along the axes, and anywhere."""

from math import ceil
from typing import Literal

import numpy as np


def clipped_zoom(values: np.ndarray, factor: float) -> np.ndarray:
    """Enlarge the centre of (H, W) or (H, W, C) values to their own size; `factor` at least 1."""
    rows, columns = (_zoomed_positions(size, factor) for size in values.shape[:2])
    return resample(values, rows, columns)


def _zoomed_positions(size: int, factor: float) -> np.ndarray:
    """Tell where the pixels of an axis come from, as the generators and SciPy's zoom do it."""
    crop = ceil(size / factor)
    zoomed = round(crop * factor)
    trimmed = (zoomed - size) // 2 + np.arange(size)
    return (size - crop) // 2 + trimmed * ((crop - 1) / (zoomed - 1))


def resample(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Interpolate (H, W) or (H, W, C) values on a grid.

    Parameters
    ----------
    values
        Any numbers.
    rows
        (h,) positions; those outside are moved to the border.
    columns
        (w,) positions likewise.

    Returns
    -------
    numpy.ndarray
        (h, w) or (h, w, C) float64.
    """
    for axis, positions in enumerate((rows, columns)):
        size = values.shape[axis]
        lower = np.clip(np.floor(positions).astype(int), 0, size - 2)
        share = np.clip(positions - lower, 0, 1)
        share = share.reshape(-1, *[1] * (values.ndim - 1 - axis))
        start = values.take(lower, axis)
        values = start + share * (values.take(lower + 1, axis) - start)
    return values


def warp(
    values: np.ndarray, rows: np.ndarray, columns: np.ndarray, border: Literal["mirror", "reflect"]
) -> np.ndarray:
    """Interpolate (H, W, C) values at any positions.

    Parameters
    ----------
    values
        Floats.
    rows
        (h, w) positions; beyond the image it goes on as its own mirror image.
    columns
        (h, w) positions likewise.
    border
        "mirror" does not repeat the edge pixel (OpenCV's reflect 101), "reflect" does.

    Returns
    -------
    numpy.ndarray
        (h, w, C).
    """
    height, width, channels = values.shape
    flat = values.reshape(-1, channels)
    top, left = np.floor(rows), np.floor(columns)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    above, below = (_fold(top + step, height, border) * width for step in (0, 1))
    before, after = (_fold(left + step, width, border) for step in (0, 1))
    first = flat.take(above + before, 0)
    first += right * (flat.take(above + after, 0) - first)
    second = flat.take(below + before, 0)
    second += right * (flat.take(below + after, 0) - second)
    return first + down * (second - first)


def _fold(positions: np.ndarray, size: int, border: str) -> np.ndarray:
    """Bring whole positions back into 0…size−1."""
    period = 2 * size - (2 if border == "mirror" else 0)
    folded = positions.astype(np.int64) % period
    return np.where(folded < size, folded, 2 * size - (2 if border == "mirror" else 1) - folded)
