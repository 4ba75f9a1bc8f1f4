"""Predictive uncertainty of N passes, divided into what passes share and what they disagree on.

For a distribution pᵗ of every pass t: the entropy of the mean (predictive, total), the mean of
the entropies (expected, aleatoric), their difference, which is the mutual information of answer
and mask (epistemic; Houlsby et al. 2011, Gal & Ghahramani 2016), and the variation ratio, the
share of passes whose answer is not the most frequent one (Freeman 1965). In nats.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sidekick.errors import SidekickError


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Uncertainties of n samples.

    Attributes
    ----------
    predictive_entropy, expected_entropy, mutual_information, variation_ratio
        (n,) each; the categorical distribution of a pass is its sigmoids divided by their sum.
    """

    predictive_entropy: np.ndarray
    expected_entropy: np.ndarray
    mutual_information: np.ndarray
    variation_ratio: np.ndarray


def decompose(passes: Iterable[np.ndarray]) -> Decomposition:
    """Decompose the uncertainty of passes.

    Parameters
    ----------
    passes
        For each pass the sigmoids, or probabilities, (n, C), in [0, 1]; an array (N, n, C) or one
        pass after the other, of which memory holds one.

    Raises
    ------
    SidekickError
        If there are fewer than 2 passes, or a value is not a probability.
    """
    count = 0
    sums: list[np.ndarray] = []
    votes = np.zeros((0, 0))
    for number, sigmoids in enumerate(passes, start=1):
        _require_probabilities(sigmoids, number)
        sigmoids = sigmoids.astype(np.float64)
        parts = _of_pass(sigmoids)
        sums = list(parts) if not count else [a + b for a, b in zip(sums, parts, strict=True)]
        if not count:
            votes = np.zeros(sigmoids.shape)
        votes[np.arange(len(sigmoids)), sigmoids.argmax(axis=1)] += 1
        count = number
    if count < 2:
        raise SidekickError(f"mc_dropout passes: {count}; at least 2 are needed to disagree")
    categorical, entropy = (total / count for total in sums)
    total = _entropy(categorical)
    return Decomposition(
        predictive_entropy=total,
        expected_entropy=entropy,
        # Not negative but for rounding.
        mutual_information=np.maximum(total - entropy, 0.0),
        variation_ratio=1.0 - votes.max(axis=1) / count,
    )


def _of_pass(sigmoids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give what is averaged: the distribution and its entropy."""
    total = sigmoids.sum(axis=1, keepdims=True)
    # A pass that denies every class tells nothing apart.
    even = np.full_like(sigmoids, 1.0 / sigmoids.shape[1])
    categorical = np.divide(sigmoids, total, out=even, where=total > 0)
    return categorical, _entropy(categorical)


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    return _surprise(probabilities).sum(axis=1)


def _surprise(p: np.ndarray) -> np.ndarray:
    """Give −p log p, 0 at 0."""
    return -p * np.log(p, out=np.zeros_like(p), where=p > 0)


def _require_probabilities(sigmoids: np.ndarray, number: int) -> None:
    if not ((sigmoids >= 0) & (sigmoids <= 1)).all():
        raise SidekickError(f"pass {number}: a value is not in [0, 1]; sigmoids are expected")
