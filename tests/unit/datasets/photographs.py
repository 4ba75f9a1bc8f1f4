"""Photographs to corrupt: tiles of two that come with scikit-learn, and slices of real datasets."""

import pickle
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

REAL = Path(__file__).parents[4] / "shared" / "data"


def tiles():
    """48 tiles of photographs, as small and as detailed as those of CIFAR."""
    found = []
    for name in ("china.jpg", "flower.jpg"):
        small = np.asarray(Image.fromarray(load_sample_image(name)).resize((192, 128)))
        found.append(small.reshape(4, 32, 6, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3))
    return np.concatenate(found)


def photograph(height, width):
    """The middle of a photograph, half as large."""
    small = np.asarray(Image.fromarray(load_sample_image("china.jpg")).resize((320, 214)))
    top, left = (small.shape[0] - height) // 2, (small.shape[1] - width) // 2
    if top >= 0:
        return small[top : top + height, left : left + width]
    return np.asarray(Image.fromarray(small).resize((width, height)))


def overlays():
    """Stand-ins for the five overlays of frost: pale, and each with a grain of its own."""
    rng = np.random.default_rng(0)
    return [
        np.asarray(
            Image.fromarray(rng.integers(90, 256, (size, size + 5, 3), np.uint8)).resize((144, 96))
        )
        for size in (8, 12, 20, 30, 60)
    ]


def real_overlays():
    return [
        np.asarray(Image.open(path).convert("RGB"))
        for path in sorted((REAL / "frost").glob("frost*"))
    ]


def cifar(count):
    with tarfile.open(REAL / "cifar-100-python.tar.gz") as archive:
        batch = pickle.load(archive.extractfile("cifar-100-python/test"), encoding="bytes")
    return batch[b"data"][:count].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def tiny_imagenet(count):
    with zipfile.ZipFile(REAL / "tiny-imagenet-200.zip") as archive:
        names = sorted(name for name in archive.namelist() if "/train/" in name)
        names = [name for name in names if name.endswith(".JPEG")]
        images = [archive.read(name) for name in names[:: len(names) // count][:count]]
    return np.stack([np.asarray(Image.open(BytesIO(image)).convert("RGB")) for image in images])


def food(count, side):
    """Centre squares, resized."""
    squares = []
    with tarfile.open(REAL / "food-101.tar.gz") as archive:
        members = [member for member in archive if member.name.endswith(".jpg")]
        for member in members[:: len(members) // count][:count]:
            image = Image.open(archive.extractfile(member)).convert("RGB")
            left, top = ((size - min(image.size)) // 2 for size in image.size)
            box = (left, top, left + min(image.size), top + min(image.size))
            squares.append(np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, box)))
    return np.stack(squares)
