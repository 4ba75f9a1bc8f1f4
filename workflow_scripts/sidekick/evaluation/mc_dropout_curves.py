"""Curves that answer what the accept/ignore rule rests on: its settings, and normal passes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.special import expit

from sidekick.evaluation.mc_dropout_rows import Network
from sidekick.evaluation.run import Evaluation
from sidekick.logit_cache import CachedLogits
from sidekick.methods.dropout_moments import closed_form
from sidekick.methods.dropout_sampling import sampled_logits, sampled_moments
from sidekick.methods.dropout_sensitivity import sensitivity
from sidekick.methods.mc_dropout import Head, PassMoments, deterministic_probabilities
from sidekick.methods.normality import normal_shares

THRESHOLDS = tuple(step / 20 for step in range(2, 19))
# Of both rates: 1 is as trained.
RATE_FACTORS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
_LARGEST_RATE = 0.95
_TESTED_PASSES = 50
# The test is slow, so shifted parts are tested on some samples each.
_TESTED_SAMPLES = 100
_MEASURED = ("coverage", "kept_accuracy", "misclassified_ignored", "false_ignore_rate", "top_width")
_CLEAN = 0


def add_curves(
    job: Evaluation, network: Network, passes: Sequence[int], levels: Sequence[float]
) -> None:
    """Add a network's curves, means over seeds, without intervals.

    Parameters
    ----------
    job
        With the network's caches.
    network
        Its heads.
    passes, levels
        As of the evaluation.

    Notes
    -----
    On clean test data, of the variants `interval70_20` and so on: `{measure}_by_threshold`, and of
    `interval70_closed`: `{measure}_by_dropout` (x multiplies both rates of the trained head). The
    measures are those of `sidekick.methods.dropout_sensitivity.sensitivity`. Of the variants
    `logit` and `sigmoid`: `normal_share` (x severity, 0 for clean test data) and
    `normal_share_by_class` (x class, clean): the share of samples whose 50 passes the Shapiro-Wilk
    test takes for normal at level 0.05, at the class of the largest mean; saturated sigmoids, all
    equal, are left out, and `constant_share` is theirs.
    """
    caches = [own[network.recipe] for own in job.caches["test"]]
    found: list[dict[tuple[str, str, float], float]] = []
    for index, (head, cache) in enumerate(zip(network.heads, caches, strict=True)):
        own = dict(_by_settings(head, cache, passes, levels, job.rng(index)))
        shifted = job.caches["shift"][index][network.recipe]
        own |= _normality(head, cache, shifted, job.rng(index))
        found.append(own)
    for variant, curve, x in found[0]:
        values = [own.get((variant, curve, x), np.nan) for own in found]
        if np.isfinite(values).any():
            job.curves.append(
                {
                    **job.facts,
                    "split": "test",
                    **network.identity(variant)._asdict(),
                    "curve": curve,
                    "x": float(x),
                    "y": float(np.nanmean(values)),
                }
            )


Point = tuple[tuple[str, str, float], float]


def _by_settings(
    head: Head,
    cache: CachedLogits,
    passes: Sequence[int],
    levels: Sequence[float],
    rng: np.random.Generator,
) -> Iterator[Point]:
    rival = deterministic_probabilities(head, cache.features).argmax(axis=1)
    sampled = sampled_moments(head, cache.features, passes, rng)
    moments = {count: own.sigmoids for count, own in sampled.items()}
    for row in sensitivity(moments, rival, cache.labels, levels, THRESHOLDS):
        variant = f"interval{round(100 * row['level'])}_{row['passes']}"
        yield from _points(variant, "threshold", row["threshold"], row)
    for factor in RATE_FACTORS:
        rates = tuple(min(factor * rate, _LARGEST_RATE) for rate in head.dropout)
        closed = _closed(replace(head, dropout=rates), cache)
        for row in sensitivity({0: closed}, rival, cache.labels, levels, [0.5]):
            variant = f"interval{round(100 * row['level'])}_closed"
            yield from _points(variant, "dropout", factor, row)


def _closed(head: Head, cache: CachedLogits) -> PassMoments:
    return closed_form(head, cache.features, products=np.float32).sigmoids


def _points(variant: str, setting: str, x: float, row: Mapping[str, float]) -> Iterator[Point]:
    for measure in _MEASURED:
        yield (variant, f"{measure}_by_{setting}", x), row[measure]


def _normality(
    head: Head, clean: CachedLogits, shifted: CachedLogits, rng: np.random.Generator
) -> Iterator[Point]:
    """Test clean samples, and as many of each severity."""
    parts = [(_CLEAN, clean)]
    for severity in np.unique(shifted.severity) if len(shifted) else ():
        parts.append((int(severity), shifted.take(shifted.severity == severity)))
    for severity, part in parts:
        drawn = rng.permutation(len(part))[:_TESTED_SAMPLES]
        logits = _top_class(head, part.features[drawn], rng)
        for variant, values in (("logit", logits), ("sigmoid", expit(logits))):
            everything = np.full(len(drawn), severity)
            for own in normal_shares(values, everything).values():
                yield (variant, "normal_share", severity), own.normal
                yield (variant, "constant_share", severity), own.constant / own.samples
            if severity == _CLEAN:
                by_class = normal_shares(values, part.labels[drawn])
                for label, own in by_class.items():
                    yield (variant, "normal_share_by_class", label), own.normal


def _top_class(head: Head, features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give the passes (N, n) of the logit with the largest mean, each sample with its own masks."""
    blocks = []
    for logits in sampled_logits(head, features, _TESTED_PASSES, rng, rows_per_mask=1):
        top = logits.mean(axis=0).argmax(axis=1)
        blocks.append(logits[:, np.arange(len(top)), top])
    return np.concatenate(blocks, axis=1)
