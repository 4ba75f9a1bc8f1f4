"""Sorting by a score once, and the groups of equal score."""

from dataclasses import dataclass
from functools import cached_property

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

    @cached_property
    def is_last(self) -> np.ndarray:
        """Whether a group ends at this position in ``order``: ndarray of bool, shape (n,)."""
        last = np.zeros(self.order.size, dtype=bool)
        last[self.ends - 1] = True
        return last

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
        return values.take(self.order)


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
    order = np.argsort(scores)
    starts = _starts(scores[order])
    if starts.size < scores.size:
        _put_tied_rows_in_order(order, starts)
    return TieGroups(order, starts)


def _put_tied_rows_in_order(order: np.ndarray, starts: np.ndarray) -> None:
    """Sort the rows of each group: a stable sort of all scores takes much longer."""
    sizes = np.diff(starts, append=order.size)
    group = np.repeat(np.arange(starts.size), sizes)
    tied = np.flatnonzero(sizes[group] > 1)
    rows = order[tied]
    order[tied] = rows[np.lexsort((rows, group[tied]))]


def _starts(ranked: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
