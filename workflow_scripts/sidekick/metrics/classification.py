"""Metrics of the predicted class and of the predicted distribution."""

import numpy as np
from scipy import sparse

from sidekick.metrics.weighting import (
    check_weights,
    ratio,
    replicate_blocks,
    weighted_mean,
    weighted_sums,
)


def accuracy(correct: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the share of correct samples.

    Parameters
    ----------
    correct : ndarray of bool, shape (n,)
    weights : ndarray of int, shape (B, n)

    Returns
    -------
    ndarray of float64, shape (B,)
    """
    return weighted_mean(correct, weights)


def nll(sample_nll: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean negative log-likelihood of the label.

    Parameters
    ----------
    sample_nll : ndarray of float64, shape (n,)
        ``SampleStatistics.nll``, in nats.
    weights : ndarray of int, shape (B, n)

    Returns
    -------
    ndarray of float64, shape (B,)
        In nats.
    """
    return weighted_mean(sample_nll, weights)


def brier(sample_brier: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the Brier score: summed over classes, averaged over samples.

    Parameters
    ----------
    sample_brier : ndarray of float64, shape (n,)
        ``SampleStatistics.brier``.
    weights : ndarray of int, shape (B, n)

    Returns
    -------
    ndarray of float64, shape (B,)
        In [0, 2].

    Notes
    -----
    Brier (1950), as in scikit-learn and torch-uncertainty. The released code of the duo paper also
    divides by the number of classes.
    """
    return weighted_mean(sample_brier, weights)


def macro_f1(predicted: np.ndarray, label: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return F1 averaged over the classes that occur, as label or prediction, in the replicate.

    Parameters
    ----------
    predicted, label : ndarray of int, shape (n,)
    weights : ndarray of int, shape (B, n)

    Returns
    -------
    ndarray of float64, shape (B,)
        NaN where a replicate holds no sample.

    Notes
    -----
    F1 of a class is 2 TP / (times predicted + times labelled). A class that a replicate lacks
    altogether is left out of its mean, which is what scikit-learn does on the repeated rows.
    """
    predicted, label = np.asarray(predicted), np.asarray(label)
    n = label.size
    weights = check_weights(weights, n)
    # Only classes that occur get a column: with 1,000 classes and 50 samples the rest is empty.
    occurring, compact = np.unique(np.concatenate([predicted, label]), return_inverse=True)
    classes = occurring.size
    samples = np.arange(n)
    hits = np.flatnonzero(predicted == label)
    columns = sparse.csc_array(
        (
            np.ones(2 * n + hits.size),
            (
                np.concatenate([samples, samples, hits]),
                np.concatenate([compact, classes + compact[hits]]),
            ),
        ),
        shape=(n, 2 * classes),
    )
    scores = np.empty(weights.shape[0])
    for rows in replicate_blocks(weights.shape[0], max(n, 2 * classes)):
        sums = weighted_sums(weights[rows], columns)
        occurrences, hit_counts = sums[:, :classes], sums[:, classes:]
        f1 = 2.0 * hit_counts / np.maximum(occurrences, 1.0)
        scores[rows] = ratio(f1.sum(axis=1), np.count_nonzero(occurrences, axis=1))
    return scores


def coverage(accepted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the share of samples that a predictor with a reject option answers.

    Parameters
    ----------
    accepted : ndarray of bool, shape (n,)
    weights : ndarray of int, shape (B, n)

    Returns
    -------
    ndarray of float64, shape (B,)
    """
    return weighted_mean(accepted, weights)


def selective_accuracy(
    accepted: np.ndarray, correct: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the accuracy among the accepted samples.

    Parameters
    ----------
    accepted, correct : ndarray of bool, shape (n,)
    weights : ndarray of int, shape (B, n)

    Returns
    -------
    ndarray of float64, shape (B,)
        NaN where nothing is accepted.
    """
    accepted, correct = np.asarray(accepted, dtype=bool), np.asarray(correct, dtype=bool)
    weights = check_weights(weights, accepted.size)
    sums = weighted_sums(weights, np.column_stack([accepted & correct, accepted]).astype(float))
    return ratio(sums[:, 0], sums[:, 1])
