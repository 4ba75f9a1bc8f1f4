"""CIFAR-C-style corruptions: nineteen ways of spoiling an image, five severities each.

The definitions are those of the authors' generators of CIFAR-10-C and CIFAR-100-C,
Tiny-ImageNet-C and ImageNet-C [1]_ [2]_; the code is our own, on numpy, SciPy and Pillow alone.
Images of any size from 8×8 pixels can be corrupted. The constants are those of the generator
whose images are nearest in size: `sidekick.datasets.corruptions.constants`.

Differences to the published arrays
-----------------------------------
* Random numbers. Theirs come from one unseeded stream; ours are seeded for every image, so noise,
  angles, crops and layers have the same distribution but not the same values.
* Rounding. Both cut off the fraction when going to 8 bits (so a corrupted image is darker by
  half a grey level on average). Ours first forgives 1e-6 of a grey level, so that an integer
  which floating-point arithmetic left just below itself is not lowered; a difference of one grey
  level. OpenCV's and ImageMagick's float32 and fixed-point arithmetic and scikit-image's detour
  through hue can cause the same difference.
* `motion_blur` and the layer of `snow` were made by ImageMagick, which rounds to the nearest
  level and repeats the edge pixels; so do ours.
* `glass_blur` was written as a swap of two pixels, but swapping two views of one numpy array
  copies the second pixel over the first and leaves the second as it is. The published arrays have
  this, and so have ours: some pixels are there twice, others are gone.
* `frost` lays one of five overlays over the image, though the authors have six files: their draw
  never reaches the last. Where an overlay scaled as published is smaller than the image it is
  enlarged until a random crop fits. OpenCV's resizing works with 11 bits of fraction.
* `spatter` of water measures distances to the edges exactly, OpenCV's 5×5 mask to about 2%. A
  layer without any water leaves the image as it is, where the generator divides 0 by 0. Values
  beyond the 8 bits are cut off instead of wrapping round.
* `elastic_transform` interpolates exactly, OpenCV to 1/32 of a pixel. Its smoothing of the
  displacements is the published one with the edges reflected, computed by a cosine transform.
* `jpeg_compression`: the bytes depend on the version of libjpeg that Pillow is built with.
* Storage. Tiny-ImageNet-C and ImageNet-C are published as JPEG files of quality 85; ours have no
  such second compression.
* Size. `elastic_transform` and `pixelate` scale with the image, and `fog` is made for the next
  power of two. Blur radii, streaks of snow and drops are in pixels: in an image larger than the
  generator's they are relatively smaller.
* Shape. The generators only take squares. Of other images, each side is zoomed on its own, and
  the corners that `elastic_transform` moves are those of a centred square.

What a severity means depends on corruption and images. Mean squared error grows with severity on
photographs, except where the published constants are made otherwise: `elastic_transform` trades
large distortions for small ones; `glass_blur` softens the shuffled pixels more at severities with
as much shuffling; `frost` turns the image down while it adds frost; `spatter` turns from
water to mud at severity 4; `saturate` takes colour away at severities 1 and 2 and adds it from 3
on. `tests/unit/datasets/test_corruptions_damage.py` lists where this shows.
On smooth images, such as enlarged digits, `defocus_blur` and `jpeg_compression` stay mild, and
`pixelate` is about equally mild at severities 1 to 4: there its error comes from where the boxes
of 30, 28, 27 or 24 pixels happen to fall.

References
----------
.. [1] D. Hendrycks and T. Dietterich (2019). Benchmarking Neural Network Robustness to Common
   Corruptions and Perturbations. ICLR. https://arxiv.org/abs/1903.12261
.. [2] https://github.com/hendrycks/robustness, ImageNet-C/create_c/make_cifar_c.py,
   make_tinyimagenet_c.py and make_imagenet_c.py
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from sidekick.datasets.corruptions.blur import defocus_blur, gaussian_blur, motion_blur, zoom_blur
from sidekick.datasets.corruptions.colour import brightness, contrast, saturate
from sidekick.datasets.corruptions.constants import Constant, constant
from sidekick.datasets.corruptions.digital import jpeg_compression, pixelate
from sidekick.datasets.corruptions.drops import spatter
from sidekick.datasets.corruptions.elastic import elastic_transform
from sidekick.datasets.corruptions.glass import glass_blur
from sidekick.datasets.corruptions.noise import (
    gaussian_noise,
    impulse_noise,
    shot_noise,
    speckle_noise,
)
from sidekick.datasets.corruptions.weather import checked_overlays, fog, frost, snow
from sidekick.datasets.hashing import keyed_hash
from sidekick.datasets.names import SEVERITIES
from sidekick.errors import SidekickError

#: Pixels that each side of an image needs at least.
SMALLEST_SIDE = 8

#: Each takes one (H, W, 3) uint8 image, its constants and a generator (those without randomness
#: leave it alone), and gives a new image. `frost` also takes the overlays.
CORRUPTIONS: dict[str, Callable[[np.ndarray, Constant, np.random.Generator], np.ndarray]] = {
    function.__name__: function
    for function in (
        gaussian_noise,
        shot_noise,
        impulse_noise,
        defocus_blur,
        glass_blur,
        motion_blur,
        zoom_blur,
        snow,
        frost,
        fog,
        brightness,
        contrast,
        elastic_transform,
        pixelate,
        jpeg_compression,
        speckle_noise,
        gaussian_blur,
        spatter,
        saturate,
    )
}


def corrupt(
    images: np.ndarray,
    name: str,
    severity: int,
    sample_id: str | Sequence[str],
    frost: Sequence[np.ndarray] | None = None,
) -> np.ndarray:
    """Corrupt one image or a batch.

    Random draws are fixed by (sample id, corruption, severity): the result for an image depends
    neither on the others in the batch nor on their order.

    Parameters
    ----------
    images
        (H, W, 3) or (n, H, W, 3) uint8 RGB, at least 8×8 pixels; left unchanged.
    name
        A key of `CORRUPTIONS`.
    severity
        1 to 5.
    sample_id
        The id of the image, or the n ids of the batch.
    frost
        For "frost" alone, the generators' overlays in the order of
        `sidekick.datasets.names.FROST_FILES`, each (h, w, 3) uint8 RGB; more than the first five
        are not used.

    Returns
    -------
    numpy.ndarray
        uint8, of the shape of `images`.

    Raises
    ------
    SidekickError
        On an unknown name, a severity out of range, an array that is not such images, or overlays
        that are missing or too small for the images.
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
    if min(images.shape[-3:-1]) < SMALLEST_SIDE:
        raise SidekickError(
            f"{name}: images of shape {images.shape}; expected at least {SMALLEST_SIDE} pixels "
            "per side"
        )
    if images.ndim == 3:
        return corrupt(images[None], name, severity, [sample_id], frost)[0]
    function, key = CORRUPTIONS[name], f"{name} {severity}"
    if name == "frost":
        function = partial(function, overlays=checked_overlays(frost, images.shape[1:3]))
    constants = constant(name, severity, images.shape[1:3])
    corrupted = np.empty_like(images)
    for row, (image, one_id) in enumerate(zip(images, sample_id, strict=True)):
        seed = int.from_bytes(keyed_hash(one_id, key, 16), "little")
        corrupted[row] = function(image, constants, np.random.default_rng(seed))
    return corrupted
