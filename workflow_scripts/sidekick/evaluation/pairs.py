"""Evaluate pairs of models: duos and cascades, against their matched controls."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sidekick.artifacts import read_json
from sidekick.errors import SidekickError
from sidekick.evaluation.cascades import (
    NENT,
    CascadeChoice,
    CascadeSettings,
    PairCascades,
    choose_cascades,
)
from sidekick.evaluation.committees import add_committees
from sidekick.evaluation.identity import Identity, Member, base_recipe, joined_recipe, scaled
from sidekick.evaluation.run import Candidate, Evaluation, Settings, as_list, gmacs_of
from sidekick.evaluation.stages import add_stages
from sidekick.methods import controls, duo
from sidekick.methods.pair import PairFits, fit_pairs, pair_statistics
from sidekick.recipe_names import TRIAL_ENSEMBLE, is_base

# Pairs whose weights are fitted together: of so many partners the `val` logits are held at once.
_FITTED_TOGETHER = 4
# What is scored where a recipe other than the base one is involved.
_DUOS = ("weighted", "unweighted", "uq_only")


@dataclass(frozen=True)
class _Decided:
    """What one seed's `val` split decides: nothing here ever sees `test`."""

    fits: PairFits
    cascades: CascadeChoice | None


def evaluate_pairs(
    *,
    logits: Mapping[str, Sequence[str]],
    flops: Sequence[str],
    model: str,
    seeds: Sequence[int],
    cascade: Mapping,
    budgets: Sequence[float],
    evaluation: Mapping,
    facts: Mapping[str, str],
    metrics: str,
    curves: str,
    fits: str,
    parts: str,
) -> None:
    """Write the rows of all pairs of `model` with the other models whose logits are given.

    Two models are paired as fine-tuned (or imported), with all methods and controls. Duos are
    scored for their other recipes as well: each of one model beside the other's base recipe, and
    both models of the same recipe. An ensemble of trials can only be the large one. Duos with
    several sidekicks and cascades of three stages are chosen among all models whose logits are
    given.

    Parameters
    ----------
    logits
        `val`, `test` and `shift` to the logit files of all the models, their recipes and seeds.
    flops
        The models' FLOPs files; of each pair the model with more GMACs is the large one.
    model
        The model that is in every pair.
    seeds, cascade, evaluation, facts
        From the config; `cascade` as `CascadeSettings`.
    budgets
        What duos with several sidekicks may cost, as multiples of the large model's cost.
    metrics, curves, fits, parts
        The Parquet files to write.

    Raises
    ------
    SidekickError
        If logits are missing, damaged, or of other samples than the rest.
    """
    counted = {entry["facts"]["model"]: entry for entry in map(read_json, as_list(flops))}
    paths = {split: as_list(files) for split, files in logits.items()}
    job = Evaluation(paths, seeds, Settings(**evaluation), facts, by="member", lazily=True)
    recipes = {name: [key.recipe for key in job.keys if key.model == name] for name in counted}
    for name, own in recipes.items():
        if not any(map(is_base, own)):
            raise SidekickError(f"no logits of model '{name}' as fine-tuned or imported")
    costs = {key: job.passes[key] * gmacs_of(counted, key.model) for key in job.keys}
    settings = CascadeSettings(**cascade)
    pairs: list[tuple[Member, Member]] = []
    for partner in counted:
        if partner != model:
            # Equal costs are possible; the name then decides, so that both orders agree.
            small, large = sorted((model, partner), key=lambda m: (gmacs_of(counted, m), m))
            pairs += _recipe_pairs(large, small, recipes)
    for first in range(0, len(pairs), _FITTED_TOGETHER):
        together = pairs[first : first + _FITTED_TOGETHER]
        decided = _decide(job, together, costs, settings)
        for (large, small), own in zip(together, decided, strict=True):
            _Pair(job, small, large, (costs[small], costs[large]), own, settings.gates).evaluate()
    bases = {name: base_recipe(own) for name, own in recipes.items()}
    gmacs = {name: gmacs_of(counted, name) for name in counted}
    if budgets:
        add_committees(job, model, bases, gmacs, budgets)
    if settings.budgets:
        add_stages(job, model, bases, gmacs, settings.budgets)
    job.write(metrics, curves, fits, parts)


def _recipe_pairs(
    large: str, small: str, recipes: Mapping[str, Sequence[str]]
) -> Iterator[tuple[Member, Member]]:
    """Pair the recipes of two models: base with base first, then the others."""
    bases = base_recipe(recipes[large]), base_recipe(recipes[small])
    yield Member(large, bases[0]), Member(small, bases[1])
    for recipe in recipes[large]:
        if recipe != bases[0]:
            yield Member(large, recipe), Member(small, bases[1])
    for recipe in recipes[small]:
        if recipe not in (bases[1], TRIAL_ENSEMBLE):
            yield Member(large, bases[0]), Member(small, recipe)
            if recipe in recipes[large]:
                yield Member(large, recipe), Member(small, recipe)


