"""Evaluate Monte-Carlo dropout: the mean of N passes and the accept/ignore rule."""

from collections.abc import Mapping, Sequence

import numpy as np

from sidekick.artifacts import read_json
from sidekick.errors import SidekickError
from sidekick.evaluation.curves import top_share_mean
from sidekick.evaluation.identity import Identity
from sidekick.evaluation.run import Candidate, Evaluation, Settings, as_list
from sidekick.logit_cache import CachedLogits
from sidekick.methods import mc_dropout
from sidekick.metrics import weighted_mean


def evaluate_mc_dropout(
    *,
    logits: Mapping[str, Sequence[str]],
    checkpoints: Sequence[str],
    flops: str,
    seeds: Sequence[int],
    passes: int,
    levels: Sequence[float],
    evaluation: Mapping,
    facts: Mapping[str, str],
    metrics: str,
    curves: str,
    fits: str,
) -> None:
    """Write the rows of one model's MC-dropout predictors.

    Parameters
    ----------
    logits
        `val`, `test` and `shift` to the `mc_dropout` recipe's caches (with features), per seed.
    checkpoints
        The recipe's checkpoints, of which only the heads are read.
    flops
        The model's FLOPs file.
    seeds, passes, levels, evaluation, facts
        From the config; `facts` names the model.
    metrics, curves, fits
        The Parquet files to write.
    """
    model = facts["model"]
    paths = {split: as_list(files) for split, files in logits.items()}
    job = Evaluation(paths, seeds, Settings(**evaluation), facts)
    heads = _load_heads(as_list(checkpoints), job)
    feature_gmacs = read_json(flops)["feature_gmacs"]
    one_pass = feature_gmacs + heads[0].gmacs
    all_passes = feature_gmacs + passes * heads[0].gmacs

    def identity(variant: str) -> Identity:
        return Identity("mc_dropout", variant, model, None, "mc_dropout")

    control = identity("deterministic")

    def predict(_, cells: Sequence[Mapping[str, CachedLogits]], weights):
        own = [cell[model] for cell in cells]
        certain = [
            mc_dropout.deterministic_probabilities(head, cache.features)
            for head, cache in zip(heads, own, strict=True)
        ]
        moments = [
            mc_dropout.sample_moments(head, cache.features, passes, job.rng(index))
            for index, (head, cache) in enumerate(zip(heads, own, strict=True))
        ]
        deterministic = [mc_dropout.as_prediction(p) for p in certain]
        mean = [mc_dropout.as_prediction(m.mean) for m in moments]
        candidates = {
            control: Candidate(deterministic, one_pass),
            identity(f"mean_{passes}"): Candidate(mean, all_passes, baseline=control),
        }
        labels = [cache.labels for cache in own]
        for level in levels:
            rule = [mc_dropout.interval_rule(m, level) for m in moments]
            kept = [
                kept_values(accepted, answer == y, w)
                for (accepted, answer), y, w in zip(rule, labels, weights, strict=True)
            ]
            matched = [
                matched_values(prediction.statistics(y), values, w)
                for prediction, y, values, w in zip(
                    deterministic, labels, kept, weights, strict=True
                )
            ]
            notes = {}
            if not all(accepted.any() for accepted, _ in rule):
                notes["selective_accuracy"] = "undefined for a seed: the rule accepts no sample"
            suffix = f"interval{round(100 * level)}"
            rival = identity(f"deterministic_at_{suffix}")
            candidates[rival] = Candidate([], one_pass, values=matched, notes=notes)
            candidates[identity(f"{suffix}_{passes}")] = Candidate(
                [], all_passes, baseline=rival, values=kept, notes=notes
            )
        return candidates

    job.run([model], predict)
    job.write(metrics, curves, fits)


def _load_heads(checkpoints: Sequence[str], job: Evaluation) -> list[mc_dropout.Head]:
    """Read the seeds' heads and refuse caches whose features they cannot read."""
    by_seed = {head.seed: head for head in map(mc_dropout.load_head, checkpoints)}
    missing = sorted(set(job.seeds) - set(by_seed))
    if missing:
        raise SidekickError(f"no MC-dropout checkpoint of seed {missing[0]} in {checkpoints}")
    heads = [by_seed[seed] for seed in job.seeds]
    for seeds in job.caches.values():
        for head, caches in zip(heads, seeds, strict=True):
            for cache in caches.values():
                width = 0 if cache.features is None else cache.features.shape[1]
                if width != len(head.scale):
                    raise SidekickError(
                        f"{cache.source}: {width} features per row, but the head of seed "
                        f"{head.seed} reads {len(head.scale)}"
                    )
    return heads


def kept_values(
    accepted: np.ndarray, correct: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Give coverage and accuracy of what the rule keeps, per resample; NaN if it keeps nothing."""
    share = weighted_mean(accepted, weights)
    hits = weighted_mean(accepted & correct, weights)
    accuracy = np.divide(hits, share, out=np.full_like(hits, np.nan), where=share > 0)
    return {"coverage": share, "selective_accuracy": accuracy}


def matched_values(statistics, kept: Mapping[str, np.ndarray], weights: np.ndarray):
    """Give the deterministic model's accuracy on its surest samples, as many as the rule keeps."""
    share = kept["coverage"]
    accuracy = top_share_mean(
        statistics.confidence, statistics.correct * 1.0, weights, share[:, None]
    )[:, 0]
    return {"coverage": share, "selective_accuracy": np.where(share > 0, accuracy, np.nan)}
