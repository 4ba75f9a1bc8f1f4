"""From cached logits to a predictor file: fit on one part of `val`, certify on the other."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sidekick.artifacts import read_facts, read_json
from sidekick.deployment.predictor import CASCADES, KINDS
from sidekick.deployment.write import Member, tuning_rows, write_predictor
from sidekick.errors import SidekickError
from sidekick.logit_cache import CachedLogits, read_logits, require_same_samples
from sidekick.methods.weight_fit import WeightFit, fit_weights

_log = logging.getLogger("sidekick")

# What a cache's metadata say of a model.
_ORIGIN = ("model", "recipe", "seed", "architecture", "imported_from", "imported_checksum")


def deploy(
    *,
    kind: str,
    logits: Sequence[str | Path],
    flops: Sequence[str | Path],
    output: str | Path,
    seed: int,
    accuracies: Sequence[float],
    facts: Mapping[str, Any],
    tuning_share: float = 0.5,
    variant: str = "weighted",
    gate: str = "max_softmax",
    deferral_ratios: Sequence[float] = (),
    gmacs_budgets: Sequence[float] = (),
    delta: float = 0.05,
    method: str = "fixed_sequence",
    class_names: Sequence[str] | None = None,
    card: str | Path | None = None,
) -> None:
    """Fit a predictor's weights on `val` and write it with certified thresholds.

    Parameters
    ----------
    kind
        `temperature`, `duo`, `cascade` or `duo_cascade`.
    logits
        The models' `val` caches of one seed, in any order: one for a temperature, two for a
        cascade, two or more for a duo. The model with the most GMACs is the large one.
    flops
        The models' FLOPs files, in the same order.
    output
        The file to write.
    seed
        Of the division of `val`.
    facts
        Benchmark, dataset, its revision and so on, for the file's provenance. Added are the
        models' recipes and seeds, and what is to be said about the fits.
    tuning_share
        Share of `val` that the weights are fitted on; the rest certifies.
    accuracies, variant, gate, deferral_ratios, gmacs_budgets, delta, method, class_names
        As in `write_predictor`.
    card
        The dataset's card, which names the classes where `class_names` does not.

    Raises
    ------
    SidekickError
        If a file is unreadable, caches hold different samples, or an argument is not allowed.
    """
    _check_count(output, kind, logits, flops)
    costs = [float(read_json(path)["gmacs"]) for path in flops]
    caches, origins = _read(logits)
    # Equal costs are possible; the name then decides, as it does on the leaderboard.
    order = sorted(range(len(costs)), key=lambda i: (costs[i], origins[i]["model"]), reverse=True)
    members = [Member(origins[i]["model"], costs[i], caches[i].logits) for i in order]
    labels = caches[0].labels
    tuning = tuning_rows(caches[0].sample_ids, labels, seed=seed, share=tuning_share)

    def fit(*chosen: Member) -> WeightFit:
        return fit_weights([member.logits[tuning] for member in chosen], labels[tuning])

    if class_names is None and card is not None:
        class_names = read_json(card)["classes"]
    large, smalls = members[0], members[1:]
    alone = fit(smalls[0]) if kind in CASCADES else None
    fits = [fit(large)] if kind in ("temperature", "cascade") else [fit(*members)]
    if kind == "duo" and variant == "unweighted":
        fits = [fit(member) for member in members]
    weights = np.concatenate([own.weights for own in fits]) / len(fits)
    notes = [own.note for own in [*fits, *([alone] if alone else [])] if own.note]
    predictor = write_predictor(
        output,
        kind=kind,
        large=large,
        smalls=smalls,
        weights=weights,
        small_weight=None if alone is None else alone.weights[0],
        labels=labels,
        tuning=tuning,
        accuracies=accuracies,
        provenance={**facts, "models": [origins[i] for i in order], "fit_notes": notes},
        variant=variant,
        gate=gate,
        deferral_ratios=deferral_ratios,
        gmacs_budgets=gmacs_budgets,
        delta=delta,
        method=method,
        class_names=class_names,
    )
    _log.info("%r: weights %s", predictor, weights.tolist())
    for note in notes:
        _log.warning("%s", note)


def _check_count(output, kind, logits, flops) -> None:
    if kind not in KINDS:
        raise SidekickError(f"{output}: kind {kind!r}; allowed are {', '.join(KINDS)}")
    count = len(logits)
    fits = {"temperature": count == 1, "duo": count >= 2}.get(kind, count == 2)
    if not fits or len(flops) != count:
        raise SidekickError(
            f"{output}: {count} files of logits and {len(flops)} of FLOPs for a {kind}; a "
            "temperature has 1 model, a cascade 2, a duo 2 or more, each with its FLOPs"
        )


def _read(paths: Sequence[str | Path]) -> tuple[list[CachedLogits], list[dict[str, str]]]:
    """Give caches, all in the order of their ids, and where each came from."""
    first = read_logits(paths[0])
    first = first.take(np.argsort(first.sample_ids.astype(np.str_), kind="stable"))
    others = [require_same_samples(first, read_logits(path)) for path in paths[1:]]
    origins = []
    for path in paths:
        facts = read_facts(path)
        if facts.get("split", "val") != "val":
            raise SidekickError(f"{path}: logits of the {facts['split']} split; expected val")
        known = {key: facts[key] for key in _ORIGIN if key in facts}
        origins.append({"model": str(path), **known})
    return [first, *others], origins
