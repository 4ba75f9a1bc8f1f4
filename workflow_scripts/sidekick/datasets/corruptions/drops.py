"""Drops of water or mud on the lens."""

import numpy as np
from scipy.ndimage import correlate, distance_transform_edt, label, sobel, uniform_filter

from sidekick.datasets.corruptions.blur import smooth
from sidekick.datasets.corruptions.pixels import to_uint8

# Red, green and blue of each.
_WATER = np.array((175, 238, 238)) / 255
_MUD = np.array((63, 42, 20)) / 255

# Beyond this distance from its rim a drop is flat.
_DEEPEST = 20

# Shades a drop as light from the lower right would.
_RELIEF = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])


def spatter(
    image: np.ndarray, constants: tuple[float, ...], rng: np.random.Generator
) -> np.ndarray:
    """Lay drops over the image: shining water, or opaque mud."""
    mean, scale, sigma, threshold, strength, is_mud = constants
    layer = smooth(rng.normal(mean, scale, size=image.shape[:2]), sigma)
    layer[layer < threshold] = 0
    values = image / 255
    if is_mud:
        cover = smooth((layer > threshold).astype(float), strength)
        cover[cover < 0.8] = 0
        cover = cover[..., None]
        return to_uint8(values * (1 - cover) + cover * _MUD)
    drops = to_uint8(layer)
    shine = drops * _relief(drops)
    if not shine.any():
        return image
    return to_uint8(values + (shine * (strength / shine.max()))[..., None] * _WATER)


def _relief(drops: np.ndarray) -> np.ndarray:
    """Give drops (H, W; uint8) a shaded surface that rises from their rims."""
    edges = find_edges(drops, 50, 150)
    depth = np.full(drops.shape, float(_DEEPEST))
    if edges.any():
        depth = np.minimum(distance_transform_edt(~edges), _DEEPEST)
    depth = (uniform_filter(depth, 3, mode="mirror") + 1e-6).astype(np.uint8)
    surface = equalise(depth).astype(int)
    shaded = np.clip(correlate(surface, _RELIEF, mode="mirror"), 0, 255)
    return np.rint(uniform_filter(shaded.astype(float), 3, mode="mirror"))


def find_edges(grey: np.ndarray, low: int, high: int) -> np.ndarray:
    """Find edges by Canny's method, as OpenCV does by default.

    Parameters
    ----------
    grey
        (H, W) uint8.
    low
        A gradient (sum of its absolute parts, by 3×3 Sobel filters) above this may be an edge.
    high
        Such an edge counts if somewhere along it the gradient is above this.

    Returns
    -------
    numpy.ndarray
        (H, W) bool.
    """
    height, width = grey.shape
    across = sobel(grey.astype(np.int64), axis=1, mode="nearest")
    down = sobel(grey.astype(np.int64), axis=0, mode="nearest")
    steepness = np.abs(across) + np.abs(down)
    framed = np.pad(steepness, 1)

    def beside(row: int, column: int) -> np.ndarray:
        return framed[1 + row : 1 + row + height, 1 + column : 1 + column + width]

    # The direction in four sectors: tan 22.5° in 15 bits after the point, as in OpenCV.
    near_horizontal = np.abs(across) * 13573
    rise = np.abs(down) << 15
    ridge = np.select(
        [
            rise < near_horizontal,
            rise > near_horizontal + (np.abs(across) << 16),
            (across ^ down) < 0,
        ],
        [
            (steepness > beside(0, -1)) & (steepness >= beside(0, 1)),
            (steepness > beside(-1, 0)) & (steepness >= beside(1, 0)),
            (steepness > beside(-1, 1)) & (steepness > beside(1, -1)),
        ],
        (steepness > beside(-1, -1)) & (steepness > beside(1, 1)),
    )
    lines, count = label(ridge & (steepness > low), np.ones((3, 3)))
    strong = np.zeros(count + 1, bool)
    strong[lines[steepness > high]] = True
    strong[0] = False
    return strong[lines]


def equalise(grey: np.ndarray) -> np.ndarray:
    """Spread the levels of a (H, W) uint8 image so that they are about equally frequent."""
    counts = np.bincount(grey.ravel(), minlength=256)
    lowest = counts[grey.min()]
    if lowest == grey.size:
        return grey
    levels = (np.cumsum(counts) - lowest) * (255 / (grey.size - lowest))
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)[grey]
