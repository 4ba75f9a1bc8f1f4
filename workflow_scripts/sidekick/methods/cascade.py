"""Deferral cascades: the small model answers if it is sure enough, else the large one does.

A sample is deferred when the small model's confidence is below the threshold. The small model
always runs, so that the expected cost is c_small + deferral rate x c_large.
"""

from dataclasses import fields

import numpy as np

from sidekick.metrics import SampleStatistics


def threshold_for_ratio(confidence: np.ndarray, ratio: float) -> float:
    """Choose the threshold that defers at most `ratio` of the given (validation) samples.

    Parameters
    ----------
    confidence
        (n,) the small model's confidence on `val`.
    ratio
        The wanted deferral ratio, from 0 to 1.

    Returns
    -------
    float
        Samples with confidence below it are deferred. Tied samples are deferred together or not
        at all, so the ratio is a ceiling. A ratio of 1 gives +inf: everything is deferred.
    """
    ordered = np.sort(confidence)
    count = int(np.floor(ratio * len(ordered) + 1e-9))
    return float(ordered[count]) if count < len(ordered) else float("inf")


def deferred(confidence: np.ndarray, threshold: float) -> np.ndarray:
    """Tell which samples go to the large model: (n,) bool."""
    return confidence < threshold


def cascade(
    small: SampleStatistics, large: SampleStatistics, defer: np.ndarray
) -> SampleStatistics:
    """Take each sample's answer, and all that is known of it, from the model that gave it.

    Both models should be temperature-scaled, so that their confidences are comparable.
    """
    return SampleStatistics(
        **{
            field.name: np.where(defer, getattr(large, field.name), getattr(small, field.name))
            for field in fields(SampleStatistics)
            if field.name != "classes"
        },
        classes=small.classes,
    )


def expected_gmacs(small_gmacs: float, large_gmacs: float, deferral_rate: float) -> float:
    """Give the expected cost of a cascade per sample, in GMACs."""
    return small_gmacs + deferral_rate * large_gmacs
