"""What the metrics need of each row's softmax, for several predictors in one pass."""

import math

import numpy as np

from sidekick.kernels.combination import combine_row
from sidekick.kernels.compilation import row_kernel, vector_kernel
from sidekick.kernels.instructions import power_of_two

_LN2 = math.log(2.0)
# So many terms are added up in single precision, parts of the row in double.
_SUMMED = 1024


@row_kernel
def row_statistics(
    values,
    absent,
    labels,
    members,
    weights,
    reference,
    combined,
    start,
    nll,
    brier,
    chosen,
    asked,
    answers,
):
    """Score several weighted combinations of models on a block of rows.

    Everything is relative to the top class, whose mass is 1: with r the mass of all others, its
    probability is 1 / (1 + r). The sum r has no 1 in it, so that the digits of a small r are kept.

    Parameters
    ----------
    values, absent, members, weights
        As in `moments.add_moments`. Members after the last weight above 0 are left out.
    labels : ndarray of int32, shape (n,)
        Of all rows.
    combined : ndarray of float, shape (C,)
        To work in, of the type of `values`.
    reference : ndarray of int64, shape (P,)
        The row of `answers` whose classes' probabilities a predictor is asked for.
    start : int
        The first row of the block.
    nll, brier : ndarray of float64, shape (P, n)
        Written.
    chosen, asked : ndarray of float64, shape (P, n)
        Written: the probabilities of the answer and of the reference's answer.
    answers : ndarray of int32, shape (P or more, n)
        The first P rows are written: the most probable class, the lowest index where classes tie;
        if all weights are 0, that of the first member. Further rows may hold given answers.
    """
    one = values.dtype.type(1)
    # What a class counts that is left out, by setting it to -inf.
    left_out = power_of_two(values.dtype.type(-math.inf))
    for predictor in range(members.shape[0]):
        own, weight, asked_of = members[predictor], weights[predictor], reference[predictor]
        used = own.size
        while used and weight[used - 1] == 0:
            used -= 1
        for row in range(values.shape[1]):
            sample = start + row
            label = labels[sample]
            if used == 1 and not absent.size:
                # Its largest logit is 0: there is nothing to combine.
                combined_row, scale, highest = values[own[0], row], weight[0], one - one
                top = _first(combined_row, highest)
            elif used:
                combined_row, scale = combined, one
                highest = combine_row(values, absent, own[:used], weight[:used], row, combined)
                top = _first(combined, highest)
            else:
                combined_row, scale = combined, one
                top, highest = _idle(values, absent, own, weight, row, combined)
            wanted = top if asked_of == predictor else answers[asked_of, sample]
            answers[predictor, sample] = top
            to_label = _LN2 * (scale * float(combined_row[label]) - highest)
            to_wanted = _LN2 * (scale * float(combined_row[wanted]) - highest)
            kept = combined_row[top]
            combined_row[top] = -math.inf
            rest, squares = _rest(combined_row, scale, highest)
            combined_row[top] = kept
            rest -= left_out

            nll[predictor, sample] = math.log1p(rest) - to_label
            total = 1.0 + rest
            # The mass of the classes other than the label, and of their squares.
            if label == top:
                wrong, wrong_squares = rest, squares
            else:
                mass = math.exp(to_label)
                wrong, wrong_squares = 1.0 + (rest - mass), 1.0 + (squares - mass * mass)
            brier[predictor, sample] = (wrong_squares + wrong * wrong) / (total * total)
            # 1 + r drops the digits of a small r, its share in the total keeps them.
            surest = 1.0 - rest / total if rest < 1.0 else 1.0 / total
            chosen[predictor, sample] = surest
            asked[predictor, sample] = surest if wanted == top else math.exp(to_wanted) / total


@row_kernel
def _idle(values, absent, members, weights, row, combined):
    """Give the answer of the first member alone, and combine logits with all weights 0."""
    weights[0] = 1.0
    highest = combine_row(values, absent, members[:1], weights[:1], row, combined)
    top = _first(combined, highest)
    weights[0] = 0.0
    return top, combine_row(values, absent, members[:1], weights[:1], row, combined)


@vector_kernel
def _first(values, highest):
    """Give the first place of the largest value."""
    found = np.int32(values.size)
    for c in range(values.size):
        found = min(found, np.int32(c) if values[c] >= highest else np.int32(values.size))
    return found


@row_kernel
def _rest(values, scale, highest):
    """Sum 2^z and its square, over parts of the row in the precision of the logits."""
    rest, squares = 0.0, 0.0
    for start in range(0, values.size, _SUMMED):
        mass, mass_squares = _part(values[start : start + _SUMMED], scale, highest)
        rest += mass
        squares += mass_squares
    return rest, squares


@vector_kernel
def _part(values, scale, highest):
    mass = mass_squares = highest - highest
    for c in range(values.size):
        own = power_of_two(scale * values[c] - highest)
        mass += own
        mass_squares += own * own
    return mass, mass_squares
