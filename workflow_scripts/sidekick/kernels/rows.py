"""Bring rows of logits into the processor's cache, centred and checked, each of them once."""

from sidekick.kernels.compilation import row_kernel, vector_kernel
from sidekick.kernels.instructions import as_float, larger


@row_kernel
def centre_rows(raw, centred):
    """Write logits minus their row's maximum.

    Parameters
    ----------
    raw : ndarray of uint16 (the bits of float16), float32 or float64, shape (n, C)
    centred : ndarray of float32 or float64, shape (n, C)

    Returns
    -------
    refused : int
        A row with NaN, +inf or without a finite logit; -1 if there is none.
    absent : int
        How many logits are -inf.
    """
    absent_total = 0
    zero = centred.dtype.type(0)
    for row in range(raw.shape[0]):
        source, target = raw[row], centred[row]
        highest, finite = _convert(source, target, zero)
        if not finite:
            unusable, absent = _count(target)
            if unusable or absent == target.size:
                return row, absent_total
            absent_total += absent
        if highest != 0:
            _lower(target, highest)
    return -1, absent_total


@vector_kernel
def _convert(source, target, zero):
    """Copy a row as floats; give its maximum and whether all of it is finite."""
    highest = as_float(source[0])
    nothing = zero
    for c in range(source.size):
        value = as_float(source[c])
        target[c] = value
        highest = larger(highest, value)
        # NaN, unless the number is finite.
        nothing += value * zero
    return highest, nothing == 0


@vector_kernel
def _count(values):
    """Count what is NaN or +inf, and what is -inf."""
    unusable, absent = 0, 0
    for c in range(values.size):
        unusable += not values[c] < float("inf")
        absent += values[c] == float("-inf")
    return unusable, absent


@vector_kernel
def _lower(values, highest):
    for c in range(values.size):
        values[c] -= highest
