"""The counts over groups of equal confidence that every ranking metric is a function of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sidekick.metrics.ties import tie_groups
from sidekick.metrics.weighting import check_weights, for_kernels, ratio

# 9 of 10 must count as at least 0.90 whatever the rounding of 0.90. Selective accuracies that
# differ from a target given in whole per cent differ by at least 1/(100 n).
_TARGET_TOLERANCE = 1e-10


@dataclass(frozen=True)
class RankCounts:
    """Counts of B replicates.

    The formulas and their sources are documented where they are public, in
    :mod:`sidekick.metrics.ranking`; each method returns float64 of shape (B,).

    Parameters
    ----------
    total, wrong : ndarray of int64, shape (B,)
        Samples and wrong samples.
    outranked : ndarray of float64, shape (B,)
        Twice the number of pairs in which a correct sample outranks a wrong one; a tie counts 1.
    risk : ndarray of float64, shape (B,)
        Sum over k of the expected error rate among the k most confident.
    selected : ndarray of float64, shape (T, B)
        Samples in the largest selection that keeps each target accuracy.
    harmonic : ndarray of float64, shape (at least max total + 1,)
        Harmonic numbers: entry k is 1 + 1/2 + ... + 1/k.
    """

    total: np.ndarray
    wrong: np.ndarray
    outranked: np.ndarray
    risk: np.ndarray
    selected: np.ndarray
    harmonic: np.ndarray

    def auroc(self) -> np.ndarray:
        """Return AUROC; NaN without both a correct and a wrong sample."""
        return ratio(self.outranked, 2.0 * (self.total - self.wrong) * self.wrong)

    def aurc(self) -> np.ndarray:
        """Return AURC with ties averaged."""
        return ratio(self.risk, self.total)

    def e_aurc(self) -> np.ndarray:
        """Return AURC less that of an ordering with every correct sample first."""
        right = self.total - self.wrong
        step = self.harmonic[self.total] - self.harmonic[right]
        return self.aurc() - ratio(self.wrong - right * step, self.total)

    def augrc(self) -> np.ndarray:
        """Return AUGRC."""
        error_rate = ratio(self.wrong, self.total)
        misranked = (1.0 - error_rate) * error_rate * (1.0 - self.auroc())
        mixed = (self.wrong > 0) & (self.wrong < self.total)
        return np.where(mixed, misranked, 0.0) + error_rate**2 / 2.0

    def sac(self) -> np.ndarray:
        """Return the coverage for each of T targets: shape (T, B)."""
        return ratio(self.selected, self.total)


def rank_counts(
    confidence: np.ndarray,
    correct: np.ndarray,
    weights: np.ndarray,
    targets: Sequence[float] = (),
) -> RankCounts:
    """Sort once, then reduce one replicate after the other to its counts.

    Parameters
    ----------
    confidence : ndarray of float, shape (n,)
    correct : ndarray of bool, shape (n,)
    weights : ndarray of int, shape (B, n)
    targets : sequence of float, length T
        Selective accuracies to keep.

    Returns
    -------
    RankCounts

    Raises
    ------
    SidekickError
        A confidence is NaN, or lengths differ.
    """
    from sidekick.kernels.replicates import ranking_sums

    groups = tie_groups(-np.asarray(confidence, dtype=np.float64))
    weights = for_kernels(check_weights(weights, groups.order.size))
    wrong = ~groups.arrange(correct).astype(bool)
    largest = weights.sum(axis=1, dtype=np.int64).max()
    harmonic = np.append(0.0, np.cumsum(1.0 / np.arange(1, largest + 1)))
    kept = 1.0 - np.asarray(targets, dtype=np.float64) + _TARGET_TOLERANCE
    permissive_first = np.argsort(-kept, kind="stable")
    sums = np.empty((weights.shape[0], 4 + kept.size))
    ranking_sums(
        weights, groups.order, groups.is_last, wrong, harmonic, kept[permissive_first], sums
    )
    selected = np.empty((kept.size, weights.shape[0]))
    selected[permissive_first] = sums[:, 4:].T
    total, errors = sums[:, :2].T.astype(np.int64)
    return RankCounts(total, errors, sums[:, 2], sums[:, 3], selected, harmonic)
