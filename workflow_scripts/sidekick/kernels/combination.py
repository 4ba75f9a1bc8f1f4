"""Weighted sums of several models' logits, one row at a time."""

from sidekick.kernels.compilation import row_kernel, vector_kernel
from sidekick.kernels.instructions import larger


@row_kernel
def combine_row(values, absent, members, weights, row, combined):
    """Write the weighted sum of some models' logits in one row and give its maximum.

    Parameters
    ----------
    values, absent
        As in `moments.add_moments`.
    members : ndarray of int64, shape (K,)
    weights : ndarray of float, shape (K,)
    row : int
    combined : ndarray of float, shape (C,)
    """
    if members.size == 2:
        first, second = values[members[0], row], values[members[1], row]
        highest = _two(first, second, weights[0], weights[1], combined)
    else:
        highest = _several(values, members, weights, row, combined)
    if absent.size:
        highest = _leave_out(combined, absent[row])
    return highest


@vector_kernel
def _two(first, second, first_weight, second_weight, combined):
    highest = first_weight * first[0] + second_weight * second[0]
    for c in range(combined.size):
        value = first_weight * first[c] + second_weight * second[c]
        combined[c] = value
        highest = larger(highest, value)
    return highest


@vector_kernel
def _several(values, own, weight, row, combined):
    first = values[own[0], row]
    for c in range(combined.size):
        combined[c] = weight[0] * first[c]
    for k in range(1, own.size):
        other, own_weight = values[own[k], row], weight[k]
        for c in range(combined.size):
            combined[c] += own_weight * other[c]
    return largest(combined)


@vector_kernel
def _leave_out(combined, absent):
    for c in range(combined.size):
        combined[c] += absent[c]
    return largest(combined)


@vector_kernel
def largest(values):
    """Give the largest of some numbers."""
    highest = values[0]
    for c in range(values.size):
        highest = larger(highest, values[c])
    return highest
