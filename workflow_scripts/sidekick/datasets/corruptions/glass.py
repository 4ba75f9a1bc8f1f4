"""Frosted glass: pixels shuffled within a small neighbourhood."""

import numpy as np

from sidekick.datasets.corruptions.blur import smooth
from sidekick.datasets.corruptions.pixels import to_uint8


def glass_blur(
    image: np.ndarray, constants: tuple[float, int, int], rng: np.random.Generator
) -> np.ndarray:
    """Blur, let every pixel take the place of one near it, and blur again."""
    sigma, reach, rounds = constants
    shuffled = to_uint8(smooth(image / 255, sigma))
    for _ in range(rounds):
        shuffled = _shuffle(shuffled, reach, rng)
    return to_uint8(smooth(shuffled / 255, sigma))


def _shuffle(image: np.ndarray, reach: int, rng: np.random.Generator) -> np.ndarray:
    """Copy to each inner pixel another one: up to `reach` before it, up to `reach` − 1 behind.

    The generators go through the pixels from the last to the first, so that a pixel may receive
    what another one received before. Here each pixel first points to its source; a source which
    was itself replaced by then is followed to its own, for all pixels at once and in doubling
    steps, until only sources are left that were still untouched.
    """
    height, width, channels = image.shape
    rows, columns = np.mgrid[reach + 1 : height - reach + 1, reach + 1 : width - reach + 1]
    offsets = rng.integers(-reach, reach, size=(*rows.shape, 2))
    # What lies beyond the image is never a source: the largest offset is reach − 1.
    place = (rows * width + columns).ravel()
    origin = ((rows + offsets[..., 1]) * width + columns + offsets[..., 0]).ravel()
    inner = np.zeros(height * width, bool)
    inner[place] = True
    source = np.arange(height * width)
    source[place] = origin
    replaced = np.zeros(height * width, bool)
    replaced[place] = inner[origin] & (origin > place)
    while (pending := np.flatnonzero(replaced)).size:
        middle = source[pending]
        source[pending], replaced[pending] = source[middle], replaced[middle]
    return image.reshape(-1, channels)[source].reshape(image.shape)
