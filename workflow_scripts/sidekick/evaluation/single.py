"""Evaluate one model on its own: raw, temperature-scaled, in ensembles, as soups, distilled."""

from collections.abc import Mapping, Sequence

import numpy as np

from sidekick.artifacts import read_json
from sidekick.evaluation.identity import Identity, Member, base_recipe, raw, scaled
from sidekick.evaluation.run import SPLITS, Candidate, Evaluation, Settings, as_list, gmacs_of
from sidekick.logit_cache import require_same_samples
from sidekick.methods import controls
from sidekick.methods.ensemble import ensemble
from sidekick.methods.prediction import Prediction
from sidekick.methods.temperature import fit_temperature, scale
from sidekick.methods.weight_fit import WeightFit
from sidekick.recipe_names import TRIAL_ENSEMBLE, is_base


def evaluate_single(
    *,
    logits: Mapping[str, Sequence[str]],
    flops: str,
    seeds: Sequence[int],
    evaluation: Mapping,
    facts: Mapping[str, str],
    metrics: str,
    curves: str,
    fits: str,
    parts: str,
) -> None:
    """Write the rows of one model's own predictors.

    The model as fine-tuned (or imported) is scored raw and temperature-scaled, with controls and
    as an ensemble of its seeds. Every other recipe is compared with it: a soup at the same cost,
    an ensemble of the best trials at a multiple, a distilled model that was trained otherwise.

    Parameters
    ----------
    logits
        `val`, `test` and `shift` to the model's logit files, one per recipe and seed.
    flops
        The model's FLOPs file.
    seeds, evaluation, facts
        From the config; `facts` names the model.
    metrics, curves, fits, parts
        The Parquet files to write.

    Raises
    ------
    SidekickError
        If logits are missing, damaged, or of other samples than the rest.
    """
    model = facts["model"]
    gmacs = gmacs_of({model: read_json(flops)}, model)
    paths = {split: as_list(files) for split, files in logits.items()}
    job = Evaluation(paths, seeds, Settings(**evaluation), facts, by="recipe")
    _require_shared_samples(job)
    control = Member(model, base_recipe(job.keys))
    # The control first: the others' baselines are among its candidates.
    recipes = sorted(job.keys, key=lambda recipe: recipe != control.recipe)
    temperatures = {
        recipe: [fit_temperature(c[recipe].logits, c[recipe].labels) for c in job.caches["val"]]
        for recipe in recipes
    }

    def predict(_, cells, __) -> dict[Identity, Candidate]:
        candidates: dict[Identity, Candidate] = {}
        for recipe in recipes:
            member, cost = Member(model, recipe), gmacs * job.passes[recipe]
            members = [cell[recipe].logits.astype(np.float64) for cell in cells]
            fitted = temperatures[recipe]
            best = [scale(z, fit) for z, fit in zip(members, fitted, strict=True)]
            if recipe.startswith("soup_"):
                candidates[scaled(member)] = Candidate(best, cost, baseline=scaled(control))
            elif recipe == TRIAL_ENSEMBLE:
                plain = [Prediction(z) for z in members]
                candidates[raw(member)] = Candidate(plain, cost, baseline=scaled(control))
                candidates[scaled(member)] = Candidate(best, cost, baseline=scaled(control))
            else:
                candidates |= _trained(member, control, members, best, cost)
            if member == control:
                labels = [cell[recipe].labels for cell in cells]
                candidates |= _orderings(control, best, labels, job.rng(), cost)
        return candidates

    job.run(job.keys, predict)
    for recipe, fitted in temperatures.items():
        for seed, fit in zip(job.seeds, fitted, strict=True):
            place = {**job.facts, "seed": seed, **scaled(Member(model, recipe))._asdict()}
            job.fits.append({**place, **temperature_row(fit)})
    job.write(metrics, curves, fits, parts)


def _trained(
    member: Member,
    control: Member,
    members: Sequence[np.ndarray],
    best: Sequence[Prediction],
    gmacs: float,
) -> dict[Identity, Candidate]:
    """Give the model of each seed, raw and scaled, and the ensemble of all seeds.

    A recipe other than the base one is compared with that, like with like.
    """
    is_control = is_base(member.recipe)
    plain = [Prediction(z) for z in members]
    candidates = {
        raw(member): Candidate(plain, gmacs, baseline=None if is_control else raw(control)),
        scaled(member): Candidate(
            best, gmacs, baseline=raw(member) if is_control else scaled(control)
        ),
    }
    if len(members) > 1:
        identity = Identity("ensemble", "mean_softmax", member.model, None, member.recipe)
        candidates[identity] = Candidate(
            [ensemble(members)], len(members) * gmacs, baseline=scaled(member)
        )
    return candidates


def _orderings(
    control: Member,
    best: Sequence[Prediction],
    labels: Sequence[np.ndarray],
    rng: np.random.Generator,
    gmacs: float,
) -> dict[Identity, Candidate]:
    """Give the best and a random order of the scaled model's answers."""
    oracle = [controls.oracle_ordering(p, y) for p, y in zip(best, labels, strict=True)]
    random = [controls.random_ordering(p, rng) for p in best]
    return {
        Identity("temperature", f"{name}_ordering", control.model, None, control.recipe): Candidate(
            predictions, gmacs, baseline=scaled(control)
        )
        for name, predictions in (("oracle", oracle), ("random", random))
    }


def _require_shared_samples(job: Evaluation) -> None:
    """Refuse seeds that were tested on different samples: an ensemble of them has no test set."""
    for split in SPLITS:
        first, *others = [next(iter(caches.values())) for caches in job.caches[split]]
        for other in others:
            require_same_samples(first, other)


def temperature_row(fit: WeightFit) -> dict:
    """Describe the fit of a single temperature."""
    weight = float(fit.weights[0])
    return {
        "weight_large": weight,
        "divisor_large": 1 / weight if weight > 0 else float("inf"),
        "val_nll": fit.nll,
        "iterations": fit.iterations,
        "gradient_norm": fit.gradient_norm,
        "note": fit.note,
    }
