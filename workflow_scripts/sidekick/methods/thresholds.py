"""Choose a cascade's threshold on `val`: for a cost budget, or for a score to reach.

Scores are what each model earns on a sample, in [0, 1]: correctness for classifiers, factuality for
captions; their mean is the accuracy. Every threshold that exists is tried, so that tied samples
are deferred together or not at all. What a choice promises is what it does on `val`; being the
best of many, it is on average a little better there than elsewhere.
"""

from dataclasses import dataclass

import numpy as np

from sidekick.methods.cascade import expected_gmacs
from sidekick.metrics import deferral_ratio
from sidekick.metrics.deferral_gains import check_scores
from sidekick.metrics.ties import tie_groups

# Means of scores, and costs, that differ by less are equal: their sums were rounded.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Threshold:
    """A threshold and what it promises.

    Attributes
    ----------
    value
        Samples with a confidence below it are deferred: −inf defers none, +inf all. NaN if there
        is a `reason`; so are the others.
    deferral
        Share of the samples that is deferred.
    gmacs
        Expected cost per sample.
    score
        Mean score of the cascade.
    reason
        Why there is no such threshold, or None.
    """

    value: float
    deferral: float
    gmacs: float
    score: float
    reason: str | None = None


def threshold_for_budget(
    confidence: np.ndarray,
    small_score: np.ndarray,
    large_score: np.ndarray,
    costs: tuple[float, float],
    budget: float,
) -> Threshold:
    """Choose the threshold of the highest score that costs no more than a budget.

    That need not be the one that spends it all: more deferral can lower the score. Of equally
    good ones, the cheapest is chosen.

    Parameters
    ----------
    confidence
        (n,) on `val`, any scale.
    small_score, large_score
        (n,) of the small model and of what answers deferred samples.
    costs
        GMACs of the small and of the large model, positive.
    budget
        GMACs per sample, in expectation.

    Raises
    ------
    SidekickError
        A score lies outside [0, 1], a confidence is NaN, a cost is not positive, there are no
        samples, or lengths differ.
    """
    allowed = deferral_ratio(budget, *costs)
    choices = _Choices(confidence, small_score, large_score, costs)
    if np.isnan(allowed):
        return _none(
            f"a budget of {budget:g} GMACs does not pay for the small model, which needs "
            f"{costs[0]:g}"
        )
    affordable = choices.deferral <= allowed + ROUNDING
    best = choices.score[affordable].max()
    return choices.cheapest(affordable & (choices.score >= best - ROUNDING))


def threshold_for_score(
    confidence: np.ndarray,
    small_score: np.ndarray,
    large_score: np.ndarray,
    costs: tuple[float, float],
    target: float,
) -> Threshold:
    """Choose the cheapest threshold whose mean score is at least a target.

    Parameters
    ----------
    confidence, small_score, large_score, costs
        As for `threshold_for_budget`.
    target
        Such as the accuracy to reach.

    Raises
    ------
    SidekickError
        As `threshold_for_budget`.
    """
    deferral_ratio(costs[0], *costs)
    choices = _Choices(confidence, small_score, large_score, costs)
    reached = choices.score >= target - ROUNDING
    if not reached.any():
        best = choices.cheapest(choices.score >= choices.score.max() - ROUNDING)
        return _none(
            f"no threshold reaches {target:g} on val: the best, at a deferral rate of "
            f"{best.deferral:.3f}, reaches {best.score:.4f}"
        )
    return choices.cheapest(reached)


class _Choices:
    """Every threshold that exists, in ascending order of deferral, (G + 1,) each."""

    def __init__(
        self,
        confidence: np.ndarray,
        small_score: np.ndarray,
        large_score: np.ndarray,
        costs: tuple[float, float],
    ) -> None:
        small, large = check_scores(small_score, large_score)
        groups = tie_groups(confidence)
        gains = np.cumsum(groups.arrange(large - small))[groups.ends - 1]
        ordered = groups.arrange(np.asarray(confidence, dtype=np.float64))
        self._costs = costs
        self.value = np.concatenate([[-np.inf], ordered[groups.starts[1:]], [np.inf]])
        self.deferral = np.append(0, groups.ends) / len(small)
        self.score = small.mean() + np.append(0.0, gains) / len(small)
        if np.isposinf(ordered[-1]):
            # No threshold is above it.
            self.value, self.deferral, self.score = (
                own[:-1] for own in (self.value, self.deferral, self.score)
            )

    def cheapest(self, eligible: np.ndarray) -> Threshold:
        """Give the one of least deferral among some (G + 1,) bool."""
        chosen = int(eligible.argmax())
        deferral = float(self.deferral[chosen])
        return Threshold(
            value=float(self.value[chosen]),
            deferral=deferral,
            gmacs=expected_gmacs(*self._costs, deferral),
            score=float(self.score[chosen]),
        )


def _none(reason: str) -> Threshold:
    return Threshold(*[float("nan")] * 4, reason)
