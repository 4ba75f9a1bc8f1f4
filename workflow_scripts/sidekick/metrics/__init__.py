"""Metrics of classifiers and of deferral, with bootstrap intervals; numpy and compiled loops.

Every metric takes integer resampling ``weights`` of shape (B, n) and returns B values; see
:mod:`sidekick.metrics.weighting`.
"""

from sidekick.metrics.bootstrap import Intervals, Resampler, intervals, mean_over_seeds
from sidekick.metrics.calibration import ReliabilityBins, ece, reliability_bins
from sidekick.metrics.classification import (
    accuracy,
    brier,
    coverage,
    macro_f1,
    nll,
    selective_accuracy,
)
from sidekick.metrics.combinations import Combination
from sidekick.metrics.deferral import (
    DeferralReplicates,
    accuracy_at_cost,
    accuracy_at_deferral,
    deferral_ratio,
    evaluate_deferral,
)
from sidekick.metrics.deferral_curves import (
    curve_area,
    deferral_curve,
    ideal_curve,
    oracle_curve,
    random_curve,
)
from sidekick.metrics.evaluate import evaluate_part, evaluate_statistics, undefined_reason
from sidekick.metrics.overlap import confidence_densities, density_overlap, scott_bandwidths
from sidekick.metrics.ranking import (
    augrc,
    aurc,
    auroc,
    e_aurc,
    ranking_metrics,
    risk_coverage_curve,
    sac,
)
from sidekick.metrics.registry import METRICS, SAC_TARGETS, Metric
from sidekick.metrics.rejection import rejection_metrics, top_share_weights
from sidekick.metrics.statistics import (
    SampleStatistics,
    combined_statistics,
    margin,
    max_softmax,
    negative_entropy,
    sample_statistics,
)
from sidekick.metrics.weighting import unit_weights, weighted_mean

__all__ = [
    "METRICS",
    "SAC_TARGETS",
    "Combination",
    "DeferralReplicates",
    "Intervals",
    "Metric",
    "ReliabilityBins",
    "Resampler",
    "SampleStatistics",
    "accuracy",
    "accuracy_at_cost",
    "accuracy_at_deferral",
    "augrc",
    "aurc",
    "auroc",
    "brier",
    "combined_statistics",
    "confidence_densities",
    "coverage",
    "curve_area",
    "deferral_curve",
    "deferral_ratio",
    "density_overlap",
    "e_aurc",
    "ece",
    "evaluate_deferral",
    "evaluate_part",
    "evaluate_statistics",
    "ideal_curve",
    "intervals",
    "macro_f1",
    "margin",
    "max_softmax",
    "mean_over_seeds",
    "negative_entropy",
    "nll",
    "oracle_curve",
    "random_curve",
    "ranking_metrics",
    "rejection_metrics",
    "reliability_bins",
    "risk_coverage_curve",
    "sac",
    "sample_statistics",
    "scott_bandwidths",
    "selective_accuracy",
    "top_share_weights",
    "undefined_reason",
    "unit_weights",
    "weighted_mean",
]
