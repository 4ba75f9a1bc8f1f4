"""How confidence tells right from wrong answers: its densities and its ROC curve."""

from collections.abc import Iterator, Sequence

import numpy as np

from sidekick.evaluation.curves import GRID
from sidekick.metrics import SampleStatistics, confidence_densities

# Of the densities' grid, what a figure needs.
_THINNED = 4


def density_points(statistics: Sequence[SampleStatistics]) -> Iterator[tuple[str, list[dict]]]:
    """Give the densities of the confidence of correct and of wrong answers, mean over seeds.

    Yields
    ------
    name, points
        `density_correct` and `density_wrong`; no points of a class that no seed has samples of.
    """
    grids, *densities = zip(
        *(confidence_densities(own.confidence, own.correct) for own in statistics), strict=True
    )
    for name, own in zip(("density_correct", "density_wrong"), densities, strict=True):
        present = [density for density in own if np.isfinite(density).all()]
        if not present:
            yield name, []
            continue
        mean = np.mean(present, axis=0)[::_THINNED]
        grid = grids[0][::_THINNED]
        yield name, [{"x": float(x), "y": float(y)} for x, y in zip(grid, mean, strict=True)]


def roc_points(statistics: Sequence[SampleStatistics]) -> list[dict]:
    """Give the ROC curve of correct against wrong answers, mean over seeds at equal false rates.

    `x` is the share of the wrong answers, and `y` that of the correct ones, whose confidence is at
    least a threshold; ties are drawn as straight lines. No points if no seed has both kinds.
    """
    curves = [
        _roc(own.confidence, own.correct)
        for own in statistics
        if own.correct.any() and not own.correct.all()
    ]
    if not curves:
        return []
    mean = np.mean(curves, axis=0)
    return [{"x": float(x), "y": float(y)} for x, y in zip(GRID, mean, strict=True)]


def _roc(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Give the true rate at the false rates `GRID`, the upper end of vertical steps."""
    _, group = np.unique(-confidence, return_inverse=True)
    right = np.bincount(group, weights=correct)
    wrong = np.bincount(group, weights=~correct)
    false = np.concatenate([[0.0], np.cumsum(wrong)]) / wrong.sum()
    true = np.concatenate([[0.0], np.cumsum(right)]) / right.sum()
    # Of points at one false rate `interp` takes the last, which has the highest true rate.
    return np.interp(GRID, false, true)
