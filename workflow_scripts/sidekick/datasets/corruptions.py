"""CIFAR-C-style corruptions: the same eight ways of spoiling an image, five severities each.

The definitions and constants are those of CIFAR-10-C and CIFAR-100-C [1]_, read from the authors'
generator [2]_. The code is our own, on numpy, SciPy and Pillow alone.

Differences to the published arrays
-----------------------------------
* Random numbers. Theirs come from one unseeded stream; ours are seeded for every image, so the
  noise has the same distribution but not the same values.
* Rounding. Both cut off the fraction when going to 8 bits (so a corrupted image is darker by
  half a grey level on average). Ours first forgives 1e-6 of a grey level, so that an integer
  which floating-point arithmetic left just below itself is not lowered; a difference of one grey
  level. OpenCV's float32 blur kernels and scikit-image's detour through hue and saturation can
  cause the same difference.
* JPEG. The bytes depend on the version of libjpeg that Pillow is built with.
* Size. The constants were tuned on 32×32 images. `pixelate` scales with the image; blur radii
  are in pixels, so a larger image is blurred relatively less.

What a severity means depends on the images. On photographs every corruption does more damage
(mean squared error) at every step. On smooth images, such as enlarged digits, `defocus_blur` and
`jpeg_compression` stay mild, and `pixelate` is about equally mild at severities 1 to 4: there its
error comes from where the boxes of 30, 28, 27 or 24 pixels happen to fall.

References
----------
.. [1] D. Hendrycks and T. Dietterich (2019). Benchmarking Neural Network Robustness to Common
   Corruptions and Perturbations. ICLR. https://arxiv.org/abs/1903.12261
.. [2] https://github.com/hendrycks/robustness, ImageNet-C/create_c/make_cifar_c.py
"""

from collections.abc import Callable, Sequence
from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image
from scipy.ndimage import correlate

from sidekick.datasets.hashing import keyed_hash
from sidekick.datasets.names import SEVERITIES
from sidekick.errors import SidekickError


def corrupt(
    images: np.ndarray, name: str, severity: int, sample_id: str | Sequence[str]
) -> np.ndarray:
    """Corrupt one image or a batch.

    Random draws are fixed by (sample id, corruption, severity): the result for an image depends
    neither on the others in the batch nor on their order.

    Parameters
    ----------
    images
        (H, W, 3) or (n, H, W, 3) uint8 RGB; left unchanged.
    name
        A key of `CORRUPTIONS`.
    severity
        1 to 5.
    sample_id
        The id of the image, or the n ids of the batch.

    Returns
    -------
    numpy.ndarray
        uint8, of the shape of `images`.

    Raises
    ------
    SidekickError
        On an unknown name, a severity out of range or an array that is not such images.
    """
    if name not in CORRUPTIONS:
        raise SidekickError(
            f"corruption {name!r}: no such corruption; there are: {', '.join(CORRUPTIONS)}"
        )
    if severity not in SEVERITIES:
        raise SidekickError(
            f"severity {severity!r} of {name}: expected a whole number from "
            f"{SEVERITIES[0]} to {SEVERITIES[-1]}"
        )
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[-1] != 3:
        raise SidekickError(
            f"{name}: images of shape {images.shape} and type {images.dtype}; "
            "expected (H, W, 3) or (n, H, W, 3) and uint8"
        )
    if images.ndim == 3:
        return corrupt(images[None], name, severity, [sample_id])[0]
    function, key = CORRUPTIONS[name], f"{name} {severity}"
    corrupted = np.empty_like(images)
    for row, (image, one_id) in enumerate(zip(images, sample_id, strict=True)):
        seed = int.from_bytes(keyed_hash(one_id, key, 16), "little")
        corrupted[row] = function(image, severity, np.random.default_rng(seed))
    return corrupted


def gaussian_noise(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Add normal noise, independent in every channel; like sensor noise in the dark."""
    scale = (0.04, 0.06, 0.08, 0.09, 0.10)[severity - 1]
    return _to_uint8(image / 255 + rng.normal(scale=scale, size=image.shape))


def shot_noise(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Draw each value from a Poisson distribution; like few photons: black stays black."""
    photons = (500, 250, 100, 75, 50)[severity - 1]
    return _to_uint8(rng.poisson(image / 255 * photons) / photons)


def impulse_noise(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Set single channel values to 0 or 255; salt and pepper, in colour."""
    amount = (0.01, 0.02, 0.03, 0.05, 0.07)[severity - 1]
    hit = rng.random(image.shape) < amount
    salt = rng.random(image.shape) < 0.5
    return np.where(hit, np.where(salt, np.uint8(255), np.uint8(0)), image)


def defocus_blur(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Spread every pixel over a disk; like a lens out of focus."""
    radius, softness = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))[severity - 1]
    kernel = _disk(radius, softness)[..., None]
    # SciPy's "mirror" is OpenCV's default border (reflect 101).
    return _to_uint8(correlate(image / 255, kernel, mode="mirror"))


def brightness(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Raise the value of hue-saturation-value, up to white.

    With hue and saturation kept, all three channels are proportional to the value; black has no
    hue and turns grey.
    """
    rise = (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
    colours = image / 255
    value = colours.max(axis=2, keepdims=True)
    brighter = np.minimum(value + rise, 1)
    relative = np.divide(colours, value, out=np.ones_like(colours), where=value > 0)
    return _to_uint8(relative * brighter)


def contrast(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Draw all values towards the image's mean of their channel."""
    factor = (0.75, 0.5, 0.4, 0.3, 0.15)[severity - 1]
    values = image / 255
    means = values.mean(axis=(0, 1))
    return _to_uint8((values - means) * factor + means)


def pixelate(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Shrink and enlarge again, both with box filters."""
    factor = (0.95, 0.9, 0.85, 0.75, 0.65)[severity - 1]
    height, width = image.shape[:2]
    small = Image.fromarray(image).resize(
        (int(width * factor), int(height * factor)), Image.Resampling.BOX
    )
    return np.asarray(small.resize((width, height), Image.Resampling.BOX))


def jpeg_compression(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Encode and decode with Pillow's JPEG settings at a low quality."""
    quality = (80, 65, 58, 50, 40)[severity - 1]
    encoded = BytesIO()
    Image.fromarray(image).save(encoded, "JPEG", quality=quality)
    return np.asarray(Image.open(encoded))


#: Each takes one (H, W, 3) uint8 image, a severity and a generator (those without randomness
#: leave it alone), and gives a new image.
CORRUPTIONS: dict[str, Callable[[np.ndarray, int, np.random.Generator], np.ndarray]] = {
    function.__name__: function
    for function in (
        gaussian_noise,
        shot_noise,
        impulse_noise,
        defocus_blur,
        brightness,
        contrast,
        pixelate,
        jpeg_compression,
    )
}


def _to_uint8(values: np.ndarray) -> np.ndarray:
    return (np.clip(values, 0, 1) * 255 + 1e-6).astype(np.uint8)


@cache
def _disk(radius: float, softness: float) -> np.ndarray:
    """Give a disk on the pixel grid, softened by a 3×3 Gaussian; the weights sum to 1."""
    reach = int(radius) + 1
    squares = np.arange(-reach, reach + 1) ** 2
    disk = (squares[:, None] + squares <= radius**2).astype(float)
    gaussian = np.exp(-(np.arange(-1, 2) ** 2) / (2 * softness**2))
    kernel = correlate(disk, np.outer(gaussian, gaussian), mode="constant")
    return kernel / kernel.sum()
