"""Noise, independent in every pixel and channel."""

import numpy as np

from sidekick.datasets.corruptions.pixels import to_uint8


def gaussian_noise(image: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Add normal noise; like sensor noise in the dark."""
    return to_uint8(image / 255 + rng.normal(scale=scale, size=image.shape))


def shot_noise(image: np.ndarray, photons: float, rng: np.random.Generator) -> np.ndarray:
    """Draw each value from a Poisson distribution; like few photons: black stays black."""
    return to_uint8(rng.poisson(image / 255 * photons) / photons)


def impulse_noise(image: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Set single channel values to 0 or 255; salt and pepper, in colour."""
    hit = rng.random(image.shape) < amount
    salt = rng.random(image.shape) < 0.5
    return np.where(hit, np.where(salt, np.uint8(255), np.uint8(0)), image)


def speckle_noise(image: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Add normal noise in proportion to the value: black stays black."""
    values = image / 255
    return to_uint8(values + values * rng.normal(scale=scale, size=image.shape))
