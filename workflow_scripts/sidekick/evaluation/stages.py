"""Cascades of three models: what a second sidekick between the first and the large model buys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from sidekick.evaluation.identity import Identity, Member
from sidekick.evaluation.run import Candidate, Evaluation
from sidekick.methods import cascade
from sidekick.methods.k_stage import StageThresholds, fit_stages, stage_gmacs, stage_of
from sidekick.methods.thresholds import threshold_for_budget
from sidekick.methods.weight_fit import fit_weights
from sidekick.metrics import Combination, SampleStatistics, combined_statistics

# Thresholds to try per stage.
_GRID = 128


@dataclass(frozen=True)
class _Model:
    """A model on one seed's samples, as it comes and temperature-scaled."""

    unscaled: SampleStatistics
    scaled: SampleStatistics

    @property
    def confidence(self) -> np.ndarray:
        return self.unscaled.confidence

    @property
    def right(self) -> np.ndarray:
        return self.unscaled.correct.astype(np.float64)


@dataclass(frozen=True)
class _Choice:
    """The models of a cascade, cheapest first, and each seed's thresholds."""

    models: tuple[str, ...]
    thresholds: Sequence[StageThresholds]


def add_stages(
    job: Evaluation,
    model: str,
    recipes: Mapping[str, str],
    costs: Mapping[str, float],
    budgets: Sequence[float],
) -> None:
    """Choose a three-stage cascade for every large model and budget; add those with `model`.

    Of all pairs of smaller models the one whose cascade has the highest accuracy on `val` within
    the budget is chosen, mean over seeds; thresholds are each seed's own. The control is the best
    cascade of two stages for the same budget. A cascade that was chosen among more models than its
    own would be chosen among its own, too: those without `model` are in the job of their youngest
    member.

    Parameters
    ----------
    job
        An evaluation whose files are told apart by member.
    model
        Whose job it is.
    recipes, costs
        Model to its base recipe, and to its GMACs.
    budgets
        Expected costs per sample, as shares of the large model's cost.
    """
    members = {name: Member(name, recipe) for name, recipe in recipes.items()}
    weights = {}
    val = {}
    for name, member in members.items():
        job.hold("val", [member])
        caches = [seed[member] for seed in job.caches["val"]]
        weights[name] = [fit_weights([own.logits], own.labels).weights for own in caches]
        val[name] = _describe(caches, weights[name])
    job.hold("val", [])
    order = sorted(costs, key=lambda name: (costs[name], name))
    for place, large in enumerate(order):
        for budget in budgets:
            smaller = order[:place]
            three = _best([(*pair, large) for pair in combinations(smaller, 2)], val, costs, budget)
            two = _best([(small, large) for small in smaller], val, costs, budget)
            if three is not None and two is not None and model in three.models:
                _Stages(job, three, two, members, weights, costs, budget).evaluate()


def _describe(caches, weights) -> list[_Model]:
    """Score one model's logits of each seed."""
    found = []
    for cache, own in zip(caches, weights, strict=True):
        plain = [Combination([0], [1.0]), Combination([0], own)]
        statistics, _ = combined_statistics([cache.logits], cache.labels, plain)
        found.append(_Model(*statistics))
    return found


def _best(
    groups: Sequence[tuple[str, ...]],
    val: Mapping[str, Sequence[_Model]],
    costs: Mapping[str, float],
    budget: float,
) -> _Choice | None:
    """Find the group of the highest mean accuracy on `val`; of equals the cheapest."""
    best, rank = None, None
    for group in groups:
        gmacs = [costs[name] for name in group]
        thresholds = [
            _fit([val[name][seed] for name in group], gmacs, budget * gmacs[-1])
            for seed in range(len(val[group[0]]))
        ]
        if any(own.reason is not None for own in thresholds):
            continue
        score = float(np.mean([own.score for own in thresholds]))
        own_rank = (-score, float(np.mean([own.gmacs for own in thresholds])), group)
        if rank is None or own_rank < rank:
            best, rank = _Choice(group, thresholds), own_rank
    return best


def _fit(models: Sequence[_Model], gmacs: Sequence[float], budget: float) -> StageThresholds:
    confidences = [own.confidence for own in models[:-1]]
    scores = [own.right for own in models]
    if len(models) > 2:
        return fit_stages(confidences, scores, gmacs, [budget], _GRID)[0]
    # The very threshold of the pair's own rows, which no grid coarsens.
    found = threshold_for_budget(confidences[0], *scores, tuple(gmacs), budget)
    return StageThresholds(
        np.array([found.value]),
        np.array([1.0, found.deferral]),
        found.gmacs,
        found.score,
        found.reason,
    )


class _Stages:
    """One three-stage cascade on all splits and seeds, against the best one of two stages."""

    def __init__(
        self,
        job: Evaluation,
        three: _Choice,
        two: _Choice,
        members: Mapping[str, Member],
        weights: Mapping[str, Sequence[np.ndarray]],
        costs: Mapping[str, float],
        budget: float,
    ):
        self.job, self.three, self.two, self.members = job, three, two, members
        self.weights, self.costs = weights, costs
        self.what = f"budget{round(100 * budget)}"

    def evaluate(self) -> None:
        """Add the cascade's metrics, curves and fits to the job."""
        names = dict.fromkeys((*self.three.models, *self.two.models))
        self.job.run([self.members[name] for name in names], self._candidates)
        identity = self._identity(self.three)._asdict()
        for seed, found in zip(self.job.seeds, self.three.thresholds, strict=True):
            place = {**self.job.facts, "seed": seed, **identity}
            promise = {"promised_gmacs": found.gmacs, "promised_accuracy": found.score}
            self.job.fits.append({**place, **promise})
            for name, value in zip(self.three.models, found.values, strict=False):
                self.job.fits.append({**place, "sidekick": name, "threshold": float(value)})

    def _identity(self, choice: _Choice) -> Identity:
        *smaller, large = choice.models
        variant = f"max_softmax_{self.what}" if len(smaller) == 1 else f"stages_{self.what}"
        recipes = dict.fromkeys(self.members[name].recipe for name in reversed(choice.models))
        return Identity("cascade", variant, large, "+".join(smaller), "+".join(recipes))

    def _candidates(self, _, cells, __) -> dict[Identity, Candidate]:
        found = {}
        control = self._identity(self.two)
        for choice in (self.two, self.three):
            statistics, gmacs = [], []
            for seed, (cell, own) in enumerate(zip(cells, choice.thresholds, strict=True)):
                models = [self._describe(cell, name, seed) for name in choice.models]
                stage = stage_of([one.confidence for one in models[:-1]], own.values)
                joint = models[0].scaled
                for place, one in enumerate(models[1:], start=1):
                    joint = cascade.cascade(joint, one.scaled, stage >= place)
                statistics.append(joint)
                gmacs.append(stage_gmacs(stage, [self.costs[name] for name in choice.models]))
            is_control = choice is self.two
            found[self._identity(choice)] = Candidate(
                statistics,
                float(np.mean(gmacs)),
                baseline=None if is_control else control,
                published=not is_control,
            )
        return found

    def _describe(self, cell, name: str, seed: int) -> _Model:
        cache = cell[self.members[name]]
        return _describe([cache], [self.weights[name][seed]])[0]
