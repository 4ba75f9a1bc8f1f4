"""Deferral cascades of one pair: what `val` decides, and what comes of it on other splits."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from sidekick.evaluation.curves import GRID, curve_points
from sidekick.evaluation.deferral import deferral_values, reference_lines
from sidekick.evaluation.identity import Identity
from sidekick.evaluation.run import Candidate, Evaluation
from sidekick.methods import cascade, controls
from sidekick.methods.gates import fit_gates
from sidekick.methods.learned_gate import fit_learned_gate
from sidekick.methods.pair import PairStatistics
from sidekick.methods.thresholds import Threshold, threshold_for_budget, threshold_for_score
from sidekick.metrics import SampleStatistics, evaluate_deferral

PLAIN, LEARNED = "max_softmax", "learned"
NENT = "nent"
"""Minus the mean entropy of a language model's answer over the vocabulary."""
_ANSWERS = ("small", "large", "duo")


@dataclass(frozen=True)
class CascadeSettings:
    """The config's `cascade` block.

    Attributes
    ----------
    deferral_ratios
        Shares of `val` to defer.
    budgets
        Expected costs per sample to choose thresholds for, as shares of the large model's cost.
    accuracies
        Accuracies to choose the cheapest thresholds for.
    gates
        Gates beside max softmax. Thresholds are chosen for max softmax and the learned gate; of
        the others there are whole curves only.
    """

    deferral_ratios: Sequence[float]
    budgets: Sequence[float] = ()
    accuracies: Sequence[float] = ()
    gates: Sequence[str] = ()


@dataclass(frozen=True)
class CascadeChoice:
    """What one seed's `val` split decides about a pair's cascades.

    Attributes
    ----------
    gates
        Name to a function from the small model's logits (n, C) to a confidence (n,), except for
        max softmax, which is known already.
    thresholds
        (predictor, gate, what for) to a threshold and its promise.
    notes
        Gate to what is to be known of its fit.
    """

    gates: Mapping[str, Callable[[np.ndarray], np.ndarray]]
    thresholds: Mapping[tuple[str, str, str], Threshold]
    notes: Mapping[str, str]


def choose_cascades(
    logits: np.ndarray,
    labels: np.ndarray,
    scored: PairStatistics,
    costs: tuple[float, float],
    settings: CascadeSettings,
) -> CascadeChoice:
    """Fit gates and thresholds on `val`.

    Parameters
    ----------
    logits, labels
        (n, C) of the small model and (n,).
    scored
        The pair on the same samples.
    costs
        GMACs of the small and of the large model.
    settings
        Which gates and thresholds.
    """
    small, large = scored.small.correct, scored.large.correct
    confidence = {PLAIN: scored.confidence}
    gates: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    notes: dict[str, str] = {}
    if set(settings.gates) - {PLAIN, LEARNED, NENT}:
        for name, gate in fit_gates(logits, labels, large.astype(np.float64)).items():
            if name in settings.gates and name != PLAIN:
                gates[name] = gate
                fitted = [f"{key} {value:.4g}" for key, value in gate.parameters.items()]
                notes[name] = ", ".join(fitted)
    if LEARNED in settings.gates:
        learned = fit_learned_gate(logits, small, large)
        gates[LEARNED], confidence[LEARNED] = learned, learned.val_confidence
        errors = [f"{kind} {error:.4g}" for kind, error in learned.errors.items()]
        notes[LEARNED] = f"{learned.kind}; squared errors: {', '.join(errors)}"
        if learned.reason:
            notes[LEARNED] = f"constant: {learned.reason}"
    thresholds = {}
    for predictor, answers in (("cascade", "large"), ("duo_cascade", "duo")):
        right = _answers(scored, answers).correct
        for name, own in confidence.items():
            found = choose_thresholds(own, small, right, costs, settings)
            thresholds |= {(predictor, name, what): value for what, value in found.items()}
    return CascadeChoice(gates, thresholds, notes)


