"""Evaluate a Gatekeeper sweep: every alpha, against plain fine-tuning of as many steps."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from sidekick.artifacts import read_json
from sidekick.errors import SidekickError
from sidekick.evaluation.cascades import (
    PLAIN,
    CascadeSettings,
    PairCascades,
    choose_cascades,
)
from sidekick.evaluation.confidence_curves import density_points, roc_points
from sidekick.evaluation.identity import Identity, Member, base_recipe, joined_recipe, scaled
from sidekick.evaluation.run import Candidate, Evaluation, Settings, as_list, gmacs_of
from sidekick.evaluation.sweep_controls import SweepControls
from sidekick.logit_cache import CachedLogits
from sidekick.methods import controls
from sidekick.methods.collapse import find_collapse
from sidekick.methods.pair import PairFits, PairStatistics, fit_pairs, pair_statistics
from sidekick.metrics import evaluate_deferral, unit_weights
from sidekick.recipe_names import CE_CONTROL, GATEKEEPER_CHOSEN, is_base, is_hedged


def evaluate_gatekeeper(
    *,
    logits: Mapping[str, Sequence[str]],
    flops: Sequence[str],
    small: str,
    large: str,
    start: str,
    seeds: Sequence[int],
    cascade: Mapping,
    evaluation: Mapping,
    facts: Mapping[str, str],
    metrics: str,
    curves: str,
    fits: str,
    parts: str,
) -> None:
    """Write the rows of the cascades from a gatekept small model to a large one.

    Every alpha, and the one that each seed's `val` chose by the area under its deferral curve, is
    compared with the cross-entropy control; whole curves and the small model alone, in rows of the
    variants `…_vs_untuned`, also with the model that the sweep started from. Its own rows other
    jobs write, but for the cascades of a distilled start. The gate is max softmax, which is what
    the training is about.

    Parameters
    ----------
    logits
        `val`, `test` and `shift` to the logit files: of the small model the recipe `start`, the
        control and all alphas, of the large one its base recipe.
    flops
        Both models' FLOPs files.
    small, large
        The models.
    start
        The recipe that the sweep started from.
    seeds, cascade, evaluation, facts
        From the config; `cascade` as `CascadeSettings`.
    metrics, curves, fits, parts
        The Parquet files to write.

    Raises
    ------
    SidekickError
        If logits are missing, damaged, or of other samples than the rest.
    """
    counted = {entry["facts"]["model"]: entry for entry in map(read_json, as_list(flops))}
    paths = {split: as_list(files) for split, files in logits.items()}
    job = Evaluation(
        paths, seeds, Settings(**evaluation), facts, by="member", lazily=True, cells=False
    )
    costs = gmacs_of(counted, small), gmacs_of(counted, large)
    if costs[0] >= costs[1]:
        raise SidekickError(
            f"gatekeeper.pairs.{small}.large: '{large}' takes {costs[1]:g} GMACs, no more than "
            f"'{small}' with {costs[0]:g}; a cascade defers to a larger model"
        )
    reference = Member(large, base_recipe(key.recipe for key in job.keys if key.model == large))
    alphas = [
        key for key in job.keys if key.model == small and key.recipe.startswith("gatekeeper_")
    ]
    hedged = [key for key in job.keys if key.model == small and is_hedged(key.recipe)]
    points = CascadeSettings(**{**cascade, "gates": ()})
    _Sweep(job, Member(small, start), alphas, hedged, reference, costs, points).evaluate()
    job.write(metrics, curves, fits, parts)


class _Sweep:
    """All recipes of a sweep on all splits and seeds."""

    def __init__(
        self,
        job: Evaluation,
        untuned: Member,
        alphas: Sequence[Member],
        hedged: Sequence[Member],
        large: Member,
        costs: tuple[float, float],
        settings: CascadeSettings,
    ):
        self.job, self.untuned, self.large, self.costs = job, untuned, large, costs
        control = Member(untuned.model, CE_CONTROL)
        # Only base recipes have cascades in the job of their pair.
        self._start_is_ours = not is_base(untuned.recipe)
        # The controls first: the others' baselines are among their candidates.
        self.alphas = alphas
        # Like the control, these are compared with the untuned model.
        self.others = [control, *hedged]
        self.members = [untuned, *self.others, *self.alphas]
        job.hold("val", [large, *self.members])
        self.fits = [self._fit(caches) for caches in job.caches["val"]]
        scored = [
            {member: self._score(caches, member, fits, job.rng()) for member in self.members}
            for caches, fits in zip(job.caches["val"], self.fits, strict=True)
        ]
        self.areas = [{alpha: _area(own[alpha]) for alpha in self.alphas} for own in scored]
        # Of equal areas the smallest alpha's.
        self.chosen = [max(self.alphas, key=areas.get) for areas in self.areas]
        # What the chosen alpha's seeds are is told by the fits.
        collapsed = {member: self._collapse(member) for member in self.members}
        self.controls = SweepControls(
            untuned, self.others, large.recipe, self._start_is_ours, collapsed
        )
        self.cascades = {}
        for member in [*self.members, Member(untuned.model, GATEKEEPER_CHOSEN)]:
            choices = []
            for seed, caches in enumerate(job.caches["val"]):
                own = self._of_seed(member, seed)
                cache = caches[own]
                choices.append(
                    choose_cascades(cache.logits, cache.labels, scored[seed][own], costs, settings)
                )
            identity = partial(self._identity, member)
            published = member != untuned or self._start_is_ours
            self.cascades[member] = PairCascades(job, identity, costs, choices, published)
        job.hold("val", [])

    def evaluate(self) -> None:
        """Add metrics, curves and fits to the job."""
        self.job.run([self.large, *self.members], self._candidates)
        for member, cascades in self.cascades.items():
            if member == self.untuned:
                continue
            for index, seed in enumerate(self.job.seeds):
                place = {**self.job.facts, "seed": seed}
                self.job.fits += [
                    {**place, **row} for row in cascades.fit_rows(cascades.choices[index])
                ]
        for seed, chosen, areas in zip(self.job.seeds, self.chosen, self.areas, strict=True):
            told = ", ".join(f"{member.recipe} {area:.5f}" for member, area in areas.items())
            identity = self._identity(Member(chosen.model, GATEKEEPER_CHOSEN), "cascade", PLAIN)
            note = f"chose {chosen.recipe} by the area on val: {told}"
            self.job.fits.append(
                {**self.job.facts, "seed": seed, **identity._asdict(), "note": note}
            )

    def _of_seed(self, member: Member, seed: int) -> Member:
        return self.chosen[seed] if member.recipe == GATEKEEPER_CHOSEN else member

    def _identity(self, member: Member, predictor: str, variant: str) -> Identity:
        recipe = joined_recipe(self.large.recipe, member.recipe)
        return Identity(predictor, variant, self.large.model, member.model, recipe)

    def _fit(self, caches: Mapping[Member, CachedLogits]) -> dict[Member, PairFits]:
        """Fit the duo of the large model with each recipe, on one seed's `val`."""
        logits = {member: cache.logits for member, cache in caches.items()}
        labels = caches[self.large].labels
        orders = {
            member: controls.noise_order(logits[member], self.job.rng()) for member in self.members
        }
        pairs = [(self.large, member) for member in self.members]
        return dict(zip(self.members, fit_pairs(logits, labels, pairs, orders), strict=True))

    def _score(self, caches, member: Member, fits, rng: np.random.Generator) -> PairStatistics:
        large, small = caches[self.large], caches[member]
        order = controls.noise_order(small.logits, rng)
        return pair_statistics(large.logits, small.logits, order, large.labels, fits[member])

    def _collapse(self, member: Member) -> str | None:
        """Say in which seeds a recipe's network has collapsed, and why."""
        told = []
        for seed, caches in zip(self.job.seeds, self.job.caches["val"], strict=True):
            found = find_collapse(caches[member].logits, caches[member].labels)
            if found.collapsed:
                told.append(f"collapsed (seed {seed}): {found.reason}")
        return "; ".join(told) or None

    def _candidates(self, split, cells, weights) -> dict[Identity, Candidate]:
        scored = {
            member: [
                self._score(cell, member, fits, self.job.rng())
                for cell, fits in zip(cells, self.fits, strict=True)
            ]
            for member in self.members
        }
        found: dict[Identity, Candidate] = {}
        for member, cascades in self.cascades.items():
            own = [self._of_seed(member, seed) for seed in range(len(cells))]
            stats = [scored[one][seed] for seed, one in enumerate(own)]
            logits = [cell[one].logits for cell, one in zip(cells, own, strict=True)]
            alone = {
                _alone(member): Candidate([one.unscaled for one in stats], self.costs[0]),
                scaled(member): Candidate([one.small for one in stats], self.costs[0]),
            }
            rng = self.job.rng()
            new = alone | cascades.candidates(split, logits, stats, weights, rng, {})
            found |= dict(self.controls.compared(member, new))
            if split == "test":
                self._add_confidence_curves(member, stats)
        return found

    def _add_confidence_curves(self, member: Member, stats: Sequence[PairStatistics]) -> None:
        place = {**self.job.facts, "split": "test", **_alone(member)._asdict()}
        own = [one.unscaled for one in stats]
        for name, points in (*density_points(own), ("roc", roc_points(own))):
            self.job.curves += [{**place, "curve": name, **point} for point in points]


def _alone(member: Member) -> Identity:
    return Identity("single", "raw", member.model, None, member.recipe)


def _area(scored: PairStatistics) -> float:
    """Give the area under the deferral curve on the given samples."""
    small, large = scored.small.correct, scored.large.correct
    weights = unit_weights(len(small))
    return float(evaluate_deferral(scored.confidence, small, large, weights).deferral_area[0])
