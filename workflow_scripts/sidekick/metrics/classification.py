"""Metrics of the predicted class and of the predicted distribution."""

import numpy as np

from sidekick.metrics.weighting import check_weights, for_kernels, ratio, weighted_mean


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
    from sidekick.kernels.replicates import mean_f1

    predicted, label = np.asarray(predicted), np.asarray(label)
    weights = check_weights(weights, label.size)
    # Only classes that occur are counted: with 1,000 classes and 50 samples the rest is empty.
    occurs = np.bincount(np.concatenate([predicted, label])) > 0
    place = np.cumsum(occurs) - 1
    return mean_f1(for_kernels(weights), place[predicted], place[label], occurs.sum())


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
    return ratio(weighted_mean(accepted & correct, weights), weighted_mean(accepted, weights))
