"""Elastic deformation: a random affine map, then small displacements of every pixel."""

from functools import cache

import numpy as np
from scipy.fft import dctn, idctn

from sidekick.datasets.corruptions.pixels import to_uint8
from sidekick.datasets.corruptions.resampling import warp


def elastic_transform(
    image: np.ndarray, constants: tuple[float, float, float], rng: np.random.Generator
) -> np.ndarray:
    """Stretch and shear the image, then move its pixels about."""
    shape = image.shape[:2]
    strength, sigma, reach = (min(shape) * share for share in constants)
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    to_source = _random_affine(shape, reach, rng)
    source_columns, source_rows = (x * columns + y * rows + shift for x, y, shift in to_source)
    values = warp(image / 255, source_rows, source_columns, "mirror")
    if strength:
        columns += strength * _displacements(shape, sigma, rng)
        rows += strength * _displacements(shape, sigma, rng)
        values = warp(values, rows, columns, "reflect")
    return to_uint8(values)


def _random_affine(shape: tuple[int, int], reach: float, rng: np.random.Generator) -> np.ndarray:
    """Move three corners of a square in the centre by up to `reach` each way.

    Returns
    -------
    numpy.ndarray
        (2, 3): x and y in the old image are linear in x, y and 1 of the new one.
    """
    x, y = shape[1] // 2, shape[0] // 2
    half = min(shape) // 3
    corners = np.array([(x + half, y + half), (x + half, y - half), (x - half, y - half)], float)
    moved = corners + rng.uniform(-reach, reach, size=corners.shape)
    return np.linalg.solve(np.column_stack([moved, np.ones(3)]), corners).T


def _displacements(shape: tuple[int, int], sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Draw uniform displacements from −1 to 1, and smooth them with the edges reflected.

    Under this border a symmetric filter is a product in the space of the cosine transform, which
    matters for filters wider than the image.
    """
    spectrum = dctn(rng.uniform(-1, 1, size=shape))
    spectrum *= np.multiply.outer(*(_response(size, sigma) for size in shape))
    return idctn(spectrum)


@cache
def _response(size: int, sigma: float) -> np.ndarray:
    """Give what SciPy's Gaussian filter, cut at 3 sigma, leaves of each cosine of an axis."""
    steps = np.arange(1, int(3 * sigma + 0.5) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    cosines = np.cos(np.pi / size * np.multiply.outer(np.arange(size), steps))
    return (1 + 2 * cosines @ weights) / (1 + 2 * weights.sum())
