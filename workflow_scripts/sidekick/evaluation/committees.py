"""Duos with several sidekicks: what a budget of extra compute buys."""

from collections.abc import Mapping, Sequence

import numpy as np

from sidekick.evaluation.identity import Identity, Member, scaled
from sidekick.evaluation.run import Candidate, Evaluation
from sidekick.logit_cache import CachedLogits
from sidekick.methods.committee import choose_sidekicks
from sidekick.methods.weight_fit import WeightFit, fit_combinations
from sidekick.metrics import Combination, combined_statistics

Group = tuple[str, ...]


def add_committees(
    job: Evaluation,
    model: str,
    recipes: Mapping[str, str],
    costs: Mapping[str, float],
    budgets: Sequence[float],
) -> None:
    """Choose sidekicks for every large model and budget; add the groups that `model` is in.

    The choice is by the NLL on `val`, averaged over seeds, so that it is the same for all of them;
    the weights are each seed's own. A group that was chosen among more models than its own would
    be chosen among its own, too: groups without `model` are in the job of their youngest member.
    A group of two is an ordinary duo. The fits tell for every budget what was chosen.

    Parameters
    ----------
    job
        An evaluation whose files are told apart by member. All models' `val` logits are held.
    model
        Whose job it is.
    recipes, costs
        Model to its base recipe, and to its GMACs.
    budgets
        What a group may cost, as multiples of its large model's cost.
    """
    members = [Member(name, recipe) for name, recipe in recipes.items()]
    job.hold("val", members)
    fitted: dict[Group, list[WeightFit]] = {}

    def score(groups: Sequence[Group]) -> list[float]:
        by_seed = [_fit(caches, groups) for caches in job.caches["val"]]
        fitted.update(zip(groups, zip(*by_seed, strict=True), strict=True))
        return [float(np.mean([fit.nll for fit in fitted[group]])) for group in groups]

    samples = min(len(next(iter(caches.values()))) for caches in job.caches["val"])
    found = choose_sidekicks(sorted(costs), costs, budgets, score, 1 / samples)
    chosen = {place: _key(group) for place, group in found.items()}
    job.hold("val", [])
    for group in sorted({group for group in chosen.values() if len(group) > 2 and model in group}):
        _Group(job, group, fitted[group], fitted[group[:1]], costs, recipes).evaluate()
    for (_, budget), group in sorted(chosen.items()):
        place = {**job.facts, **_identity(group, recipes)._asdict(), "budget": budget}
        note = None if len(group) > 1 else "no sidekick fits and helps on val"
        for seed, fit in zip(job.seeds, fitted[group], strict=True):
            job.fits.append({**place, "seed": seed, "val_nll": fit.nll, "note": note})


def _key(group: Group) -> Group:
    """Forget the order of sidekicks, which does not matter to a fit."""
    return (group[0], *sorted(group[1:]))


def _fit(caches: Mapping[Member, CachedLogits], groups: Sequence[Group]) -> list[WeightFit]:
    """Fit the weights of all groups on one seed's `val` logits."""
    members = list(caches)
    position = {member.model: index for index, member in enumerate(members)}
    return fit_combinations(
        [caches[member].logits for member in members],
        caches[members[0]].labels,
        [[position[model] for model in group] for group in groups],
    )


def _identity(group: Group, recipes: Mapping[str, str]) -> Identity:
    large, *sidekicks = group
    if not sidekicks:
        return scaled(Member(large, recipes[large]))
    recipe = "+".join(dict.fromkeys(recipes[model] for model in group))
    # Pairs are counted by themselves.
    variant = "weighted" if len(sidekicks) == 1 else f"weighted_{len(sidekicks)}_sidekicks"
    return Identity("duo", variant, large, "+".join(sidekicks), recipe)


class _Group:
    """A large model and its sidekicks on all splits and seeds, against that model alone."""

    def __init__(
        self,
        job: Evaluation,
        group: Group,
        fits: Sequence[WeightFit],
        alone: Sequence[WeightFit],
        costs: Mapping[str, float],
        recipes: Mapping[str, str],
    ):
        self.job, self.group, self.fits, self.alone = job, group, fits, alone
        self.large_gmacs = costs[group[0]]
        self.extra_gmacs = sum(costs[model] for model in group[1:])
        self.members = [Member(model, recipes[model]) for model in group]
        self.identity = _identity(group, recipes)

    def evaluate(self) -> None:
        """Add the group's metrics, curves and fits to the job."""
        self.job.run(self.members, self._candidates)
        for seed, fit in zip(self.job.seeds, self.fits, strict=True):
            place = {**self.job.facts, "seed": seed, **self.identity._asdict()}
            for index, sidekick in enumerate(self.group[1:], start=1):
                self.job.fits.append(
                    {
                        **place,
                        "sidekick": sidekick,
                        "weight_large": float(fit.weights[0]),
                        "weight_small": float(fit.weights[index]),
                        "val_nll": fit.nll,
                        "iterations": fit.iterations,
                        "gradient_norm": fit.gradient_norm,
                        "small_at_zero": bool(fit.at_zero[index]),
                        "note": fit.note,
                    }
                )

    def _candidates(self, _, cells, __) -> dict[Identity, Candidate]:
        alone, together = [], []
        everyone = range(len(self.group))
        for cell, single, fit in zip(cells, self.alone, self.fits, strict=True):
            caches = [cell[member] for member in self.members]
            found, _ = combined_statistics(
                [cache.logits for cache in caches],
                caches[0].labels,
                [Combination([0], single.weights), Combination(everyone, fit.weights)],
            )
            alone.append(found[0])
            together.append(found[1])
        reference = scaled(self.members[0])
        return {
            reference: Candidate(alone, self.large_gmacs, published=False),
            self.identity: Candidate(
                together,
                self.large_gmacs + self.extra_gmacs,
                self.extra_gmacs / self.large_gmacs,
                reference,
            ),
        }
