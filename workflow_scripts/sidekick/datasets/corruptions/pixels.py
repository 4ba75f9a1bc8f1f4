"""From unit values back to 8 bits."""

import numpy as np


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Cut values to 0…1 and give the grey levels, the fraction cut off as in the generators.

    An integer that floating-point arithmetic left up to 1e-6 below itself stays that integer.
    """
    return (np.clip(values, 0, 1) * 255 + 1e-6).astype(np.uint8)
