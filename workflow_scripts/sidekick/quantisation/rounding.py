"""Weights of dense layers as int8 with one scale per row (numpy only)."""

from dataclasses import replace

import numpy as np

from sidekick.methods.mc_dropout import Head

_LARGEST = 127


def round_rows(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round a matrix to int8, symmetrically and row by row.

    Parameters
    ----------
    weight
        (rows, columns) float.

    Returns
    -------
    values, scales
        (rows, columns) int8 in [-127, 127] and (rows,) float32; the weight is about their
        product. A row of zeros has scale 1.
    """
    largest = np.abs(weight).max(axis=1)
    scales = np.where(largest > 0, largest / _LARGEST, 1.0).astype(np.float32)
    # A scale that lost bits in single precision could push the largest weight to 128.
    values = np.clip(np.rint(weight / scales[:, None]), -_LARGEST, _LARGEST)
    return values.astype(np.int8), scales


def rounded_head(head: Head) -> Head:
    """Give the head that an int8 file has: its weights are rounded, all else is single precision.

    N stochastic passes of the int8 network are passes of this head over the int8 features.
    """
    single = head.astype(np.float32)
    return replace(
        single,
        hidden_weight=_rounded(head.hidden_weight),
        output_weight=_rounded(head.output_weight),
    ).astype(np.float64)


def _rounded(weight: np.ndarray) -> np.ndarray:
    values, scales = round_rows(weight)
    return values.astype(np.float32) * scales[:, None]
