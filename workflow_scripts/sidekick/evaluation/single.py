"""Evaluate one model on its own: raw, temperature-scaled, as an ensemble of its seeds."""

from collections.abc import Mapping, Sequence

import numpy as np

from sidekick.artifacts import read_json
from sidekick.evaluation.board import Identity
from sidekick.evaluation.run import SPLITS, Candidate, Evaluation, Settings, as_list, gmacs_of
from sidekick.logit_cache import require_same_samples
from sidekick.methods import controls
from sidekick.methods.ensemble import ensemble
from sidekick.methods.prediction import Prediction
from sidekick.methods.temperature import fit_temperature, scale
from sidekick.methods.weight_fit import WeightFit


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
) -> None:
    """Write the rows of one model's own predictors.

    Parameters
    ----------
    logits
        `val`, `test` and `shift` to the model's logit files, one per seed.
    flops
        The model's FLOPs file.
    seeds, evaluation, facts
        From the config; `facts` names the model.
    metrics, curves, fits
        The Parquet files to write.
    """
    model = facts["model"]
    gmacs = gmacs_of({model: read_json(flops)}, model)
    paths = {split: as_list(files) for split, files in logits.items()}
    job = Evaluation(paths, seeds, Settings(**evaluation), facts)
    _require_shared_samples(job, model)
    temperatures = [fit_temperature(c[model].logits, c[model].labels) for c in job.caches["val"]]

    def identity(predictor: str, variant: str) -> Identity:
        return Identity(predictor, variant, model, None, "finetune")

    raw = identity("single", "raw")
    scaled = identity("temperature", "scaled")

    def predict(_, cells, weights) -> dict[Identity, Candidate]:
        members = [cell[model].logits.astype(np.float64) for cell in cells]
        scaled_predictions = [scale(z, f) for z, f in zip(members, temperatures, strict=True)]
        labels = [cell[model].labels for cell in cells]
        rng = job.rng()
        oracle = [
            controls.oracle_ordering(p, y) for p, y in zip(scaled_predictions, labels, strict=True)
        ]
        random = [controls.random_ordering(p, rng) for p in scaled_predictions]
        candidates = {
            raw: Candidate([Prediction(z) for z in members], gmacs),
            scaled: Candidate(scaled_predictions, gmacs, baseline=raw),
            identity("temperature", "oracle_ordering"): Candidate(oracle, gmacs, baseline=scaled),
            identity("temperature", "random_ordering"): Candidate(random, gmacs, baseline=scaled),
        }
        if len(members) > 1:
            candidates[identity("ensemble", "mean_softmax")] = Candidate(
                [ensemble(members)], len(members) * gmacs, baseline=scaled
            )
        return candidates

    job.run([model], predict)
    for seed, fit in zip(job.seeds, temperatures, strict=True):
        row = temperature_row(fit)
        job.fits.append({**job.facts, "seed": seed, **scaled._asdict(), **row})
    job.write(metrics, curves, fits)


def _require_shared_samples(job: Evaluation, model: str) -> None:
    """Refuse seeds that were tested on different samples: an ensemble of them has no test set."""
    for split in SPLITS:
        first, *others = [caches[model] for caches in job.caches[split]]
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
