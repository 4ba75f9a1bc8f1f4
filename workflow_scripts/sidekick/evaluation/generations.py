"""Evaluate generated answers: a model alone, its cascades with other models, and its sweep.

An answer is right or wrong; there is no distribution over answers, and so nothing of duos,
temperatures and calibration. What tells right from wrong answers is a gate made of the tokens'
probabilities: see `sidekick.logit_cache.answers.GATES`.
"""

from collections.abc import Mapping, Sequence

from sidekick.artifacts import read_json
from sidekick.errors import SidekickError
from sidekick.evaluation.answer_cascades import (
    AnswerCascades,
    AnswerPair,
    choose_answer_thresholds,
)
from sidekick.evaluation.answer_sweep import AnswerSweep
from sidekick.evaluation.answers import add_risk_coverage, answer_candidates
from sidekick.evaluation.cascades import CascadeSettings
from sidekick.evaluation.identity import Identity, Member, base_recipe, joined_recipe
from sidekick.evaluation.run import Evaluation, Settings, as_list, gmacs_of
from sidekick.recipe_names import is_base


def evaluate_generations(
    *,
    answers: Mapping[str, Sequence[str]],
    flops: Sequence[str],
    model: str,
    partners: Sequence[str],
    sweep: Mapping[str, str] | None,
    seeds: Sequence[int],
    cascade: Mapping,
    evaluation: Mapping,
    facts: Mapping[str, str],
    metrics: str,
    curves: str,
    fits: str,
) -> None:
    """Write the rows of `model`, of its cascades and of its Gatekeeper sweep.

    Alone, a model's answers are ranked by every gate; the first, minus the mean entropy, is the
    Gatekeeper paper's, and the control of the others. Each cascade is compared with random
    deferral, and the recipes of a sweep with its cross-entropy control and with the model that it
    started from, as `sidekick.evaluation.gatekeeper` does it.

    Parameters
    ----------
    answers
        `val` and `test` to the files of generated answers: of all models as fine-tuned, and of
        `model` all recipes of its sweep.
    flops
        FLOPs files of `model` and of its sweep's large model.
    model
        Whose job it is.
    partners
        FLOPs files of the models of its pairs, in which the model with more GMACs is the large
        one.
    sweep
        `start` and `large` of its Gatekeeper sweep, if it has one.
    seeds, cascade, evaluation, facts
        From the config; `cascade` as `CascadeSettings`, whose gates are for choices only.
    metrics, curves, fits
        The Parquet files to write.

    Raises
    ------
    SidekickError
        If answers are missing, damaged, or to other questions than the rest, or a sweep's large
        model costs no more than its small one.
    """
    others = _counted(partners)
    counted = _counted(flops) | others
    paths = {split: as_list(files) for split, files in answers.items()}
    job = Evaluation(
        paths, seeds, Settings(**evaluation), facts, by="member", lazily=True, generated=True
    )
    bases = {}
    for name in counted:
        made = [key.recipe for key in job.keys if key.model == name]
        if not any(map(is_base, made)):
            raise SidekickError(f"no answers of model '{name}' as fine-tuned")
        bases[name] = Member(name, base_recipe(made))
    costs = {name: gmacs_of(counted, name) for name in counted}
    settings = CascadeSettings(**{**cascade, "gates": ()})
    _add_alone(job, bases[model], costs[model])
    for partner in others:
        # Equal costs are possible; the name then decides, so that both orders agree.
        small, large = sorted((model, partner), key=lambda name: (costs[name], name))
        _add_pair(job, bases[small], bases[large], (costs[small], costs[large]), settings)
    if sweep is not None:
        _add_sweep(job, bases[model], bases[sweep["large"]], sweep["start"], costs, settings)
    job.write(metrics, curves, fits)


def _counted(flops: Sequence[str]) -> dict[str, dict]:
    """Read FLOPs files: model to content."""
    return {entry["facts"]["model"]: entry for entry in map(read_json, as_list(flops))}


def _add_alone(job: Evaluation, member: Member, gmacs: float) -> None:
    def predict(_, cells, weights):
        answers = [cell[member] for cell in cells]
        add_risk_coverage(job, member, answers)
        return answer_candidates(member, answers, weights, gmacs)

    job.run([member], predict)


def _add_pair(
    job: Evaluation,
    small: Member,
    large: Member,
    costs: tuple[float, float],
    settings: CascadeSettings,
) -> None:
    def identity(predictor: str, variant: str) -> Identity:
        recipe = joined_recipe(large.recipe, small.recipe)
        return Identity(predictor, variant, large.model, small.model, recipe)

    job.hold("val", [small, large])
    val = [AnswerPair(seed[small], seed[large]) for seed in job.caches["val"]]
    chosen = [choose_answer_thresholds(own, costs, settings) for own in val]
    cascades = AnswerCascades(job, identity, costs, chosen)

    def predict(_, cells, weights):
        pairs = [AnswerPair(cell[small], cell[large]) for cell in cells]
        return cascades.candidates(pairs, weights, job.rng())

    job.run([small, large], predict)
    for index, seed in enumerate(job.seeds):
        place = {**job.facts, "seed": seed}
        job.fits += [{**place, **row} for row in cascades.fit_rows(index)]


def _add_sweep(
    job: Evaluation,
    base: Member,
    large: Member,
    start: str,
    costs: Mapping[str, float],
    settings: CascadeSettings,
) -> None:
    both = costs[base.model], costs[large.model]
    if both[0] >= both[1]:
        raise SidekickError(
            f"gatekeeper.pairs.{base.model}.large: '{large.model}' takes {both[1]:g} GMACs, no "
            f"more than '{base.model}' with {both[0]:g}; a cascade defers to a larger model"
        )
    alphas = [
        key for key in job.keys if key.model == base.model and key.recipe.startswith("gatekeeper_")
    ]
    AnswerSweep(job, Member(base.model, start), alphas, large, both, settings).evaluate()
