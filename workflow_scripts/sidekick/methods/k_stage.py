"""Cascades of more than two models: each answers if it is sure enough, else the next is asked.

Models come in the order in which they are asked, the cheapest first. A sample that is answered at
stage j has paid for all models up to j.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sidekick.errors import SidekickError
from sidekick.methods.thresholds import ROUNDING

# Thresholds per stage; and combinations of them, for each of which a few numbers are held at once.
_GRID = 512
_MOST_COMBINATIONS = 2**24


@dataclass(frozen=True)
class StageThresholds:
    """Thresholds of a k-stage cascade and what they promise on `val`.

    Attributes
    ----------
    values
        (k − 1,) stage j passes on what has a confidence below `values[j]`: −inf passes on nothing,
        +inf everything. NaN if there is a `reason`; so are the others.
    reached
        (k,) share of the samples that each model is asked about.
    gmacs
        Expected cost per sample.
    score
        Mean score of the cascade.
    reason
        Why there are no such thresholds, or None.
    """

    values: np.ndarray
    reached: np.ndarray
    gmacs: float
    score: float
    reason: str | None = None


def fit_stages(
    confidences: Sequence[np.ndarray],
    scores: Sequence[np.ndarray],
    costs: Sequence[float],
    budgets: Sequence[float],
    grid: int = _GRID,
) -> list[StageThresholds]:
    """Choose all thresholds together: the highest mean score that costs no more than a budget.

    Of equally good combinations the cheapest is chosen, and of equally cheap ones that of the
    lowest thresholds, the first stage's first.

    Parameters
    ----------
    confidences
        k − 1 times (n,): of each model but the last, on `val`.
    scores
        k times (n,), in [0, 1]: correctness, for example.
    costs
        (k,) GMACs of each model, positive.
    budgets
        GMACs per sample, in expectation.
    grid
        Thresholds to try per stage, besides −inf and +inf: all that exist if they are no more
        than that, else so many at even ranks. The choice is the best on that grid; with two
        stages and a grid of at least n it is that of `thresholds.threshold_for_budget`.

    Returns
    -------
    list of StageThresholds
        One per budget.

    Raises
    ------
    SidekickError
        Fewer than two models, counts or lengths that do not match, a NaN confidence, a score
        outside [0, 1], a cost that is not positive, or too many combinations.

    Notes
    -----
    With thresholds t, a sample reaches stage j if κ_i < t_i for all i < j. The number of such
    samples, and the sums of their scores, are cumulative histograms over the cells of the grid, so
    that all grid^(k−1) combinations cost one pass over the samples and a few over the cells.
    """
    confidences, scores, costs = _check(confidences, scores, costs)
    candidates = [_candidates(own, grid) for own in confidences]
    shape = [len(own) for own in candidates]
    if np.prod(shape, dtype=np.float64) > _MOST_COMBINATIONS:
        raise SidekickError(
            f"k-stage cascade: {' x '.join(map(str, shape))} combinations of thresholds are too "
            f"many; allowed are {_MOST_COMBINATIONS}: use a smaller grid or fewer stages"
        )
    # The first threshold above a sample's confidence lets it pass, and so do all later ones.
    cells = [
        np.searchsorted(own, confidence, side="right")
        for own, confidence in zip(candidates, confidences, strict=True)
    ]
    n = len(scores[0])
    reached = [_passed(cells[:stage], np.ones(n), shape) / n for stage in range(len(scores))]
    gmacs = sum(cost * share for cost, share in zip(costs, reached, strict=True))
    mean = np.zeros([1] * len(shape))
    for stage, score in enumerate(scores):
        mean = mean + _passed(cells[:stage], score, shape) / n
        if stage < len(cells):
            mean = mean - _passed(cells[: stage + 1], score, shape) / n
    return [_choose(candidates, reached, gmacs, mean, budget, costs[0]) for budget in budgets]


def stage_of(confidences: Sequence[np.ndarray], values: Sequence[float]) -> np.ndarray:
    """Tell which model answers each sample, (n,) from 0.

    Parameters
    ----------
    confidences
        k − 1 times (n,).
    values
        (k − 1,) thresholds.

    Raises
    ------
    SidekickError
        A threshold is NaN.
    """
    if np.isnan(values).any():
        raise SidekickError(f"k-stage cascade: thresholds {list(values)} cannot be applied")
    passes = [own < value for own, value in zip(confidences, values, strict=True)]
    return np.logical_and.accumulate(passes, axis=0).sum(axis=0)


def answers_of(stage: np.ndarray, answers: Sequence[np.ndarray]) -> np.ndarray:
    """Take each sample's answer (or score) from the model that answers it.

    Parameters
    ----------
    stage
        (n,) as `stage_of` gives it.
    answers
        k times (n,).
    """
    return np.stack(answers)[stage, np.arange(len(stage))]


def stage_gmacs(stage: np.ndarray, costs: Sequence[float]) -> float:
    """Give the expected cost of a k-stage cascade per sample, in GMACs.

    Parameters
    ----------
    stage
        (n,) as `stage_of` gives it.
    costs
        (k,) GMACs of each model.
    """
    return float(np.cumsum(costs)[stage].mean())


def _check(
    confidences: Sequence[np.ndarray], scores: Sequence[np.ndarray], costs: Sequence[float]
) -> tuple[list[np.ndarray], list[np.ndarray], list[float]]:
    confidences = [np.asarray(own, dtype=np.float64) for own in confidences]
    scores = [np.asarray(own, dtype=np.float64) for own in scores]
    if not len(scores) == len(costs) == len(confidences) + 1 >= 2:
        raise SidekickError(
            f"k-stage cascade: {len(scores)} models' scores, {len(costs)} costs and "
            f"{len(confidences)} confidences; of k models, at least 2, the last has no confidence"
        )
    shapes = {own.shape for own in (*scores, *confidences)}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1 or 0 in next(iter(shapes)):
        raise SidekickError(f"k-stage cascade: scores and confidences of shapes {sorted(shapes)}")
    for stage, own in enumerate(confidences):
        if np.isnan(own).any():
            raise SidekickError(
                f"k-stage cascade: the confidence of stage {stage} in row "
                f"{int(np.isnan(own).argmax())} is NaN"
            )
    for stage, own in enumerate(scores):
        refused = ~((own >= 0) & (own <= 1))
        if refused.any():
            row = int(refused.argmax())
            raise SidekickError(
                f"k-stage cascade: the score of stage {stage} in row {row} is {own[row]}, not "
                "within 0 to 1"
            )
    if not all(cost > 0 for cost in costs):
        raise SidekickError(f"k-stage cascade: costs must be positive, not {list(costs)}")
    return confidences, scores, [float(cost) for cost in costs]


def _candidates(confidence: np.ndarray, grid: int) -> np.ndarray:
    """Give thresholds, ascending from −inf to +inf, at starts of groups of equal confidence."""
    # The lowest confidence as a threshold would pass on nothing, as −inf does.
    ordered = np.unique(confidence)[1:]
    if len(ordered) > grid:
        ranked = np.sort(confidence)
        places = (np.arange(1, grid + 1) * len(ranked)) // (grid + 1)
        ordered = np.unique(ranked[places])
        ordered = ordered[ordered > ranked[0]]
    return np.concatenate([[-np.inf], ordered[np.isfinite(ordered)], [np.inf]])


def _passed(cells: Sequence[np.ndarray], values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Sum the values of the samples that pass some first stages, per combination of thresholds.

    Returns
    -------
    ndarray
        With as many axes as there are thresholds; those of later stages have length 1.
    """
    own = list(shape[: len(cells)])
    rest = [1] * (len(shape) - len(own))
    if not own:
        return np.full(rest, values.sum())
    # A confidence of +inf passes no threshold: it lies in a cell of its own, beyond the last.
    place = np.ravel_multi_index(cells, [size + 1 for size in own])
    total = np.bincount(place, weights=values, minlength=int(np.prod([s + 1 for s in own])))
    total = total.reshape([size + 1 for size in own])
    for axis in range(len(own)):
        total = total.cumsum(axis=axis)
    return total[tuple(slice(size) for size in own)].reshape(own + rest)


def _choose(
    candidates: Sequence[np.ndarray],
    reached: Sequence[np.ndarray],
    gmacs: np.ndarray,
    mean: np.ndarray,
    budget: float,
    least: float,
) -> StageThresholds:
    if budget < least:
        nothing = float("nan")
        return StageThresholds(
            np.full(len(candidates), nothing),
            np.full(len(reached), nothing),
            nothing,
            nothing,
            f"a budget of {budget:g} GMACs does not pay for the first model, which needs {least:g}",
        )
    slack = ROUNDING * max(1.0, budget)
    affordable = gmacs <= budget + slack
    best = mean[affordable].max()
    eligible = affordable & (mean >= best - ROUNDING)
    cheapest = eligible & (gmacs <= gmacs[eligible].min() + slack)
    chosen = np.unravel_index(int(cheapest.argmax()), cheapest.shape)
    return StageThresholds(
        values=np.array([own[place] for own, place in zip(candidates, chosen, strict=True)]),
        reached=np.array([np.broadcast_to(own, gmacs.shape)[chosen] for own in reached]),
        gmacs=float(gmacs[chosen]),
        score=float(mean[chosen]),
    )
