"""The counts per group of equal confidence that every ranking metric is a function of."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sidekick.metrics.ties import tie_groups
from sidekick.metrics.weighting import check_weights, ratio, replicate_blocks

# 9 of 10 must count as at least 0.90 whatever the rounding of 0.90. Selective accuracies that
# differ from a target given in whole per cent differ by at least 1/(100 n).
_TARGET_TOLERANCE = 1e-10


@dataclass(frozen=True)
class RankCounts:
    """Counts of a block of b replicates in G tie groups, most confident group first.

    The formulas and their sources are documented where they are public, in
    :mod:`sidekick.metrics.ranking`; each method returns float64 of shape (b,) unless it says so.

    Parameters
    ----------
    members, errors : ndarray of int64, shape (b, G)
        Samples and wrong samples within each group.
    members_through, errors_through : ndarray of int64, shape (b, G)
        The same up to the end of each group.
    harmonic : ndarray of float64, shape (at least max members_through + 1,)
        Harmonic numbers: entry k is 1 + 1/2 + ... + 1/k.
    """

    members: np.ndarray
    errors: np.ndarray
    members_through: np.ndarray
    errors_through: np.ndarray
    harmonic: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """Samples of each replicate: ndarray of int64, shape (b,)."""
        return self.members_through[:, -1]

    @property
    def wrong(self) -> np.ndarray:
        """Wrong samples of each replicate: ndarray of int64, shape (b,)."""
        return self.errors_through[:, -1]

    def auroc(self) -> np.ndarray:
        """Return AUROC; NaN without both a correct and a wrong sample."""
        # Twice the number of pairs, so that a tie adds the integer 1 and the sum is exact.
        outranked = 2 * (self.wrong[:, None] - self.errors_through) + self.errors
        pairs = np.einsum("bg,bg->b", self.members - self.errors, outranked)
        return ratio(pairs, 2.0 * (self.total - self.wrong) * self.wrong)

    def aurc(self) -> np.ndarray:
        """Return AURC with ties averaged."""
        members_before = self.members_through - self.members
        errors_before = self.errors_through - self.errors
        # A group that a replicate does not draw has no error rate, and adds nothing whatever it is.
        error_rate = self.errors / np.maximum(self.members, 1)
        step = self.harmonic[self.members_through] - self.harmonic[members_before]
        area = np.einsum("bg,bg->b", errors_before - members_before * error_rate, step)
        return ratio(self.wrong + area, self.total)

    def oracle_aurc(self) -> np.ndarray:
        """Return the AURC of an ordering with every correct sample first."""
        right = self.total - self.wrong
        step = self.harmonic[self.total] - self.harmonic[right]
        return ratio(self.wrong - right * step, self.total)

    def augrc(self) -> np.ndarray:
        """Return AUGRC."""
        error_rate = ratio(self.wrong, self.total)
        misranked = (1.0 - error_rate) * error_rate * (1.0 - self.auroc())
        mixed = (self.wrong > 0) & (self.wrong < self.total)
        return np.where(mixed, misranked, 0.0) + error_rate**2 / 2.0

    def sac(self, targets: tuple[float, ...]) -> np.ndarray:
        """Return the coverage for each of T targets: shape (T, b)."""
        through = self.members_through
        selective_accuracy = 1.0 - self.errors_through / np.maximum(through, 1)
        # Coverage never falls from group to group: the largest is at the last one that qualifies.
        from_last = selective_accuracy[:, ::-1]
        coverages = []
        for target in targets:
            qualifies = from_last >= target - _TARGET_TOLERANCE
            last = through.shape[1] - 1 - qualifies.argmax(axis=1)
            covered = np.take_along_axis(through, last[:, None], axis=1)[:, 0]
            coverages.append(ratio(np.where(qualifies.any(axis=1), covered, 0), self.total))
        return np.stack(coverages)


def rank_counts(
    confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray
) -> Iterator[RankCounts]:
    """Sort once, then reduce one block of replicates after the other to its counts.

    Parameters
    ----------
    confidence : ndarray of float, shape (n,)
    correct : ndarray of bool, shape (n,)
    weights : ndarray of int, shape (B, n)

    Yields
    ------
    RankCounts

    Raises
    ------
    SidekickError
        A confidence is NaN, or lengths differ.
    """
    groups = tie_groups(-np.asarray(confidence, dtype=np.float64))
    weights = check_weights(weights, groups.order.size)
    wrong = ~groups.arrange(correct).astype(bool)
    largest = weights.sum(axis=1, dtype=np.int64).max()
    harmonic = np.append(0.0, np.cumsum(1.0 / np.arange(1, largest + 1)))
    for rows in replicate_blocks(*weights.shape):
        ranked = weights[rows].take(groups.order, axis=1)
        members = groups.sums(ranked, np.int64)
        errors = groups.sums(ranked * wrong, np.int64)
        yield RankCounts(
            members, errors, np.cumsum(members, axis=1), np.cumsum(errors, axis=1), harmonic
        )
