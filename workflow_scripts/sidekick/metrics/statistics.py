"""From logits to what the metrics need of each sample, in float64 and with log-sum-exp.

Everything is written relative to the largest logit of the row. With ``r`` the sum of
exp(z_c - max z) over all classes but the top one, the top probability is 1/(1 + r) and its
complement r/(1 + r): no logarithm of an underflowed probability and no 1 - p that has lost its
digits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np

from sidekick.errors import SidekickError
from sidekick.metrics.combinations import Combination, softmax_rows

# 8 MB of float64 per temporary: 50,000 x 1,000 logits are never held as float64 as a whole.
_BLOCK_ELEMENTS = 2**20


@dataclass(frozen=True)
class SampleStatistics:
    """What the metrics of one predictor need, one entry per sample.

    Parameters
    ----------
    nll : ndarray of float64, shape (n,)
        logsumexp(z) - z_y, in nats.
    brier : ndarray of float64, shape (n,)
        Sum over classes of (p_c - 1[y = c])^2, in [0, 2].
    correct : ndarray of bool, shape (n,)
        Whether ``predicted`` equals ``label``.
    confidence : ndarray of float64, shape (n,)
        The score that ranks samples, larger is surer. Any scale.
    probability : ndarray of float64, shape (n,)
        Softmax probability of the predicted class, which calibration is about.
    predicted, label : ndarray of int32, shape (n,)
    classes : int
        Number of classes C.
    """

    nll: np.ndarray
    brier: np.ndarray
    correct: np.ndarray
    confidence: np.ndarray
    probability: np.ndarray
    predicted: np.ndarray
    label: np.ndarray
    classes: int

    def take(self, rows: np.ndarray) -> Self:
        """Select samples by index or mask."""
        arrays = [field.name for field in fields(self) if field.name != "classes"]
        return replace(self, **{name: getattr(self, name)[rows] for name in arrays})


def sample_statistics(
    logits: np.ndarray,
    labels: np.ndarray,
    predicted: np.ndarray | None = None,
    confidence: np.ndarray | None = None,
) -> SampleStatistics:
    """Compute the per-sample statistics of a predictor from its logits.

    Parameters
    ----------
    logits : array_like of float, shape (n, C)
        Any float type; computed in float64. -inf marks an absent option.
    labels : array_like of int, shape (n,)
        True classes in [0, C).
    predicted : array_like of int, shape (n,), optional
        Predicted classes where they are not the argmax of ``logits`` (a duo that only provides the
        uncertainty). Default: the argmax, the lowest index where logits tie.
    confidence : array_like of float, shape (n,), optional
        The score that ranks samples. Default: the softmax probability of the predicted class.

    Returns
    -------
    SampleStatistics

    Raises
    ------
    SidekickError
        Wrong shape, no samples, a NaN or +inf logit, a row without a finite logit, a label or
        prediction that is not a class, a label whose logit is -inf, a NaN confidence.
    """
    logits = _check_logits(logits)
    n, classes = logits.shape
    labels = _check_classes("label", labels, n, classes)
    given = None if predicted is None else _check_classes("predicted class", predicted, n, classes)
    if confidence is not None:
        confidence = _check_confidence(confidence, n)

    found = softmax_rows([logits], labels, [Combination([0], [1.0])], given=given, single=False)
    answer = found.answers[0] if given is None else given
    probability = found.probability[0] if given is None else found.asked[0]
    return SampleStatistics(
        nll=found.nll[0],
        brier=found.brier[0],
        correct=answer == labels,
        confidence=probability if confidence is None else confidence,
        probability=probability,
        predicted=answer,
        label=labels,
        classes=classes,
    )


def combined_statistics(
    logits: Sequence[np.ndarray],
    labels: np.ndarray,
    combinations: Sequence[Combination],
    orders: Sequence[np.ndarray | None] | None = None,
) -> tuple[list[SampleStatistics], np.ndarray]:
    """Compute the statistics of several weighted sums of models' logits, reading these once.

    Nothing of the size of the logits is ever made of them. Cached logits, which are float16, are
    computed in single precision where :func:`sidekick.metrics.combinations.softmax_rows` says so.

    Parameters
    ----------
    logits : sequence of M ndarrays of float, shape (n, C)
    labels : array_like of int, shape (n,)
        True classes in [0, C).
    combinations : sequence of P Combination
    orders : sequence of ndarray of int, shape (n,), or None, optional
        For each model the rows to take instead of 0, 1, 2 and so on.

    Returns
    -------
    statistics : list of P SampleStatistics
    asked : ndarray of float64, shape (P, n)
        Each one's probability of its reference's answer.

    Raises
    ------
    SidekickError
        As :func:`sample_statistics`; shapes differ.
    """
    logits = [_check_logits(own) for own in logits]
    if len({own.shape for own in logits}) != 1:
        raise SidekickError(f"logits of different shapes: {[own.shape for own in logits]}")
    n, classes = logits[0].shape
    labels = _check_classes("label", labels, n, classes)
    found = softmax_rows(logits, labels, combinations, orders)
    statistics = [
        SampleStatistics(
            nll=found.nll[index],
            brier=found.brier[index],
            correct=found.answers[index] == labels,
            confidence=found.probability[index],
            probability=found.probability[index],
            predicted=found.answers[index],
            label=labels,
            classes=classes,
        )
        for index in range(len(combinations))
    ]
    return statistics, found.asked


def max_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the largest softmax probability of each row.

    Parameters
    ----------
    logits : array_like of float, shape (n, C)

    Returns
    -------
    ndarray of float64, shape (n,)
        In [1/C, 1].

    Raises
    ------
    SidekickError
        Wrong shape, a NaN or +inf logit, or a row without a finite logit.
    """
    return _score(logits, lambda rest, *_: _probability(1.0, rest, True))


