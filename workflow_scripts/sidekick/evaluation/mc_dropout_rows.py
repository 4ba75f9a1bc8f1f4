"""The predictors that come of one network with an MC-dropout head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Protocol, Self

import numpy as np
from scipy.special import expit

from sidekick.evaluation.identity import Identity
from sidekick.evaluation.run import Candidate
from sidekick.logit_cache import CachedLogits
from sidekick.methods.dropout_decomposition import Decomposition, decompose
from sidekick.methods.dropout_moments import closed_form
from sidekick.methods.dropout_rule import continuous_score, rule_answers
from sidekick.methods.dropout_sampling import pass_moments, sampled_logits
from sidekick.methods.mc_dropout import (
    Head,
    PassMoments,
    deterministic_probabilities,
    interval_rule,
)
from sidekick.methods.prediction import Prediction, from_sigmoids
from sidekick.metrics import rejection_metrics, top_share_weights

CLOSED = "closed"
"""Stands for the number of passes where there are none."""

# Classes of which the closed form counts the shared mask.
_COVARIANCES = 3
_UNDEFINED = {
    **dict.fromkeys(
        ("selective_accuracy", "kept_error", "kept_micro_f1", "kept_macro_f1"),
        "the rule accepts no sample",
    ),
    "misclassified_ignored": "the rule ignores no sample",
    "false_ignore_rate": "the deterministic model is never right",
}


@dataclass(frozen=True)
class Costs:
    """Multiply-adds per sample, in billions.

    Attributes
    ----------
    features
        Of the network up to its pooled features.
    head
        Any seed's head.
    """

    features: float
    head: Head

    def of(self, estimator: str) -> float:
        """Give the cost of an estimator: so many passes, or the closed form."""
        if estimator != CLOSED:
            return self.features + int(estimator) * self.head.gmacs
        # Mean and variance are a product with a weight matrix each, of which the shared mask takes
        # a further one per class.
        shared = _COVARIANCES * self.head.hidden_weight.size / 1e9
        return self.features + 2 * self.head.gmacs + shared * (self.head.dropout[0] > 0)


class Priced(Protocol):
    """What estimators cost."""

    def of(self, estimator: str) -> float:
        """Give the multiply-adds of an estimator per sample, in billions."""


class Named(Protocol):
    """A network whose passes are on the board."""

    @property
    def costs(self) -> Priced:
        """Of its predictors."""

    @property
    def control(self) -> Identity:
        """Name the same network with dropout off."""

    def identity(self, variant: str) -> Identity:
        """Name one of its predictors."""


@dataclass(frozen=True)
class Network:
    """The seeds of a network with an MC-dropout head.

    Attributes
    ----------
    model, recipe
        Its names on the board.
    heads
        One per seed.
    costs
        Of its predictors.
    original
        What it was quantised from, if it was.
    """

    model: str
    recipe: str
    heads: Sequence[Head]
    costs: Costs
    original: Self | None

    def identity(self, variant: str) -> Identity:
        """Name one of its predictors."""
        return Identity("mc_dropout", variant, self.model, None, self.recipe)

    @property
    def control(self) -> Identity:
        """Name the same network with dropout off."""
        return self.identity("deterministic")


def network_candidates(
    network: Network,
    caches: Sequence[CachedLogits],
    weights: Sequence[np.ndarray],
    passes: Sequence[int],
    levels: Sequence[float],
    rngs: Sequence[np.random.Generator],
) -> dict[Identity, Candidate]:
    """Give all predictors of a network on one cell.

    Parameters
    ----------
    network
        Heads and names.
    caches, weights, rngs
        Per seed: what its head reads, the resampling weights, the source of masks.
    passes
        Numbers of stochastic passes; all use the masks of the largest one.
    levels
        Of the accept/ignore rule.
    """
    seeds = list(zip(network.heads, caches, rngs, strict=True))
    certain = [deterministic_probabilities(head, cache.features) for head, cache, _ in seeds]
    deterministic = [by_sigmoid(sigmoids) for sigmoids in certain]
    one_pass = network.costs.of("1")
    baseline = network.original.control if network.original else None
    normalised = [from_sigmoids(sigmoids) for sigmoids in certain]
    candidates = {
        network.control: Candidate(deterministic, one_pass, baseline=baseline),
        network.identity("deterministic_normalised"): Candidate(
            normalised, one_pass, baseline=network.control
        ),
    }
    estimates, decompositions = _estimate(seeds, passes)
    for name, moments in estimates.items():
        candidates |= of_estimator(network, name, moments)
        for level in levels:
            candidates |= of_rule(network, name, moments, level, deterministic, caches, weights)
    most = str(max(passes))
    means = [by_sigmoid(own.mean) for own in estimates[most]]
    return candidates | of_decomposition(network, most, means, decompositions)


def by_sigmoid(sigmoids: np.ndarray) -> Prediction:
    """Answer by the largest sigmoid (n, C), and be as sure as it is high.

    The distribution, for metrics that need one, is the sigmoids divided by their sum.
    """
    return Prediction(from_sigmoids(sigmoids).logits, confidence=sigmoids.max(axis=1))


def _estimate(
    seeds: Sequence[tuple[Head, CachedLogits, np.random.Generator]], passes: Sequence[int]
) -> tuple[dict[str, list[PassMoments]], list[Decomposition]]:
    """Give every estimator's moments of the sigmoids, and the most passes' decompositions."""
    estimates: dict[str, list[PassMoments]] = {str(count): [] for count in passes}
    estimates[CLOSED] = []
    decompositions = []
    for head, cache, rng in seeds:
        blocks: dict[int, list[PassMoments]] = {count: [] for count in passes}
        divided = []
        # All passes of all samples need not fit in memory.
        for logits in sampled_logits(head, cache.features, max(passes), rng):
            sigmoids = expit(logits)
            divided.append(decompose(sigmoids))
            for count, own in blocks.items():
                own.append(pass_moments(sigmoids[:count]))
        decompositions.append(_joined(Decomposition, divided))
        for count, own in blocks.items():
            estimates[str(count)].append(_joined(PassMoments, own))
        closed = closed_form(head, cache.features, _COVARIANCES, np.float32)
        estimates[CLOSED].append(closed.sigmoids)
    return estimates, decompositions


def _joined(kind: type, parts: Sequence) -> Decomposition | PassMoments:
    """Join what was computed block by block."""
    names = [field.name for field in fields(kind)]
    return kind(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def of_estimator(
    network: Named, name: str, moments: Sequence[PassMoments]
) -> dict[Identity, Candidate]:
    """Give the mean without rejection, and ranked by how far its interval is above 0.5."""
    means = [by_sigmoid(own.mean) for own in moments]
    scored = [
        Prediction(mean.logits, confidence=continuous_score(own))
        for mean, own in zip(means, moments, strict=True)
    ]
    cost = network.costs.of(name)
    return {
        network.identity(f"{variant}_{name}"): Candidate(found, cost, baseline=network.control)
        for variant, found in (("mean", means), ("score", scored))
    }


def of_rule(
    network: Named,
    name: str,
    moments: Sequence[PassMoments],
    level: float,
    deterministic: Sequence[Prediction],
    caches: Sequence[CachedLogits],
    weights: Sequence[np.ndarray],
) -> dict[Identity, Candidate]:
    """Give the rule, and the deterministic model that keeps as much."""
    ruled, matched = [], []
    for own, certain, cache, weight in zip(moments, deterministic, caches, weights, strict=True):
        right = certain.answers == cache.labels
        found = rule_values(own, level, cache.labels, right, weight)
        ruled.append(found)
        matched.append(matched_values(certain, cache.labels, found["coverage"], weight))
    variant = f"interval{round(100 * level)}_{name}"
    rival = network.identity(f"deterministic_at_{variant}")
    return {
        rival: Candidate([], network.costs.of("1"), values=matched, notes=_notes(matched)),
        network.identity(variant): Candidate(
            [], network.costs.of(name), baseline=rival, values=ruled, notes=_notes(ruled)
        ),
    }


def of_decomposition(
    network: Named,
    name: str,
    means: Sequence[Prediction],
    found: Sequence[Decomposition],
) -> dict[Identity, Candidate]:
    """Give the passes' mean, ranked by each kind of uncertainty."""
    candidates = {}
    for measure, confidences in _confidences(found).items():
        ranked = [
            Prediction(mean.logits, confidence=confidence)
            for mean, confidence in zip(means, confidences, strict=True)
        ]
        candidates[network.identity(f"{measure}_{name}")] = Candidate(
            ranked, network.costs.of(name), baseline=network.control
        )
    return candidates


