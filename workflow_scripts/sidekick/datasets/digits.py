"""UCI handwritten digits: real images that come with scikit-learn, so nothing is downloaded.

The 1,797 images are the test set of the UCI "Optical Recognition of Handwritten Digits" data:
13 writers, each image 8×8 with values 0 to 16, which count the ink pixels in the 4×4 blocks of a
32×32 bitmap.
"""

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from sidekick.datasets.samples import Reading, Sample, Samples

SIDE = 32


def read(archive: None) -> Reading:
    """Stream all digits, by id; there is no archive and no official test set."""
    digits = prepare_samples()
    samples = (
        Sample(sample_id, image.tobytes(), int(label), "all")
        for sample_id, image, label in zip(
            digits.sample_ids, digits.images, digits.labels, strict=True
        )
    )
    return Reading(tuple("0123456789"), samples, encoded=False, image_shape=(SIDE, SIDE, 3))


def prepare_samples() -> Samples:
    """Give all digits as 32×32 RGB images.

    Returns
    -------
    Samples
        1,797 samples: images (1797, 32, 32, 3) uint8 from 0 (paper) to 255 (ink), three equal
        channels; labels 0 to 9; ids `digits_0000` to `digits_1796`, the position in
        scikit-learn's file, which has not changed since it was added.
    """
    source = load_digits()
    images = np.stack([upsample(image) for image in source.images])
    ids = np.array([f"digits_{row:04d}" for row in range(len(images))], dtype=object)
    return Samples(ids, images, source.target.astype(np.int32))


def upsample(digit: np.ndarray) -> np.ndarray:
    """Bring one 8×8 digit with values 0 to 16 to (32, 32, 3) uint8.

    Bicubic, since the blocks have already averaged the strokes once and bilinear would blur them
    a second time; its overshoot lands beyond paper and ink, where it is clipped. Values are
    rounded to 8 bits first: Pillow then resamples in integer arithmetic, which gives the same
    image on every machine.
    """
    grey = np.round(digit * (255 / 16)).astype(np.uint8)
    large = Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.repeat(np.asarray(large)[..., None], 3, axis=2)
