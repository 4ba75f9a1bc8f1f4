"""Per-sample statistics of weighted sums of models' logits, all of them from one reading."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sidekick.errors import SidekickError


class Combination(NamedTuple):
    """A predictor whose logits are a weighted sum of models' logits.

    Parameters
    ----------
    members : sequence of int
        Positions of the models.
    weights : sequence of float
        At least 0. If all are 0 the answers are those of the first member.
    reference : int, optional
        Position of the earlier combination whose answers' probabilities are asked for. Default:
        this one's own answers.
    """

    members: Sequence[int]
    weights: Sequence[float]
    reference: int | None = None


class SoftmaxRows(NamedTuple):
    """What :func:`softmax_rows` finds for P combinations on n samples.

    Parameters
    ----------
    nll, brier : ndarray of float64, shape (P, n)
    answers : ndarray of int32, shape (P, n)
        The most probable class, the lowest index where logits tie.
    probability, asked : ndarray of float64, shape (P, n)
        Of the answer, and of the reference's answer.
    """

    nll: np.ndarray
    brier: np.ndarray
    answers: np.ndarray
    probability: np.ndarray
    asked: np.ndarray


def softmax_rows(
    logits: Sequence[np.ndarray],
    labels: np.ndarray,
    combinations: Sequence[Combination],
    orders: Sequence[np.ndarray | None] | None = None,
    given: np.ndarray | None = None,
    single: bool | None = None,
) -> SoftmaxRows:
    """Score weighted sums of models' logits, reading each logit once.

    Parameters
    ----------
    logits : sequence of M ndarrays of float, shape (n, C)
        -inf marks an absent option, which is absent in every sum.
    labels : ndarray of int32, shape (n,)
        Classes in [0, C).
    combinations : sequence of P Combination
    orders : sequence of ndarray of int, shape (n,), or None, optional
        For each model the rows to take instead of 0, 1, 2 and so on.
    given : ndarray of int32, shape (n,), optional
        Classes whose probabilities are asked for in place of any reference's answers.
    single : bool, optional
        Whether to take exponentials in single precision. Default: if all logits are float16.

    Returns
    -------
    SoftmaxRows

    Raises
    ------
    SidekickError
        A NaN or +inf logit, a row without a finite logit, or a label whose logit is -inf.

    Notes
    -----
    Cached logits are float16. Taking their exponentials in single precision adds far less of an
    error than their own rounding: with sums down to -z, less than 2.5e-7 (1 + z) of an NLL, and
    of what a probability lacks to 1. Sums leave out the top class and are added up in double, so
    that confidences near 1 stay distinct all the same.
    """
    # Loading numba takes longer than the rest of the library: only when there are rows to score.
    from sidekick.kernels.blocks import UnusableRow, blocks
    from sidekick.kernels.instructions import LOG2_E
    from sidekick.kernels.softmax import row_statistics

    if single is None:
        single = all(z.dtype == np.float16 for z in logits)
    dtype = np.float32 if single else np.float64
    count, n = len(combinations), len(labels)
    width = max(len(one.members) for one in combinations)
    members, weights = np.zeros((count, width), dtype=np.int64), np.zeros((count, width), dtype)
    reference = np.arange(count)
    for index, one in enumerate(combinations):
        members[index] = one.members[0]
        members[index, : len(one.members)] = one.members
        weights[index, : len(one.members)] = one.weights
        if given is not None:
            reference[index] = count
        elif one.reference is not None:
            reference[index] = one.reference
    floats = [np.empty((count, n)) for _ in range(4)]
    answers = np.empty((count + 1, n), dtype=np.int32)
    if given is not None:
        answers[count] = given
    weights *= LOG2_E
    combined = np.empty(logits[0].shape[1], dtype)
    try:
        for block in blocks(logits, dtype, orders):
            row_statistics(
                block.values,
                block.absent,
                labels,
                members,
                weights,
                reference,
                combined,
                block.rows.start,
                *floats,
                answers,
            )
    except UnusableRow as error:
        own, order = logits[error.model], (orders or [None] * len(logits))[error.model]
        values = own[error.row if order is None else order[error.row]]
        raise SidekickError(f"logits in row {error.row} {_what_is_wrong(values)}") from None
    nll, brier, probability, asked = floats
    absent = np.isposinf(nll).any(axis=0)
    if absent.any():
        row = absent.argmax()
        raise SidekickError(f"logit of the label {labels[row]} in row {row} is -inf")
    return SoftmaxRows(nll, brier, answers[:count], probability, asked)


def _what_is_wrong(values: np.ndarray) -> str:
    if np.isnan(values).any():
        return "contain NaN"
    return "contain +inf" if np.isposinf(values).any() else "are all -inf"
