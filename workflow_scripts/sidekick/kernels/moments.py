"""Loss of softmax over weighted sums of logits, with its first and second derivatives."""

import math

import numpy as np

from sidekick.kernels.combination import combine_row
from sidekick.kernels.compilation import row_kernel, vector_kernel
from sidekick.kernels.instructions import power_of_two

_LN2 = math.log(2.0)
# Logits are at most 0, so that a sum of powers cannot overflow. The largest term is divided out
# only where the sum is so small that digits, or all, would be lost.
_LOST = 2.0**-20
# How much a loss must lie above that of equal probabilities to be surely above it.
_ROUNDING = 1e-3


@row_kernel
def add_moments(values, absent, labels, members, weights, combined, row_sums, totals):
    """Add a block of rows to the sums of several weighted combinations of models.

    Parameters
    ----------
    values : ndarray of float, shape (M, R, C)
        Each model's logits relative to their row's maximum; 0 where absent.
    absent : ndarray of float, shape (R, C) or (0, 0)
        -inf where an option is absent, else 0; empty if none is.
    labels : ndarray of int32, shape (R,)
    members : ndarray of int64, shape (P, K)
        The models of each combination.
    weights : ndarray of float, shape (P, K)
        At least 0, of the type of `values`; times log2(e), for exponents of two.
    combined : ndarray of float, shape (2, C)
        To work in, of the type of `values`.
    row_sums : ndarray of float64, shape (2 + K + K (K + 1) / 2,)
        To work in.
    totals : ndarray of float64, shape (P, 2 + K + K (K + 1) / 2)
        Sums over rows of: the loss; 1 if the label's probability is below 1 / C, so that another
        class is surely above it; the mean of each model's logits less that of the label; their
        covariances, (0, 0), (1, 0), (1, 1) and so on. Rows are added one by one, so that blocks do
        not show in the rounding.
    """
    problems, models = members.shape
    surely_lower = math.log(values.shape[2]) + _ROUNDING
    for problem in range(problems):
        own, weight, total = members[problem], weights[problem], totals[problem]
        for row in range(values.shape[1]):
            if models == 1 and not absent.size:
                _one(values[own[0], row], weight[0], row_sums)
            elif models == 2 and not absent.size:
                _two(values[own[0], row], values[own[1], row], weight[0], weight[1], row_sums)
                if row_sums[1] < _LOST:
                    _several(values, absent, own, weight, row, combined, row_sums)
            else:
                _several(values, absent, own, weight, row, combined, row_sums)
            label = labels[row]
            of_label = _of_one_class(values, absent, own, weight, row, label)
            loss = math.log(row_sums[1]) + _LN2 * (row_sums[0] - of_label)
            total[0] += loss
            total[1] += loss > surely_lower
            _add_derivatives(row_sums, values, own, row, label, total)


@row_kernel
def _add_derivatives(row_sums, values, own, row, label, total):
    models = own.size
    inverse = 1.0 / row_sums[1]
    place = 2 + models
    for k in range(models):
        mean = row_sums[2 + k] * inverse
        total[2 + k] += mean - values[own[k], row, label]
        for other in range(k + 1):
            total[place] += row_sums[place] * inverse - mean * (row_sums[2 + other] * inverse)
            place += 1


@vector_kernel
def _one(values, weight, row_sums):
    """Write log2 of what is divided out, 1; the sum of 2^z; those of its products with logits."""
    mass = of_first = first_first = weight - weight
    for c in range(values.size):
        own = power_of_two(weight * values[c])
        with_first = own * values[c]
        mass += own
        of_first += with_first
        first_first += with_first * values[c]
    row_sums[0], row_sums[1], row_sums[2], row_sums[3] = 0.0, mass, of_first, first_first


@vector_kernel
def _two(first, second, first_weight, second_weight, row_sums):
    """Write what `_one` does, of two models."""
    mass = of_first = of_second = first_weight - first_weight
    first_first = second_first = second_second = mass
    for c in range(first.size):
        own = power_of_two(first_weight * first[c] + second_weight * second[c])
        with_first, with_second = own * first[c], own * second[c]
        mass += own
        of_first += with_first
        of_second += with_second
        first_first += with_first * first[c]
        second_first += with_first * second[c]
        second_second += with_second * second[c]
    row_sums[0], row_sums[1], row_sums[2], row_sums[3] = 0.0, mass, of_first, of_second
    row_sums[4], row_sums[5], row_sums[6] = first_first, second_first, second_second


@row_kernel
def _several(values, absent, own, weight, row, combined, row_sums):
    """Write what `_one` does, of any models, with the largest term divided out."""
    highest = combine_row(values, absent, own, weight, row, combined[0])
    row_sums[0], row_sums[1] = highest, _exponentials(combined[0], highest)
    place = 2 + own.size
    for k in range(own.size):
        row_sums[2 + k] = _dot(combined[0], values[own[k], row], combined[1])
        for other in range(k + 1):
            row_sums[place] = _plain_dot(combined[1], values[own[other], row])
            place += 1


@row_kernel
def _of_one_class(values, absent, own, weight, row, c):
    result = 0.0
    for k in range(own.size):
        result += np.float64(weight[k]) * np.float64(values[own[k], row, c])
    return result + absent[row, c] if absent.size else result


@vector_kernel
def _exponentials(combined, highest):
    """Replace logits by 2^z and give the sum."""
    mass = highest - highest
    for c in range(combined.size):
        own = power_of_two(combined[c] - highest)
        combined[c] = own
        mass += own
    return mass


@vector_kernel
def _dot(mass, values, products):
    """Keep the products and give their sum."""
    total = mass[0] - mass[0]
    for c in range(mass.size):
        own = mass[c] * values[c]
        products[c] = own
        total += own
    return total


@vector_kernel
def _plain_dot(products, values):
    total = products[0] - products[0]
    for c in range(products.size):
        total += products[c] * values[c]
    return total
