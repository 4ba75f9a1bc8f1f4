"""Evaluate a Gatekeeper sweep of a model that generates its answers."""

from collections.abc import Mapping, Sequence
from functools import partial

from sidekick.evaluation.answer_cascades import (
    AnswerCascades,
    AnswerPair,
    choose_answer_thresholds,
)
from sidekick.evaluation.answers import PLAIN, answer_candidates
from sidekick.evaluation.cascades import CascadeSettings
from sidekick.evaluation.identity import Identity, Member, joined_recipe
from sidekick.evaluation.run import Candidate, Evaluation
from sidekick.evaluation.sweep_controls import SweepControls
from sidekick.metrics import evaluate_deferral, unit_weights
from sidekick.recipe_names import CE_CONTROL, GATEKEEPER_CHOSEN

# What the training is about.
_GATES = (PLAIN,)


class AnswerSweep:
    """All recipes of a sweep of one small model, on all seeds, as `evaluate_gatekeeper` has them.

    Parameters
    ----------
    job
        An evaluation of generated answers whose files are told apart by member.
    untuned
        The small model as the sweep started from it; its own rows other jobs write.
    alphas
        The small model at each alpha.
    large
        What cascades defer to.
    costs
        GMACs of the small and of the large model.
    settings
        Which thresholds to choose.
    """

    def __init__(
        self,
        job: Evaluation,
        untuned: Member,
        alphas: Sequence[Member],
        large: Member,
        costs: tuple[float, float],
        settings: CascadeSettings,
    ):
        self.job, self.large, self.costs, self.alphas = job, large, costs, alphas
        control = Member(untuned.model, CE_CONTROL)
        # The controls first: the others' baselines are among their candidates.
        self.members = [untuned, control, *alphas]
        job.hold("val", [large, *self.members])
        pairs = [
            {member: AnswerPair(seed[member], seed[large]) for member in self.members}
            for seed in job.caches["val"]
        ]
        self.areas = [{alpha: _area(own[alpha]) for alpha in alphas} for own in pairs]
        # Of equal areas the smallest alpha's.
        self.chosen = [max(alphas, key=areas.get) for areas in self.areas]
        remarks = {member: self._collapse(member) for member in self.members}
        self.controls = SweepControls(untuned, [control], large.recipe, False, remarks)
        self.cascades = {
            member: AnswerCascades(
                job,
                partial(self._identity, member),
                costs,
                [
                    choose_answer_thresholds(own[self._of_seed(member, seed)], costs, settings)
                    for seed, own in enumerate(pairs)
                ],
                _GATES,
                published=member != untuned,
            )
            for member in [*self.members, Member(untuned.model, GATEKEEPER_CHOSEN)]
        }
        job.hold("val", [])

    def evaluate(self) -> None:
        """Add metrics, curves and fits to the job."""
        self.job.run([self.large, *self.members], self._candidates)
        for index, seed in enumerate(self.job.seeds):
            place = {**self.job.facts, "seed": seed}
            for member, cascades in self.cascades.items():
                if member != self.controls.untuned:
                    self.job.fits += [{**place, **row} for row in cascades.fit_rows(index)]
            chosen, areas = self.chosen[index], self.areas[index]
            told = ", ".join(f"{member.recipe} {area:.5f}" for member, area in areas.items())
            identity = self._identity(Member(chosen.model, GATEKEEPER_CHOSEN), "cascade", PLAIN)
            note = f"chose {chosen.recipe} by the area on val: {told}"
            self.job.fits.append({**place, **identity._asdict(), "note": note})

    def _of_seed(self, member: Member, seed: int) -> Member:
        return self.chosen[seed] if member.recipe == GATEKEEPER_CHOSEN else member

    def _identity(self, member: Member, predictor: str, variant: str) -> Identity:
        recipe = joined_recipe(self.large.recipe, member.recipe)
        return Identity(predictor, variant, self.large.model, member.model, recipe)

    def _collapse(self, member: Member) -> str | None:
        """Say in which seeds a recipe's network answers nothing right any more."""
        seeds = [
            str(seed)
            for seed, caches in zip(self.job.seeds, self.job.caches["val"], strict=True)
            if not caches[member].correct.any()
        ]
        if not seeds:
            return None
        return f"collapsed (seed {', '.join(seeds)}): no answer on val is right"

    def _candidates(self, _, cells, weights) -> Mapping[Identity, Candidate]:
        found: dict[Identity, Candidate] = {}
        for member, cascades in self.cascades.items():
            answers = [cell[self._of_seed(member, seed)] for seed, cell in enumerate(cells)]
            pairs = [
                AnswerPair(own, cell[self.large]) for own, cell in zip(answers, cells, strict=True)
            ]
            new = answer_candidates(member, answers, weights, self.costs[0], _GATES)
            new |= cascades.candidates(pairs, weights, self.job.rng())
            found |= dict(self.controls.compared(member, new))
        return found


def _area(pair: AnswerPair) -> float:
    """Give the area under the deferral curve on the given samples."""
    small, large = pair.small.correct, pair.large.correct
    weights = unit_weights(len(small))
    found = evaluate_deferral(pair.small.gates[PLAIN], small, large, weights)
    return float(found.deferral_area[0])
