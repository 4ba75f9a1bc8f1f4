"""Sorting by a score once, and summing over groups of equal score."""

from dataclasses import dataclass

import numpy as np

from sidekick.errors import SidekickError


@dataclass(frozen=True)
class TieGroups:
    """Samples in ascending order of a score, cut into groups of equal score.

    Parameters
    ----------
    order : ndarray of intp, shape (n,)
        Sample indices in ascending order of the score.
    starts : ndarray of intp, shape (G,)
        Position in ``order`` where each group begins.
    """

    order: np.ndarray
    starts: np.ndarray

    @property
    def ends(self) -> np.ndarray:
        """Position in ``order`` just after each group: ndarray of intp, shape (G,)."""
        return np.append(self.starts[1:], self.order.size)

    def arrange(self, values: np.ndarray) -> np.ndarray:
        """Return one value per sample in the order of the score.

        Parameters
        ----------
        values : array_like, shape (n,)

        Returns
        -------
        ndarray, shape (n,)

        Raises
        ------
        SidekickError
            There is not exactly one value per sample.
        """
        values = np.asarray(values)
        if values.shape != self.order.shape:
            raise SidekickError(
                f"{self.order.size} samples are ranked, but their values have shape {values.shape}"
            )
        return values[self.order]

    def sums(self, values: np.ndarray, dtype: type) -> np.ndarray:
        """Sum ``values``, which are already in ``order``, within each group.

        Parameters
        ----------
        values : ndarray, shape (b, n)
        dtype : type
            Type to sum in: int64 for counts, float64 for scores.

        Returns
        -------
        ndarray of ``dtype``, shape (b, G)
        """
        if self.starts.size == self.order.size:
            return values.astype(dtype, copy=False)
        return np.add.reduceat(values, self.starts, axis=1, dtype=dtype)


def tie_groups(scores: np.ndarray) -> TieGroups:
    """Sort samples by a score and find the groups of equal score.

    Parameters
    ----------
    scores : array_like of float, shape (n,)
        Infinite scores are allowed. For a descending order pass the negated scores.

    Returns
    -------
    TieGroups

    Raises
    ------
    SidekickError
        A score is NaN, or there are no scores.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0:
        raise SidekickError(f"scores must be a non-empty vector, not of shape {scores.shape}")
    missing = np.isnan(scores)
    if missing.any():
        raise SidekickError(f"score in row {missing.argmax()} is NaN: it cannot be ranked")
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
    return TieGroups(order, starts)