def _decide(
    job: Evaluation,
    pairs: Sequence[tuple[Member, Member]],
    costs: Mapping[Member, float],
    settings: CascadeSettings,
) -> list[list[_Decided]]:
    """Fit weights and cascades of some pairs (large, small) on `val`: per pair and seed."""
    job.hold("val", sorted({member for pair in pairs for member in pair}))
    decided: list[list[_Decided]] = [[] for _ in pairs]
    for caches in job.caches["val"]:
        logits = {member: cache.logits for member, cache in caches.items()}
        labels = next(iter(caches.values())).labels
        smalls = {small for _, small in pairs}
        orders = {small: controls.noise_order(logits[small], job.rng()) for small in smalls}
        fits = fit_pairs(logits, labels, pairs, orders)
        for own, fit, (large, small) in zip(decided, fits, pairs, strict=True):
            choice = None
            if is_base(large.recipe) and is_base(small.recipe):
                scored = pair_statistics(logits[large], logits[small], orders[small], labels, fit)
                both = costs[small], costs[large]
                choice = choose_cascades(logits[small], labels, scored, both, settings)
            own.append(_Decided(fit, choice))
    return decided


class _Pair:
    """One pair on all splits and seeds."""

    def __init__(
        self,
        job: Evaluation,
        small: Member,
        large: Member,
        costs: tuple[float, float],
        decided: Sequence[_Decided],
        gates: Sequence[str],
    ):
        self.job, self.small, self.large = job, small, large
        self.gates = gates
        self.small_gmacs, self.large_gmacs = costs
        self.balance = self.small_gmacs / self.large_gmacs
        self.decided = decided
        self.recipe = joined_recipe(large.recipe, small.recipe)
        self.reference = scaled(large)
        self.cascades = None
        if is_base(self.recipe):
            choices = [own.cascades for own in decided]
            self.cascades = PairCascades(job, self._identity, costs, choices)

    def evaluate(self) -> None:
        """Add the pair's metrics, curves and fits to the job."""
        self.job.run([self.small, self.large], self._candidates)
        for seed, decided in zip(self.job.seeds, self.decided, strict=True):
            self.job.fits += [
                {**self.job.facts, "seed": seed, **row} for row in self._fit_rows(decided)
            ]

    def _identity(self, predictor: str, variant: str) -> Identity:
        return Identity(predictor, variant, self.large.model, self.small.model, self.recipe)

    def _candidates(self, split, cells, weights) -> dict[Identity, Candidate]:
        rng = self.job.rng()
        scored = []
        for cell, decided in zip(cells, self.decided, strict=True):
            large, small = cell[self.large], cell[self.small]
            order = controls.noise_order(small.logits, rng)
            scored.append(
                pair_statistics(large.logits, small.logits, order, large.labels, decided.fits)
            )
        large = [own.large for own in scored]
        candidates = {self.reference: Candidate(large, self.large_gmacs, published=False)}
        for variant in scored[0].duos if is_base(self.recipe) else _DUOS:
            candidates[self._identity("duo", variant)] = Candidate(
                [own.duos[variant] for own in scored],
                self.small_gmacs + self.large_gmacs,
                self.balance,
                self.reference,
            )
        if self.cascades is not None:
            smalls = [cell[self.small] for cell in cells]
            logits = [small.logits for small in smalls]
            known = {}
            if NENT in self.gates and all(small.entropy is not None for small in smalls):
                known[NENT] = [-small.entropy for small in smalls]
            candidates |= self.cascades.candidates(split, logits, scored, weights, rng, known)
        return candidates

    def _fit_rows(self, decided: _Decided):
        fits = decided.fits
        found = {"weighted": fits.duo}
        if is_base(self.recipe):
            found["noise_sidekick"] = fits.noise_duo
        for variant, own in found.items():
            divisors = duo.divisors(own.weights)
            yield {
                **self._identity("duo", variant)._asdict(),
                "sidekick": self.small.model,
                "weight_large": float(own.weights[0]),
                "weight_small": float(own.weights[1]),
                "divisor_large": float(divisors[0]),
                "divisor_small": float(divisors[1]),
                "val_nll": own.nll,
                "iterations": own.iterations,
                "gradient_norm": own.gradient_norm,
                "small_at_zero": bool(own.at_zero[1]),
                "note": own.note,
            }
        if self.cascades is not None:
            yield from self.cascades.fit_rows(decided.cascades)