def rule_values(
    moments: PassMoments,
    level: float,
    labels: np.ndarray,
    rival_correct: np.ndarray,
    weights: np.ndarray,
) -> dict[str, np.ndarray]:
    """Evaluate the accept/ignore rule on each resample; see `rejection_metrics`."""
    accepted, answer = interval_rule(moments, level)
    answers = rule_answers(moments, level)
    return rejection_metrics(
        weights * accepted.astype(np.float64),
        weights,
        answers,
        answer == labels,
        labels,
        rival_correct,
    )


def matched_values(
    certain: Prediction, labels: np.ndarray, coverage: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Evaluate the deterministic model on its surest samples, as many as the rule keeps."""
    correct = certain.answers == labels
    kept = top_share_weights(certain.confidence, weights, coverage)
    answers = np.zeros(certain.logits.shape, dtype=bool)
    answers[np.arange(labels.size), certain.answers] = True
    return rejection_metrics(kept, weights, answers, correct, labels, correct)


def _notes(values: Sequence[Mapping[str, np.ndarray]]) -> dict[str, str]:
    return {
        metric: f"undefined for a seed: {reason}"
        for metric, reason in _UNDEFINED.items()
        if any(np.isnan(own[metric][0]) for own in values)
    }


def _confidences(found: Sequence[Decomposition]) -> dict[str, list[np.ndarray]]:
    """Give for each uncertainty how sure it leaves one, per seed."""
    return {
        "predictive_entropy": [-own.predictive_entropy for own in found],
        "expected_entropy": [-own.expected_entropy for own in found],
        "mutual_information": [-own.mutual_information for own in found],
        "variation_ratio": [1.0 - own.variation_ratio for own in found],
    }
