"""What the accept/ignore rule keeps, as its settings change."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np

from sidekick.methods.dropout_rule import quantile
from sidekick.methods.mc_dropout import PassMoments, interval_rule


def outcome(
    accepted: np.ndarray, answer: np.ndarray, rival: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """Count what a rule keeps and what it ignores.

    Parameters
    ----------
    accepted, answer
        (n,) bool and (n,) int, as `interval_rule` gives them.
    rival
        (n,) int, the answers of the deterministic model.
    labels
        (n,) int.

    Returns
    -------
    dict
        `coverage`; `kept_accuracy`; `misclassified_ignored`, the share of the ignored that the
        deterministic model gets wrong; `false_ignore_rate`, the share of what it gets right that
        is ignored. NaN where there is nothing to take a share of.
    """
    right = rival == labels
    return {
        "coverage": _share(accepted, np.ones_like(accepted)),
        "kept_accuracy": _share(answer == labels, accepted),
        "misclassified_ignored": _share(~right, ~accepted),
        "false_ignore_rate": _share(~accepted, right),
    }


def sensitivity(
    moments: Mapping[int, PassMoments],
    rival: np.ndarray,
    labels: np.ndarray,
    levels: Sequence[float],
    thresholds: Sequence[float],
) -> Iterator[dict[str, float]]:
    """Apply the rule with every number of passes, level and threshold.

    Parameters
    ----------
    moments
        Number of passes to the moments of the sigmoids.
    rival, labels
        As for `outcome`.
    levels, thresholds
        As for `interval_rule`.

    Yields
    ------
    dict
        `passes`, `level`, `threshold`, what `outcome` counts, and `top_width`: the mean width of
        the interval of the class with the largest mean. It estimates the spread of passes, not
        the error of their mean, so more passes do not narrow it.
    """
    for (passes, own), level, threshold in product(moments.items(), levels, thresholds):
        accepted, answer = interval_rule(own, level, threshold)
        top = own.mean.argmax(axis=1)[:, None]
        width = 2 * quantile(level) * np.take_along_axis(own.std, top, axis=1)
        yield {
            "passes": passes,
            "level": level,
            "threshold": threshold,
            **outcome(accepted, answer, rival, labels),
            "top_width": float(width.mean()) if width.size else np.nan,
        }


def _share(event: np.ndarray, among: np.ndarray) -> float:
    return float(event[among].mean()) if among.any() else np.nan
