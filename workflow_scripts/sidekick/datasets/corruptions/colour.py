"""Brightness, contrast and saturation."""

import numpy as np

from sidekick.datasets.corruptions.pixels import to_uint8


def brightness(image: np.ndarray, rise: float, rng: np.random.Generator) -> np.ndarray:
    """Raise the value of hue-saturation-value, up to white.

    With hue and saturation kept, all three channels are proportional to the value; black has no
    hue and turns grey.
    """
    colours = image / 255
    value = colours.max(axis=2, keepdims=True)
    brighter = np.minimum(value + rise, 1)
    relative = np.divide(colours, value, out=np.ones_like(colours), where=value > 0)
    return to_uint8(relative * brighter)


def contrast(image: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    """Draw all values towards the image's mean of their channel."""
    values = image / 255
    means = values.mean(axis=(0, 1))
    return to_uint8((values - means) * factor + means)


def saturate(
    image: np.ndarray, constants: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Change the saturation of hue-saturation-value.

    With hue and value kept, what the channels lack to the value is proportional to the
    saturation. Grey has hue 0 by convention: what saturation it gets makes it red.
    """
    factor, rise = constants
    colours = image / 255
    value = colours.max(axis=2, keepdims=True)
    lack = value - colours
    largest = lack.max(axis=2, keepdims=True)
    saturation = np.divide(largest, value, out=np.zeros_like(value), where=value > 0)
    target = np.clip(saturation * factor + rise, 0, 1)
    red = np.broadcast_to((0.0, 1.0, 1.0), lack.shape)
    direction = np.divide(lack, largest, out=red.copy(), where=largest > 0)
    return to_uint8(value - value * target * direction)
