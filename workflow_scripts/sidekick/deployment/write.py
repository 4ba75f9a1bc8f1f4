"""Write a predictor with thresholds that were chosen, and certified, on `val`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sidekick.artifacts import software, write_json
from sidekick.datasets.splits import stratified_draw
from sidekick.deployment import selection
from sidekick.deployment.predictor import CASCADES, FORMAT, VERSION, Predictor, PredictorError
from sidekick.errors import SidekickError

# Bonferroni's correction divides delta by their number.
_CANDIDATES = {"fixed_sequence": 200, "bonferroni": 16}

_BUDGET_PROMISE = (
    "With probability 1 - delta over the draw of the samples that it was chosen on, a new sample "
    "from the same distribution goes to the large model with a probability of at most upper_bound."
)
_BUDGET_METHOD = "exact binomial (Clopper-Pearson) bound of the deferral ratio"
_TARGET_PROMISE = (
    "With probability 1 - delta over the draw of the samples that it was certified on, the answers "
    "to new samples from the same distribution that are accepted are right with a probability of "
    "at least the target's accuracy."
)
_TARGET_METHODS = {
    "fixed_sequence": "Learn then Test (arXiv 2110.01052): fixed sequence, exact binomial p-values",
    "bonferroni": "exact binomial p-values with Bonferroni's correction (cf. arXiv 1705.08500)",
}


@dataclass(frozen=True, eq=False)
class Member:
    """One model of a predictor.

    Attributes
    ----------
    name
        The model's id.
    gmacs
        Its cost per sample.
    logits
        (n, C) on `val`, any float type.
    """

    name: str
    gmacs: float
    logits: np.ndarray


def tuning_rows(
    sample_ids: np.ndarray, labels: np.ndarray, *, seed: int, share: float = 0.5
) -> np.ndarray:
    """Divide `val` into rows to fit weights on, and rows to certify thresholds on.

    A promise about new samples can only come from rows that the weights have not seen.

    Parameters
    ----------
    sample_ids, labels
        (n,) strings and (n,) classes.
    seed
        Of the draw; whatever the seed, it is stratified and independent of the rows' order.
    share
        Of the rows to fit on.

    Returns
    -------
    ndarray of bool, shape (n,)
        The `tuning` argument of `write_predictor`.

    Raises
    ------
    SidekickError
        If either part would be empty.
    """
    size = round(share * len(labels))
    if not 0 < size < len(labels):
        raise SidekickError(
            f"deployment: a share of {share} of {len(labels)} val samples leaves none to fit or "
            "none to certify on; allowed are shares above 0 and below 1, of 2 samples or more"
        )
    return stratified_draw(sample_ids, labels, size, f"deployment {seed}")


def write_predictor(
    path: str | Path,
    *,
    kind: str,
    large: Member,
    smalls: Sequence[Member] = (),
    weights: Sequence[float],
    small_weight: float | None = None,
    labels: np.ndarray,
    tuning: np.ndarray,
    accuracies: Sequence[float],
    provenance: Mapping[str, Any],
    variant: str = "weighted",
    gate: str = "max_softmax",
    deferral_ratios: Sequence[float] = (),
    gmacs_budgets: Sequence[float] = (),
    delta: float = 0.05,
    method: str = "fixed_sequence",
    class_names: Sequence[str] | None = None,
) -> Predictor:
    """Choose the thresholds of a predictor and write it as a JSON file.

    Parameters
    ----------
    path
        The file; replaced when it is complete.
    kind
        `temperature`, `duo`, `cascade` or `duo_cascade`.
    large, smalls
        The models with their logits on all rows of `val`, in one order. A temperature has no
        small model, a cascade one, a duo one or more.
    weights
        Multipliers of the logits of the models that answer together, the large one first: of a
        temperature 1 / T, of a duo (w_l, w_s, ...), of a cascade 1 / T of the large model, of a
        duo cascade (w_l, w_s). To be fitted on the rows `tuning`.
    small_weight
        1 / T of the small model alone, for cascades; fitted on the same rows.
    labels
        (n,) classes.
    tuning
        (n,) bool, the rows that the weights were fitted on. They give the candidates of the
        accuracies' thresholds, and the thresholds of budgets: the gate sees the small model's
        logits as they are, so nothing about it was fitted. All other rows certify accuracies.
    accuracies
        Wanted accuracies of accepted answers. Cascades get a threshold for each with each budget.
    provenance
        Benchmark, dataset and its revision, seed and so on; the software's versions are added.
    variant
        Of a duo: `weighted`, `unweighted` (a matter of the weights only) or `uq_only`.
    gate
        The small model's confidence in a cascade: `max_softmax`, `margin`, `negative_entropy`.
    deferral_ratios, gmacs_budgets
        A cascade's budgets: largest deferral ratios, largest expected costs per sample.
    delta
        How often each promise may fail; each of them on its own.
    method
        See `selection.accuracy_threshold`.
    class_names
        C strings, for whoever reads predictions.

    Returns
    -------
    Predictor
        As it loads from the file.

    Raises
    ------
    SidekickError
        If an argument is not allowed, arrays do not match, or a cascade has no budget.
    """
    members = [large, *smalls]
    labels, tuning = np.asarray(labels), np.asarray(tuning)
    _check_rows(path, members, labels, tuning)
    _check_budgets(path, kind, deferral_ratios, gmacs_budgets)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        "variant": variant,
        "classes": int(large.logits.shape[1]),
        "class_names": None if class_names is None else list(class_names),
        "models": {"large": _describe(large), "small": list(map(_describe, smalls))},
        "weights": {"full": _floats(weights), "small_alone": small_weight and float(small_weight)},
        "divisors": _divisors(weights, small_weight),
        "gate": gate if kind in CASCADES else None,
        "budgets": [],
        "targets": [],
        "guarantee": {
            "delta": delta,
            "budgets": {"method": _BUDGET_METHOD, "promise": _BUDGET_PROMISE},
            "targets": {"method": _TARGET_METHODS.get(method), "promise": _TARGET_PROMISE},
            "scope": "Each entry holds on its own, not all of them at once.",
        },
        "provenance": {**provenance, "val_samples": len(labels), **_versions()},
    }
    try:
        chooser = _Chooser(document, members, labels, tuning, delta, method)
        if kind in CASCADES:
            chooser.add_budgets(deferral_ratios, gmacs_budgets)
        chooser.add_targets(accuracies)
        predictor = Predictor(document, str(path))
    except PredictorError as error:
        raise SidekickError(f"{path}: {error}") from None
    write_json(document, path)
    return predictor


class _Chooser:
    """Fills the tables of a document, by the answers of the predictor that it already is."""

    def __init__(self, document, members, labels, tuning, delta, method):
        self.document = document
        self.tuning, self.delta, self.method = tuning, delta, method
        self.labels = labels
        self.large, self.smalls = members[0], members[1:]
        self.costs = self.smalls[0].gmacs if self.smalls else 0.0, self.large.gmacs

    def add_budgets(self, ratios: Sequence[float], gmacs: Sequence[float]) -> None:
        for ratio in ratios:
            self._add_budget(f"deferral<={ratio:g}", "deferral_ratio", ratio, ratio)
        small, large = self.costs
        for budget in gmacs:
            ratio = min((budget - small) / large, 1.0)
            self._add_budget(f"gmacs<={budget:g}", "gmacs", budget, ratio)

    def add_targets(self, accuracies: Sequence[float]) -> None:
        for budget in self.document["budgets"] or [{"name": None, "threshold": "inf"}]:
            name, reason = budget["name"], None
            if budget["threshold"] is None:
                reason = f"{name}: {budget['reason']}"
            else:
                tuned, certifying = (
                    self._decide(self.tuning, name),
                    self._decide(~self.tuning, name),
                )
            for accuracy in accuracies:
                entry = {"name": f"accuracy>={accuracy:g}", "accuracy": accuracy, "budget": name}
                if reason is not None:
                    entry |= {"threshold": None, "reason": reason}
                else:
                    entry |= self._certify(tuned, certifying, accuracy)
                self.document["targets"].append(entry)

    def _add_budget(self, name: str, unit: str, budget: float, ratio: float) -> None:
        entry = {"name": name, "unit": unit, "budget": budget, "allowed_ratio": ratio}
        small, large = self.costs
        if ratio < 0:
            reason = f"the small model alone costs {small:g} GMACs"
            self.document["budgets"].append({**entry, "threshold": None, "reason": reason})
            return
        gate = Predictor(self.document).gate(self.smalls[0].logits)
        choice = selection.budget_threshold(gate[self.tuning], ratio, self.delta)
        entry |= {
            "threshold": _number(choice.threshold),
            "chosen_on": {"samples": choice.samples, "deferred": choice.deferred},
            "upper_bound": choice.upper_bound,
            "gmacs_upper_bound": small + choice.upper_bound * large,
        }
        self.document["budgets"].append(entry)
        _, correct = self._decide(~self.tuning, name)
        seen = float((gate[~self.tuning] < choice.threshold).mean())
        entry["on_other_rows"] = {
            "samples": len(correct),
            "deferral_ratio": seen,
            "gmacs": small + seen * large,
            "accuracy": float(correct.mean()),
        }

    def _certify(self, tuned, certifying, accuracy: float) -> dict[str, Any]:
        """Choose a threshold; both parts are pairs of confidences and of what is right."""
        candidates = selection.candidate_thresholds(
            *tuned,
            accuracy=accuracy,
            samples=len(certifying[0]),
            count=_CANDIDATES.get(self.method, 1),
        )
        choice = selection.accuracy_threshold(
            *certifying, candidates, accuracy=accuracy, delta=self.delta, method=self.method
        )
        right = choice.accepted - choice.errors
        counts = {
            "samples": choice.samples,
            "accepted": choice.accepted,
            "errors": choice.errors,
            "coverage": choice.accepted / choice.samples,
            "accuracy": right / choice.accepted if choice.accepted else None,
            "accuracy_lower_bound": choice.lower_bound,
            "p_value": choice.p_value,
            "candidates": choice.candidates,
        }
        if choice.threshold is None:
            reason = (
                f"no threshold could be certified on {choice.samples} samples (best p-value "
                f"{choice.p_value:.2g}, delta {self.delta:g})"
            )
            return {"threshold": None, "reason": reason, "closest": counts}
        return {"threshold": _number(choice.threshold), "certified_on": counts}

    def _decide(self, rows: np.ndarray, budget: str | None) -> tuple[np.ndarray, np.ndarray]:
        """Give confidences and whether the answers are right, on some rows."""
        smalls = [small.logits[rows] for small in self.smalls]
        if budget is not None:
            smalls = smalls[0]
        predictor = Predictor(self.document)
        decision = predictor(self.large.logits[rows], smalls, budget=budget)
        return decision.confidence, decision.prediction == self.labels[rows]


def _check_rows(path, members, labels, tuning) -> None:
    for member in members:
        if member.logits.ndim != 2 or len(member.logits) != len(labels):
            raise SidekickError(
                f"{path}: logits of '{member.name}' of shape {member.logits.shape}; expected "
                f"{len(labels)} rows, as many as labels"
            )
        if not member.gmacs > 0:
            raise SidekickError(
                f"{path}: '{member.name}' costs {member.gmacs} GMACs; allowed are numbers above 0"
            )
    if tuning.shape != labels.shape or tuning.dtype != bool or tuning.all() or not tuning.any():
        raise SidekickError(
            f"{path}: tuning rows of shape {tuning.shape} and type {tuning.dtype}; expected "
            f"{len(labels)} truth values, some true and some false: what is certified on the rows "
            "that weights were fitted on holds for no others"
        )


def _check_budgets(path, kind, ratios, gmacs) -> None:
    if (kind in CASCADES) != bool(len(ratios) or len(gmacs)):
        raise SidekickError(
            f"{path}: deferral ratios {list(ratios)} and budgets {list(gmacs)} for a {kind}; a "
            "cascade needs at least one of them, any other predictor has none"
        )


def _describe(member: Member) -> dict[str, Any]:
    return {"name": member.name, "gmacs": float(member.gmacs)}


def _divisors(weights: Sequence[float], small_weight: float | None) -> dict[str, Any]:
    """Give the weights in the other convention, for readers: nothing loads them."""
    count = len(weights)
    full = [None if weight == 0 else 1.0 / (count * weight) for weight in _floats(weights)]
    return {
        "convention": (
            "weights multiply logits, which are then added (arXiv 2505.18636: T = w); divisors "
            "divide logits, which are then averaged (its released code, and usual temperatures)"
        ),
        "full": full,
        "small_alone": 1.0 / small_weight if small_weight else None,
    }


def _versions() -> dict[str, Any]:
    facts = software()
    return {**facts, "software": json.loads(facts["software"])}


def _floats(values: Sequence[float]) -> list[float]:
    return [float(value) for value in values]


def _number(threshold: float) -> float | str:
    """JSON has no infinities: write them as text that `float` reads."""
    return threshold if np.isfinite(threshold) else str(threshold)