def choose_thresholds(
    confidence: np.ndarray,
    small: np.ndarray,
    answers: np.ndarray,
    costs: tuple[float, float],
    settings: CascadeSettings,
) -> dict[str, Threshold]:
    """Choose all thresholds of one gate on `val`.

    Parameters
    ----------
    confidence
        (n,) the gate's.
    small, answers
        (n,) bool: whether the small model is right, and what answers deferred samples.
    costs, settings
        As for `choose_cascades`.

    Returns
    -------
    dict
        By what they are for: `defer25`, `budget50`, `target97` and so on.
    """
    parts = confidence, small.astype(np.float64), answers.astype(np.float64), costs
    found = {}
    for ratio in settings.deferral_ratios:
        value = cascade.threshold_for_ratio(confidence, ratio)
        defer = cascade.deferred(confidence, value)
        found[f"defer{round(100 * ratio)}"] = Threshold(
            value,
            float(defer.mean()),
            cascade.expected_gmacs(*costs, float(defer.mean())),
            float(np.where(defer, answers, small).mean()),
        )
    for share in settings.budgets:
        chosen = threshold_for_budget(*parts, share * costs[1])
        found[f"budget{round(100 * share)}"] = chosen
    for accuracy in settings.accuracies:
        chosen = threshold_for_score(*parts, accuracy)
        if chosen.reason is not None:
            # The best there is, and a note that it is not enough.
            unlimited = threshold_for_budget(*parts, sum(costs))
            chosen = replace(unlimited, reason=chosen.reason)
        found[f"target{round(100 * accuracy)}"] = chosen
    return found


