"""Tell a network that has collapsed: whose answers say next to nothing about the sample.

Numpy only, so that any stage can ask.
"""

from dataclasses import dataclass

import numpy as np

# Of the way from 1/C to 1 that the mean largest probability of a collapsed network goes at most.
_UNIFORM_SHARE = 0.02


@dataclass(frozen=True)
class Collapse:
    """What `find_collapse` finds.

    Attributes
    ----------
    collapsed
        Whether `reason` says why.
    reason
        In words, or None.
    mean_confidence
        Mean of the largest softmax probability.
    accuracy
        Of the argmax, the first of equals.
    majority
        Share of the most frequent label.
    """

    collapsed: bool
    reason: str | None
    mean_confidence: float
    accuracy: float
    majority: float


def find_collapse(logits: np.ndarray, labels: np.ndarray) -> Collapse:
    """Judge logits (n, C) by these criteria, of which one is enough.

    * A logit is NaN, or a row has no finite one.
    * Nearly uniform: the mean of the largest probability exceeds 1/C by at most 2 % of 1 − 1/C.
      (A calibrated network is about as accurate as it is confident on average, so this is far below
      any that is of use. Rows with absent options, −inf, count with their own C.)
    * No better than a constant: the accuracy is not above the share of the most frequent label
      (not asked where all labels are the same).

    Parameters
    ----------
    logits
        (n, C), n at least 1. Log probabilities are logits, too.
    labels
        (n,) integers.
    """
    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    majority = float(np.bincount(labels).max() / len(labels))
    highest = logits.max(axis=1, keepdims=True)
    if not np.isfinite(highest).all():
        row = int((~np.isfinite(highest)).argmax())
        reason = f"row {row} of the logits has no largest finite one"
        return Collapse(True, reason, float("nan"), float("nan"), majority)
    top = 1 / np.exp(logits - highest).sum(axis=1)
    uniform = 1 / (~np.isneginf(logits)).sum(axis=1)
    return judge_collapse(top, uniform, logits.argmax(axis=1) == labels, majority)


def judge_collapse(
    top: np.ndarray, uniform: np.ndarray, correct: np.ndarray, majority: float
) -> Collapse:
    """Judge by the criteria of `find_collapse` where logits are too many to keep, such as tokens'.

    Parameters
    ----------
    top
        (n,) float64: largest probabilities, all finite.
    uniform
        (n,) float64: 1/C of each.
    correct
        (n,) bool: whether the argmax is the label.
    majority
        Share of the most frequent label.
    """
    confidence, accuracy = float(top.mean()), float(correct.mean())
    limit = float((uniform + _UNIFORM_SHARE * (1 - uniform)).mean())
    reasons = []
    # With a single option, to be sure of it is no more than uniform.
    if confidence <= limit and (uniform < 1).any():
        reasons.append(f"mean confidence {confidence:.4f}, while uniform is {uniform.mean():.4f}")
    if accuracy <= majority < 1:
        reasons.append(f"accuracy {accuracy:.4f}, while the most frequent class has {majority:.4f}")
    return Collapse(bool(reasons), "; ".join(reasons) or None, confidence, accuracy, majority)


def is_collapsed(logits: np.ndarray, labels: np.ndarray) -> bool:
    """Tell whether logits (n, C) of samples with these labels (n,) fail a `find_collapse`."""
    return find_collapse(logits, labels).collapsed
