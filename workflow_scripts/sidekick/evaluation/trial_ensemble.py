"""The ensemble of a model's best trials, as logits of its own: a recipe like any other."""

from collections.abc import Mapping, Sequence

from sidekick.artifacts import read_facts
from sidekick.errors import SidekickError
from sidekick.logit_cache import CachedLogits, read_logits, require_same_samples, write_logits
from sidekick.methods.ensemble import ensemble
from sidekick.metrics import evaluate_statistics, sample_statistics, unit_weights
from sidekick.recipe_names import TRIAL_ENSEMBLE


def write_trial_ensemble(
    *,
    logits: Mapping[str, Sequence[str]],
    metric: str,
    size: int,
    facts: Mapping[str, object],
    outputs: Mapping[str, str],
) -> None:
    """Average the probabilities of the best trials of one model and seed.

    All trials of a seed share its splits, so `val` is unseen by every member and may decide about
    temperatures and weights. An ensemble over seeds has no such split: what is `val` to one seed
    trained another.

    Parameters
    ----------
    logits
        `val`, `test` and `shift` to the logit files of all trials.
    metric
        What the trials are chosen by, on `val`; of equal ones those that come first by name.
    size
        How many.
    facts
        What the files record about their origin; `members` and `trials` are added.
    outputs
        `val`, `test` and `shift` to the file to write: log probabilities of the ensemble.

    Raises
    ------
    SidekickError
        If logits are missing, damaged, or of other samples than the rest.
    """
    files = {split: _by_trial(paths) for split, paths in logits.items()}
    val = _read(files["val"], sorted(files["val"]))
    scores = {trial: _score(cache, metric) for trial, cache in val.items()}
    chosen = sorted(scores, key=lambda trial: scores[trial], reverse=True)[:size]
    if len(chosen) < size:
        raise SidekickError(f"an ensemble of {size} trials needs as many; there are {len(chosen)}")
    origin = {**facts, "recipe": TRIAL_ENSEMBLE, "members": size, "trials": chosen}
    for split, path in outputs.items():
        caches = val if split == "val" else _read(files[split], chosen)
        _write(path, [caches[trial] for trial in chosen], {**origin, "split": split})


def _by_trial(paths: Sequence[str]) -> dict[str, str]:
    return {read_facts(path)["recipe"]: path for path in paths}


def _read(files: Mapping[str, str], trials: Sequence[str]) -> dict[str, CachedLogits]:
    """Read some trials' caches, all rows in the order of the first one's."""
    found: dict[str, CachedLogits] = {}
    for trial in trials:
        cache = read_logits(files[trial])
        found[trial] = require_same_samples(next(iter(found.values()), cache), cache)
    return found


def _score(cache: CachedLogits, metric: str) -> float:
    statistics = sample_statistics(cache.logits, cache.labels)
    return float(evaluate_statistics(statistics, unit_weights(len(cache)))[metric][0])


def _write(path: str, members: Sequence[CachedLogits], facts: Mapping[str, object]) -> None:
    first = members[0]
    mean = ensemble([member.logits for member in members]).logits
    write_logits(
        path,
        first.sample_ids,
        first.labels,
        mean,
        facts,
        corruption=first.corruption,
        severity=first.severity,
    )
