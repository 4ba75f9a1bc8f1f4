"""Evaluate one model on its own: raw, temperature-scaled, in ensembles, as soups, distilled."""

from collections.abc import Mapping, Sequence

import numpy as np

from sidekick.artifacts import read_json
from sidekick.evaluation.board import Identity
from sidekick.evaluation.run import SPLITS, Candidate, Evaluation, Settings, as_list, gmacs_of
from sidekick.logit_cache import CachedLogits, require_same_samples
from sidekick.methods import controls
from sidekick.methods.ensemble import ensemble
from sidekick.methods.prediction import Prediction
from sidekick.methods.temperature import fit_temperature, scale
from sidekick.methods.weight_fit import WeightFit
from sidekick.metrics import evaluate_statistics, sample_statistics, unit_weights

# The recipe that every other one of a model is measured against.
_CONTROL = "finetune"


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
    trial_ensemble: Mapping | None = None,
) -> None:
    """Write the rows of one model's own predictors.

    The model as fine-tuned is scored raw and temperature-scaled, with controls and as an ensemble
    of its seeds. Every other recipe is compared with it: a soup at the same cost, an ensemble of
    the best trials at a multiple, a distilled model that was trained otherwise.

    Parameters
    ----------
    logits
        `val`, `test` and `shift` to the model's logit files, one per recipe and seed.
    flops
        The model's FLOPs file.
    seeds, evaluation, facts
        From the config; `facts` names the model.
    metrics, curves, fits
        The Parquet files to write.
    trial_ensemble
        `size`, and the `metric` on `val` by which that many of the recipes `trial…` are chosen
        for each seed; or None.

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
    found = sorted(job.caches["val"][0])
    kept = [recipe for recipe in found if not recipe.startswith("trial")]
    temperatures = {
        recipe: [fit_temperature(c[recipe].logits, c[recipe].labels) for c in job.caches["val"]]
        for recipe in kept
    }
    best = [_best_trials(caches, trial_ensemble) for caches in job.caches["val"]]

    def predict(_, cells, __) -> dict[Identity, Candidate]:
        candidates: dict[Identity, Candidate] = {}
        # The control first: the others' baselines are among its candidates.
        for recipe in sorted(kept, key=lambda recipe: recipe != _CONTROL):
            members = [cell[recipe].logits.astype(np.float64) for cell in cells]
            fitted = temperatures[recipe]
            scaled = [scale(z, fit) for z, fit in zip(members, fitted, strict=True)]
            if recipe.startswith("soup_"):
                candidates |= _soup(model, recipe, scaled, gmacs)
            else:
                candidates |= _trained(model, recipe, members, scaled, gmacs)
            if recipe == _CONTROL:
                labels = [cell[recipe].labels for cell in cells]
                candidates |= _orderings(model, scaled, labels, job.rng(), gmacs)
        if trial_ensemble:
            candidates |= _ensemble_of_trials(model, cells, best, gmacs)
        return candidates

    job.run(found, predict)
    for recipe, fitted in temperatures.items():
        for seed, fit in zip(job.seeds, fitted, strict=True):
            place = {**job.facts, "seed": seed, **_scaled(model, recipe)._asdict()}
            job.fits.append({**place, **temperature_row(fit)})
    job.write(metrics, curves, fits)


def _raw(model: str, recipe: str = _CONTROL) -> Identity:
    return Identity("single", "raw", model, None, recipe)


def _scaled(model: str, recipe: str = _CONTROL) -> Identity:
    if recipe.startswith("soup_"):
        return Identity("soup", recipe.removeprefix("soup_"), model, None, recipe)
    return Identity("temperature", "scaled", model, None, recipe)


def _trained(
    model: str,
    recipe: str,
    members: Sequence[np.ndarray],
    scaled: Sequence[Prediction],
    gmacs: float,
) -> dict[Identity, Candidate]:
    """Give the model of each seed, raw and scaled, and the ensemble of all seeds.

    A recipe other than fine-tuning is compared with fine-tuning, like with like.
    """
    raw, best = _raw(model, recipe), _scaled(model, recipe)
    is_control = recipe == _CONTROL
    candidates = {
        raw: Candidate(
            [Prediction(z) for z in members], gmacs, baseline=None if is_control else _raw(model)
        ),
        best: Candidate(scaled, gmacs, baseline=raw if is_control else _scaled(model)),
    }
    if len(members) > 1:
        identity = Identity("ensemble", "mean_softmax", model, None, recipe)
        candidates[identity] = Candidate([ensemble(members)], len(members) * gmacs, baseline=best)
    return candidates


def _orderings(
    model: str,
    scaled: Sequence[Prediction],
    labels: Sequence[np.ndarray],
    rng: np.random.Generator,
    gmacs: float,
) -> dict[Identity, Candidate]:
    """Give the best and a random order of the scaled model's answers."""
    oracle = [controls.oracle_ordering(p, y) for p, y in zip(scaled, labels, strict=True)]
    random = [controls.random_ordering(p, rng) for p in scaled]
    return {
        Identity("temperature", f"{name}_ordering", model, None, _CONTROL): Candidate(
            predictions, gmacs, baseline=_scaled(model)
        )
        for name, predictions in (("oracle", oracle), ("random", random))
    }


def _soup(
    model: str, recipe: str, scaled: Sequence[Prediction], gmacs: float
) -> dict[Identity, Candidate]:
    """Give a soup, temperature-scaled as its control is: the best single trial."""
    return {_scaled(model, recipe): Candidate(scaled, gmacs, baseline=_scaled(model))}


def _ensemble_of_trials(
    model: str,
    cells: Sequence[Mapping[str, CachedLogits]],
    best: Sequence[Sequence[str]],
    gmacs: float,
) -> dict[Identity, Candidate]:
    size = len(best[0])
    predictions = [
        ensemble([cell[trial].logits for trial in chosen])
        for cell, chosen in zip(cells, best, strict=True)
    ]
    identity = Identity("ensemble", f"best_{size}_trials", model, None, _CONTROL)
    return {identity: Candidate(predictions, size * gmacs, baseline=_scaled(model))}


def _best_trials(
    caches: Mapping[str, CachedLogits], trial_ensemble: Mapping | None
) -> Sequence[str]:
    """Choose one seed's trials on `val`; of equal ones the first."""
    if not trial_ensemble:
        return ()

    def score(trial: str) -> float:
        cache = caches[trial]
        statistics = sample_statistics(cache.logits.astype(np.float64), cache.labels)
        values = evaluate_statistics(statistics, unit_weights(len(cache)))
        return float(values[trial_ensemble["metric"]][0])

    trials = [recipe for recipe in sorted(caches) if recipe.startswith("trial")]
    return sorted(trials, key=score, reverse=True)[: trial_ensemble["size"]]


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