class PairCascades:
    """The cascades of one pair, on all splits and seeds.

    Parameters
    ----------
    job
        Where curves go, and how intervals are made.
    identity
        From predictor and variant to what the board calls it.
    costs
        GMACs of the small and of the large model.
    choices
        Per seed.
    published
        Whether its curves go to the job's, or to another's.
    """

    def __init__(
        self,
        job: Evaluation,
        identity: Callable[[str, str], Identity],
        costs: tuple[float, float],
        choices: Sequence[CascadeChoice],
        published: bool = True,
    ):
        self.job, self.identity, self.costs, self.choices = job, identity, costs, choices
        self.balance = costs[0] / costs[1]
        self.published = published

    def candidates(
        self,
        split: str,
        logits: Sequence[np.ndarray],
        scored: Sequence[PairStatistics],
        weights: Sequence[np.ndarray],
        rng: np.random.Generator,
        known: Mapping[str, Sequence[np.ndarray]],
    ) -> dict[Identity, Candidate]:
        """Give all cascades of the pair on one cell, each with its control.

        Parameters
        ----------
        split
            `test` or `shift`.
        logits, scored, weights
            Per seed: the small model's logits (n, C), the pair, and resampling weights.
        rng
            Of the random controls.
        known
            Gates whose confidences need no fit and no logits: name to (n,) per seed.
        """
        confidence = {PLAIN: [own.confidence for own in scored], **known} | {
            name: [choice.gates[name](z) for choice, z in zip(self.choices, logits, strict=True)]
            for name in self.choices[0].gates
        }
        found = self._operating_points(confidence, scored, rng)
        found |= self._whole_curves(split, confidence, scored, weights)
        if split == "test" and self.published:
            self._add_deferral_curves(confidence, scored)
        return found

    def fit_rows(self, choice: CascadeChoice) -> Iterator[dict]:
        """Describe what one seed's `val` decided."""
        for (predictor, gate, what), threshold in choice.thresholds.items():
            yield threshold_row(self.identity(predictor, f"{gate}_{what}"), threshold)
        for gate, note in choice.notes.items():
            yield {**self.identity("cascade", gate)._asdict(), "note": note or None}

    def _operating_points(self, confidence, scored, rng) -> dict[Identity, Candidate]:
        """Give the cascades at chosen thresholds, and the random deferral of as many."""
        found = {}
        for place in self.choices[0].thresholds:
            thresholds = [choice.thresholds[place].value for choice in self.choices]
            # A budget that does not pay for the small model has no threshold, for any seed.
            if np.isnan(thresholds).any():
                continue
            found |= self._operating_point(place, thresholds, confidence[place[1]], scored, rng)
        return found

    def _operating_point(self, place, thresholds, confidence, scored, rng):
        predictor, gate, what = place
        masks = [
            cascade.deferred(own, value) for own, value in zip(confidence, thresholds, strict=True)
        ]
        rate = float(np.mean([mask.mean() for mask in masks]))
        gmacs = cascade.expected_gmacs(*self.costs, rate)
        identity = self.identity(predictor, f"{gate}_{what}")
        join = partial(self._join, scored)
        if predictor == "duo_cascade":
            control = self.identity("cascade", f"{gate}_{what}")
            return {identity: Candidate(join("duo", masks), gmacs, self.balance, control)}
        if gate != PLAIN:
            control = self.identity("cascade", f"{PLAIN}_{what}")
            return {identity: Candidate(join("large", masks), gmacs, self.balance, control)}
        control = self.identity("cascade", f"random_{what}")
        random = [controls.random_deferral(len(m), int(m.sum()), rng) for m in masks]
        return {
            control: Candidate(join("large", random), gmacs, self.balance),
            identity: Candidate(join("large", masks), gmacs, self.balance, control),
        }

    def _join(self, scored, answers: str, masks) -> list[SampleStatistics]:
        return [
            cascade.cascade(own.small, _answers(own, answers), mask)
            for own, mask in zip(scored, masks, strict=True)
        ]

    def _whole_curves(self, split, confidence, scored, weights) -> dict[Identity, Candidate]:
        """Give the metrics of deferral curves, over all thresholds."""
        right = {name: [_answers(own, name).correct for own in scored] for name in _ANSWERS}
        # All samples tied: whatever is deferred, it is a random part.
        tied = [np.zeros(len(own)) for own in confidence[PLAIN]]
        gain_first = [
            s.astype(np.int8) - z for s, z in zip(right["small"], right["large"], strict=True)
        ]
        random, plain = self.identity("cascade", "random"), self.identity("cascade", PLAIN)
        wanted = [
            (random, tied, "large", None),
            (self.identity("cascade", "oracle"), gain_first, "large", random),
            (plain, confidence[PLAIN], "large", random),
            (self.identity("duo_cascade", PLAIN), confidence[PLAIN], "duo", plain),
        ]
        for gate, own in confidence.items():
            if gate != PLAIN:
                wanted.append((self.identity("cascade", gate), own, "large", plain))
        interval = partial(self.job.board.interval, split)
        found = {}
        for identity, order, answers, baseline in wanted:
            values, notes = deferral_values(
                order, right["small"], right[answers], weights, self.costs, interval
            )
            found[identity] = Candidate(
                [], None, self.balance, baseline, values=values, notes=notes
            )
        return found

    def _add_deferral_curves(self, confidence, scored) -> None:
        weights = self.job.curve_weights()
        small = [own.small.correct for own in scored]
        wanted = [("cascade", PLAIN, "large"), ("duo_cascade", PLAIN, "duo")]
        if LEARNED in confidence:
            wanted.append(("cascade", LEARNED, "large"))
        for predictor, gate, answers in wanted:
            right = [_answers(own, answers).correct for own in scored]
            parts = zip(confidence[gate], small, right, weights, strict=True)
            joint = [evaluate_deferral(*part, GRID).accuracy_at.T for part in parts]
            points = curve_points(GRID, self.job.mean_curve(joint), self.job.settings.level)
            self._append_curve(self.identity(predictor, gate), points)
        lines = [reference_lines(own.small.correct, own.large.correct, GRID) for own in scored]
        for variant in lines[0]:
            height = np.mean([line[variant] for line in lines], axis=0)
            points = [{"x": float(x), "y": float(y)} for x, y in zip(GRID, height, strict=True)]
            self._append_curve(self.identity("cascade", variant), points)

    def _append_curve(self, identity: Identity, points) -> None:
        place = {**self.job.facts, "split": "test", **identity._asdict(), "curve": "deferral"}
        self.job.curves += [{**place, **point} for point in points]


def threshold_row(identity: Identity, threshold: Threshold) -> dict:
    """Describe a threshold in the table of fits."""
    row = {**identity._asdict(), "note": threshold.reason}
    if np.isnan(threshold.value):
        return row
    return {
        **row,
        "threshold": threshold.value,
        "deferral_ratio": threshold.deferral,
        "promised_gmacs": threshold.gmacs,
        "promised_accuracy": threshold.score,
    }


def _answers(scored: PairStatistics, name: str) -> SampleStatistics:
    return scored.duos["weighted"] if name == "duo" else getattr(scored, name)
