"""Score one model's generated answers by each of the gates that could rank them."""

from collections.abc import Mapping, Sequence

import numpy as np

from sidekick.evaluation.curves import COVERAGES, curve_points, top_share_mean
from sidekick.evaluation.identity import Identity, Member
from sidekick.evaluation.run import Candidate, Evaluation
from sidekick.logit_cache.answers import GATES, CachedAnswers
from sidekick.metrics import ranking_metrics, weighted_mean

PLAIN = "nent"
"""The Gatekeeper paper's gate: minus the mean entropy of the answer's tokens."""


def alone(member: Member, variant: str = PLAIN) -> Identity:
    """Name a model's answers, ranked by a gate."""
    return Identity("single", variant, member.model, None, member.recipe)


def answer_candidates(
    member: Member,
    answers: Sequence[CachedAnswers],
    weights: Sequence[np.ndarray],
    gmacs: float,
    gates: Sequence[str] = GATES,
) -> dict[Identity, Candidate]:
    """Give one model's answers ranked by each gate, and in the best and a random order.

    Parameters
    ----------
    member
        The model, and the recipe that made it.
    answers, weights
        Per seed: the answers, and resampling weights (1 + B, n).
    gmacs
        Of one answer.
    gates
        `PLAIN`, which all others are compared with, is first.
    """
    notes = _undefined(answers)
    found = {}
    for variant, confidence in _orders(answers, gates).items():
        values = [
            {
                "accuracy": weighted_mean(own.correct, part),
                **ranking_metrics(order, own.correct, part),
                **(reading_values(own, part) if variant == PLAIN else {}),
            }
            for own, order, part in zip(answers, confidence, weights, strict=True)
        ]
        baseline = None if variant == PLAIN else alone(member)
        found[alone(member, variant)] = Candidate(
            [], gmacs, baseline=baseline, values=values, notes=notes
        )
    return found


def reading_values(answers: CachedAnswers, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Say how answers are read otherwise, and how many were cut off: metric to (1 + B,)."""
    return {
        "accuracy_flexible": weighted_mean(answers.correct_flexible, weights),
        "truncated": weighted_mean(answers.truncated, weights),
    }


def add_risk_coverage(job: Evaluation, member: Member, answers: Sequence[CachedAnswers]) -> None:
    """Add the risk-coverage curve of every gate, and of the best and a random order."""
    weights = job.curve_weights()
    for variant, confidence in _orders(answers, GATES).items():
        risks = [
            top_share_mean(order, 1.0 - own.correct, part, COVERAGES)
            for own, order, part in zip(answers, confidence, weights, strict=True)
        ]
        place = {**job.facts, "split": "test", **alone(member, variant)._asdict()}
        points = curve_points(COVERAGES, job.mean_curve(risks), job.settings.level)
        job.curves += [{**place, "curve": "risk_coverage", **point} for point in points]


def _orders(answers: Sequence[CachedAnswers], gates: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """Give what ranks the answers of each seed, by the variant that it makes."""
    return {
        **{gate: [own.gates[gate] for own in answers] for gate in gates},
        "oracle_ordering": [own.correct.astype(np.float64) for own in answers],
        # All tied: the expectation over random orders.
        "random_ordering": [np.zeros(len(own)) for own in answers],
    }


def _undefined(answers: Sequence[CachedAnswers]) -> Mapping[str, str]:
    """Say why there is no AUROC, if there is none."""
    for own in answers:
        if own.correct.all() or not own.correct.any():
            why = "no errors" if own.correct.all() else "no correct answers"
            return {"auroc": f"undefined for a seed: {why}"}
    return {}
