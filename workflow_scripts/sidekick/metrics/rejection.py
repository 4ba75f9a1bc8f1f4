"""Metrics of predictors that answer some samples and ignore the others."""

import numpy as np

from sidekick.metrics.weighting import check_weights, ratio

# Of sums of weights: what rounding leaves where a whole is taken off itself.
_NOTHING = 1e-9


def top_share_weights(score: np.ndarray, weights: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Give what is left of the weights if only the top share of samples is kept.

    Parameters
    ----------
    score : ndarray of float, shape (n,)
        The highest are kept first; the last tie group is kept in equal parts.
    weights : ndarray of int, shape (B, n)
    share : ndarray of float, shape (B,)
        Which share of each replicate to keep, from 0 to 1.

    Returns
    -------
    ndarray of float64, shape (B, n)
    """
    weights = check_weights(weights, score.size)
    _, group = np.unique(-score, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    mass = np.add.reduceat(weights[:, order], starts, axis=1, dtype=np.float64)
    before = np.cumsum(mass, axis=1) - mass
    wanted = share[:, None] * mass.sum(axis=1, keepdims=True) - before
    fraction = np.divide(wanted, mass, out=np.zeros_like(mass), where=mass > 0)
    return weights * np.clip(fraction, 0.0, 1.0)[:, group]


def rejection_metrics(
    kept: np.ndarray,
    weights: np.ndarray,
    answers: np.ndarray,
    correct: np.ndarray,
    labels: np.ndarray,
    rival_correct: np.ndarray,
) -> dict[str, np.ndarray]:
    """Evaluate what is kept, and what is ignored.

    Parameters
    ----------
    kept : ndarray of float, shape (B, n)
        The part of every sample's weight that is kept: ``weights`` times 0 or 1 for a rule, or as
        `top_share_weights`.
    weights : ndarray of int, shape (B, n)
    answers : ndarray of bool, shape (n, C)
        The classes that each sample is said to be of: one, or several.
    correct : ndarray of bool, shape (n,)
        Whether the single answer is right.
    labels : ndarray of int, shape (n,)
    rival_correct : ndarray of bool, shape (n,)
        Whether the model that ignores nothing is right.

    Returns
    -------
    dict of str to ndarray of float64, shape (B,)
        ``coverage``; ``selective_accuracy`` and ``kept_error`` of the single answers;
        ``kept_micro_f1`` and ``kept_macro_f1`` of the classes, 2 TP / (times answered + times
        labelled) summed over classes, or averaged over those that occur; of the ignored,
        ``misclassified_ignored``, the share that the rival gets wrong; and ``false_ignore_rate``,
        the share of what the rival gets right that is ignored. NaN where there is nothing to take
        a share of.
    """
    weights = check_weights(weights, labels.size)
    ignored = weights - kept
    total, kept_total = weights.sum(axis=1, dtype=np.float64), kept.sum(axis=1)
    accuracy = ratio(kept @ correct, kept_total)
    micro, macro = _f1(kept, answers, labels)
    ignored_right = ignored @ rival_correct
    ignored_total = _without_rounding(ignored.sum(axis=1))
    return {
        "coverage": kept_total / total,
        "selective_accuracy": accuracy,
        "kept_error": 1.0 - accuracy,
        "kept_micro_f1": micro,
        "kept_macro_f1": macro,
        "misclassified_ignored": ratio(ignored @ ~rival_correct, ignored_total),
        "false_ignore_rate": ratio(
            _without_rounding(ignored_right), weights @ rival_correct.astype(np.float64)
        ),
    }


def _f1(kept: np.ndarray, answers: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth = np.zeros_like(answers)
    truth[np.arange(labels.size), labels] = True
    hits = kept @ (answers & truth).astype(np.float64)
    both = kept @ (answers + truth.astype(np.float64))
    occurs = both > 0
    by_class = np.divide(2 * hits, both, out=np.zeros_like(both), where=occurs)
    micro = ratio(2 * hits.sum(axis=1), both.sum(axis=1))
    return micro, ratio(by_class.sum(axis=1), occurs.sum(axis=1))


def _without_rounding(sums: np.ndarray) -> np.ndarray:
    return np.where(np.abs(sums) < _NOTHING, 0.0, sums)
