"""All metrics that need one predictor only."""

import numpy as np

from sidekick.metrics.calibration import ece
from sidekick.metrics.classification import accuracy, brier, macro_f1, nll
from sidekick.metrics.overlap import density_overlap
from sidekick.metrics.ranking import ranking_metrics
from sidekick.metrics.statistics import SampleStatistics
from sidekick.metrics.weighting import check_weights


def evaluate_part(statistics: SampleStatistics, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Evaluate one predictor on a part of the samples, by few metrics.

    The arguments are those of `evaluate_statistics`.

    Returns
    -------
    dict of str to ndarray of float64, shape (B,)
        ``accuracy``, ``nll``, ``ece``, ``auroc`` and ``aurc``.
    """
    s = statistics
    weights = check_weights(weights, s.label.size)
    ranking = ranking_metrics(s.confidence, s.correct, weights)
    return {
        "accuracy": accuracy(s.correct, weights),
        "nll": nll(s.nll, weights),
        "ece": ece(s.probability, s.correct, weights),
        "auroc": ranking["auroc"],
        "aurc": ranking["aurc"],
    }


def evaluate_statistics(statistics: SampleStatistics, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Evaluate one predictor under each row of weights.

    Parameters
    ----------
    statistics : SampleStatistics
    weights : ndarray of int, shape (B, n)
        ``unit_weights(n)`` for the values, ``Resampler.weights`` for bootstrap replicates.

    Returns
    -------
    dict of str to ndarray of float64, shape (B,)
        ``accuracy`` to ``overlap`` in the order of ``METRICS``. NaN where a metric is undefined;
        :func:`undefined_reason` says why.
    """
    s = statistics
    weights = check_weights(weights, s.label.size)
    if _within_unit_interval(s.confidence):
        overlaps = density_overlap(s.confidence, s.correct, weights)
    else:
        overlaps = np.full(weights.shape[0], np.nan)
    return {
        "accuracy": accuracy(s.correct, weights),
        "macro_f1": macro_f1(s.predicted, s.label, weights),
        "nll": nll(s.nll, weights),
        "brier": brier(s.brier, weights),
        "ece": ece(s.probability, s.correct, weights),
        **ranking_metrics(s.confidence, s.correct, weights),
        "overlap": overlaps,
    }


def undefined_reason(metric: str, statistics: SampleStatistics) -> str | None:
    """Say why a metric of one predictor is NaN.

    Parameters
    ----------
    metric : str
        A key of what :func:`evaluate_statistics` returns.
    statistics : SampleStatistics

    Returns
    -------
    str or None
        None where the metric is defined.
    """
    if metric not in ("auroc", "overlap"):
        return None
    if statistics.classes == 1:
        return "one class"
    if statistics.correct.all():
        return "no errors"
    if not statistics.correct.any():
        return "no correct samples"
    if metric == "overlap" and not _within_unit_interval(statistics.confidence):
        return "confidence outside [0, 1]"
    return None


def _within_unit_interval(confidence: np.ndarray) -> bool:
    return bool(confidence.min() >= 0.0 and confidence.max() <= 1.0)