def margin(logits: np.ndarray) -> np.ndarray:
    """Return the difference of the two largest softmax probabilities of each row.

    Parameters
    ----------
    logits : array_like of float, shape (n, C)

    Returns
    -------
    ndarray of float64, shape (n,)
        In [0, 1]; 1 where a row has a single option.

    Raises
    ------
    SidekickError
        Wrong shape, a NaN or +inf logit, or a row without a finite logit.
    """
    return _score(logits, lambda rest, others, _: -np.expm1(others.max(axis=1)) / (1.0 + rest))


def negative_entropy(logits: np.ndarray) -> np.ndarray:
    """Return the negated softmax entropy of each row.

    Parameters
    ----------
    logits : array_like of float, shape (n, C)

    Returns
    -------
    ndarray of float64, shape (n,)
        Nats, in [-log C, 0]; larger is surer.

    Raises
    ------
    SidekickError
        Wrong shape, a NaN or +inf logit, or a row without a finite logit.
    """

    def score(rest: np.ndarray, others: np.ndarray, mass: np.ndarray) -> np.ndarray:
        # An absent option has mass 0 and adds 0 * -inf, whose limit is 0.
        finite = np.where(np.isneginf(others), 0.0, others)
        return np.einsum("rc,rc->r", mass, finite) / (1.0 + rest) - np.log1p(rest)

    return _score(logits, score)


def _score(logits: np.ndarray, function) -> np.ndarray:
    """Apply ``function(rest, others, mass)`` to each block of rows.

    ``others`` are the logits relative to the top one, which is itself masked by -inf; ``mass`` is
    their exponential and ``rest`` its row sum.
    """
    logits = _check_logits(logits)
    scores = np.empty(logits.shape[0])
    for rows, centred, top in _centred_rows(logits):
        centred[np.arange(top.size), top] = -np.inf
        mass = np.exp(centred)
        scores[rows] = function(mass.sum(axis=1), centred, mass)
    return scores


def _probability(mass: np.ndarray, rest: np.ndarray, is_top: np.ndarray) -> np.ndarray:
    """Return mass / (1 + rest), through the complement where the top class holds most of it.

    1 + rest drops the digits of a small rest; rest / (1 + rest) keeps them, so that confidences
    stay distinct down to the spacing of float64 below 1.
    """
    total = 1.0 + rest
    return np.where(is_top & (rest < 1.0), 1.0 - rest / total, mass / total)


def _centred_rows(logits: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield blocks of rows: the slice, logits minus the row maximum (float64), the argmax."""
    n, classes = logits.shape
    step = max(1, _BLOCK_ELEMENTS // classes)
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        block = logits[rows].astype(np.float64)
        top = block.argmax(axis=1)
        # A NaN anywhere in a row wins both argmax and this look-up.
        highest = block[np.arange(top.size), top]
        for refused, what in (
            (np.isnan(highest), "contain NaN"),
            (np.isposinf(highest), "contain +inf"),
            (np.isneginf(highest), "are all -inf"),
        ):
            if refused.any():
                raise SidekickError(f"logits in row {start + refused.argmax()} {what}")
        block -= highest[:, None]
        yield rows, block, top


def _check_logits(logits: np.ndarray) -> np.ndarray:
    logits = np.asarray(logits)
    if logits.ndim != 2 or 0 in logits.shape:
        raise SidekickError(f"logits must have shape (samples, classes), not {logits.shape}")
    return logits


def _check_classes(what: str, values: np.ndarray, n: int, classes: int) -> np.ndarray:
    values = np.asarray(values)
    if values.shape != (n,) or not np.issubdtype(values.dtype, np.integer):
        raise SidekickError(
            f"expected one integer {what} for each of {n} rows of logits, "
            f"not {values.dtype} of shape {values.shape}"
        )
    refused = (values < 0) | (values >= classes)
    if refused.any():
        row = refused.argmax()
        raise SidekickError(f"{what} in row {row} is {values[row]}, allowed are 0 to {classes - 1}")
    return values.astype(np.int32)


def _check_confidence(confidence: np.ndarray, n: int) -> np.ndarray:
    confidence = np.asarray(confidence, dtype=np.float64)
    if confidence.shape != (n,):
        raise SidekickError(f"expected {n} confidences, not an array of shape {confidence.shape}")
    missing = np.isnan(confidence)
    if missing.any():
        raise SidekickError(f"confidence in row {missing.argmax()} is NaN")
    return confidence
