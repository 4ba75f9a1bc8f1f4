"""Apply a deployed predictor to logits: numpy and the standard library only.

This file stands alone. Copy it next to a service that cannot install Sidekick, or write
`sidekick.load(path)` where it can.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = "sidekick predictor"
VERSION = 1
KINDS = ("temperature", "duo", "cascade", "duo_cascade")
CASCADES = ("cascade", "duo_cascade")
VARIANTS = ("weighted", "unweighted", "uq_only")


class PredictorError(ValueError):
    """A file or an argument that cannot be used; the message says what is allowed."""


@dataclass(frozen=True, eq=False)
class Decision:
    """What a predictor says about n samples.

    Attributes
    ----------
    prediction
        (n,) int64, positions in the predictor's classes.
    confidence
        (n,) float64, the predictor's probability that `prediction` is right.
    accepted
        (n,) bool, whether the confidence reaches the target's threshold; all true without a
        target.
    used_large
        (n,) bool, whether the large model took part: all true but for cascades.
    """

    prediction: np.ndarray
    confidence: np.ndarray
    accepted: np.ndarray
    used_large: np.ndarray

    @property
    def deferred(self) -> np.ndarray:
        """(n,) bool: left to whoever decides where the predictor is not sure enough."""
        return ~self.accepted


class Predictor:
    """A temperature-scaled model, a duo or a cascade with its thresholds.

    Parameters
    ----------
    document
        The content of a predictor file; see `sidekick.deployment.write`.
    source
        What it is called in messages.

    Attributes
    ----------
    kind
        `temperature`, `duo`, `cascade` or `duo_cascade`.
    classes
        The number of classes C.
    class_names
        C strings, or None.
    targets
        Names of the selective accuracies that were certified, such as `accuracy>=0.95`.
    budgets
        Names of a cascade's budgets, such as `deferral<=0.25` or `gmacs<=1.2`.
    document
        The whole file: thresholds with their sample sizes and guarantees, costs, provenance.

    Raises
    ------
    PredictorError
        If the document is no predictor, of a newer version or incomplete.
    """

    def __init__(self, document: Mapping[str, Any], source: str = "predictor"):
        self._source = source
        self.document = document
        self._check_version()
        self.kind = self._one_of("kind", KINDS)
        self.variant = self._one_of("variant", VARIANTS)
        self.classes = self._get(document, "classes", int)
        self.class_names = document.get("class_names")
        if self.class_names is not None:
            names = self._get(document, "class_names", list)
            if len(names) != self.classes:
                self._refuse("class_names", f"{len(names)} names", f"{self.classes} names")
        self._smalls = self._count_smalls()
        weights = self._get(document, "weights", dict)
        self._full = self._weights("weights.full", weights.get("full"), self._expected_full())
        if self.kind in CASCADES:
            alone = [weights.get("small_alone")]
            self._alone = self._weights("weights.small_alone", alone, 1)
            self._gate = self._one_of("gate", tuple(GATES))
        self._budgets = self._table("budgets", lambda entry: entry["name"])
        self._targets = self._table("targets", lambda entry: (entry["name"], entry["budget"]))
        self.budgets = list(self._budgets)
        self.targets = list(dict.fromkeys(name for name, _ in self._targets))

    def __repr__(self) -> str:
        models = self.document["models"]
        names = [models["large"]["name"], *(small["name"] for small in models.get("small", []))]
        return f"Predictor({self.kind} of {' + '.join(names)}, {self.classes} classes)"

    def __call__(
        self,
        logits_large: np.ndarray | None = None,
        logits_small: np.ndarray | Sequence[np.ndarray] | None = None,
        *,
        target: str | None = None,
        budget: str | None = None,
    ) -> Decision:
        """Answer a batch.

        Parameters
        ----------
        logits_large
            (n, C) logits of the large model. A cascade may be given the deferred rows only, in
            their order: (number of deferred rows, C), or None if there are none.
        logits_small
            (n, C) logits of the small model, in the same order of samples; a sequence of such
            arrays for a duo with several sidekicks. A temperature needs none.
        target
            One of `targets`; None accepts everything.
        budget
            One of `budgets`, for cascades; may be left out if there is one only.

        Raises
        ------
        PredictorError
            On wrong shapes or class counts, NaN or +inf logits, a sample without any option, an
            unknown target or budget, or one that nothing on `val` could certify.
        """
        if self.kind in CASCADES:
            decided = self._cascade(logits_large, logits_small, budget)
        else:
            if budget is not None:
                raise PredictorError(f"{self._source}: a {self.kind} has no budgets; leave it out")
            answers = self._answer(self._all_logits(logits_large, logits_small), self._full)
            decided = *answers, np.ones(len(answers[0]), dtype=bool)
        prediction, confidence, used_large = decided
        accepted = np.ones(len(prediction), dtype=bool)
        if target is not None:
            accepted = confidence >= self._accept_threshold(target, budget)
        return Decision(prediction, confidence, accepted, used_large)

    def defer(self, logits_small: np.ndarray, *, budget: str | None = None) -> np.ndarray:
        """Tell which samples of a batch the large model must see: the first step of a cascade.

        Parameters
        ----------
        logits_small
            (n, C) logits of the small model.
        budget
            As in `__call__`.

        Returns
        -------
        ndarray of bool, shape (n,)
        """
        return self.gate(logits_small) < self._gate_threshold(budget)

    def gate(self, logits_small: np.ndarray) -> np.ndarray:
        """Give the confidence (n,) by which a cascade defers, from (n, C) logits as they are."""
        if self.kind not in CASCADES:
            raise PredictorError(f"{self._source}: a {self.kind} runs every model on every sample")
        return GATES[self._gate](self._logits("logits_small", logits_small))

    def _cascade(self, logits_large, logits_small, budget):
        defer = self.defer(logits_small, budget=budget)
        small = self._logits("logits_small", logits_small)
        rows = np.flatnonzero(defer)
        prediction, confidence = self._answer([small], self._alone)
        if rows.size:
            large = self._deferred_logits(logits_large, defer)
            members = [large, small[rows]] if self.kind == "duo_cascade" else [large]
            prediction[rows], confidence[rows] = self._answer(members, self._full)
        return prediction, confidence, defer

    def _deferred_logits(self, logits: np.ndarray | None, defer: np.ndarray) -> np.ndarray:
        rows = int(defer.sum())
        if logits is None:
            raise PredictorError(
                f"logits_large: none given, but {rows} of {len(defer)} samples are deferred; see "
                "Predictor.defer"
            )
        large = self._logits("logits_large", logits)
        if len(large) == rows:
            return large
        if len(large) == len(defer):
            return large[defer]
        raise PredictorError(
            f"logits_large: {len(large)} rows; expected one for each of the {len(defer)} samples, "
            f"or for each of the {rows} deferred ones"
        )

    def _answer(self, members: Sequence[np.ndarray], weights: np.ndarray):
        """Give answers (n,) and their probabilities (n,) under the weighted sum of logits."""
        combined = _combine(members, weights)
        empty = np.isneginf(combined).all(axis=1)
        if empty.any():
            raise PredictorError(f"row {empty.argmax()}: no option is present in every model")
        # Without any weight all options are equally likely: the first model then answers.
        follow_first = self.variant == "uq_only" or not weights.any()
        answers = np.argmax(members[0] if follow_first else combined, axis=1)
        return answers, _probability_of(combined, answers)

    def _all_logits(self, large, small) -> list[np.ndarray]:
        if large is None:
            raise PredictorError(f"logits_large: none given, but a {self.kind} needs them")
        arrays = {"logits_large": large}
        several = isinstance(small, Sequence)
        smalls = list(small) if several else [] if small is None else [small]
        if len(smalls) != self._smalls:
            raise PredictorError(
                f"logits_small: {len(smalls)} arrays; this {self.kind} has {self._smalls} small "
                "models"
            )
        for index, array in enumerate(smalls):
            arrays[f"logits_small[{index}]" if several else "logits_small"] = array
        members = [self._logits(name, array) for name, array in arrays.items()]
        for name, member in zip(arrays, members, strict=True):
            if len(member) != len(members[0]):
                raise PredictorError(
                    f"{name}: {len(member)} rows, but logits_large has {len(members[0])}"
                )
        return members

    def _logits(self, name: str, values: np.ndarray) -> np.ndarray:
        logits = np.asarray(values)
        if logits.ndim != 2 or logits.shape[1] != self.classes:
            raise PredictorError(
                f"{name}: shape {logits.shape}; expected (samples, {self.classes}), for this "
                f"predictor knows {self.classes} classes"
            )
        logits = logits.astype(np.float64, copy=False)
        for bad, what in (
            (np.isnan(logits).any(axis=1), "a logit is NaN"),
            (np.isposinf(logits).any(axis=1), "a logit is infinite"),
            (np.isneginf(logits).all(axis=1), "no logit is finite"),
        ):
            if bad.any():
                raise PredictorError(f"{name}: row {bad.argmax()}: {what}")
        return logits

    def _gate_threshold(self, name: str | None) -> float:
        return self._threshold("budget", self._budgets, self._budget_name(name))

    def _accept_threshold(self, name: str, budget: str | None) -> float:
        if name not in self.targets:
            raise PredictorError(f"target: {name!r}; {self._source} has {self.targets}")
        key = name, self._budget_name(budget) if self.kind in CASCADES else None
        return self._threshold("target", self._targets, key)

    def _budget_name(self, name: str | None) -> str:
        if name is None and len(self.budgets) == 1:
            return self.budgets[0]
        if name not in self._budgets:
            raise PredictorError(f"budget: {name!r}; {self._source} has {self.budgets}")
        return name

    def _threshold(self, what: str, table: Mapping[Any, Mapping[str, Any]], key: Any) -> float:
        entry = table.get(key)
        if entry is None:
            raise PredictorError(f"{what}: {key!r} is not in {self._source}")
        if entry["threshold"] is None:
            raise PredictorError(f"{what}: {key!r} has no threshold: {entry['reason']}")
        return float(entry["threshold"])

    def _expected_full(self) -> int:
        """Give how many models answer together, after checking how many there are."""
        allowed = {"temperature": self._smalls == 0, "duo": self._smalls >= 1}
        if not allowed.get(self.kind, self._smalls == 1):
            self._refuse("models.small", f"{self._smalls} models", f"as many as a {self.kind} has")
        return 1 if self.kind == "cascade" else 1 + self._smalls

    def _count_smalls(self) -> int:
        """Give how many small models there are, after checking that every model has a name."""
        models = self._get(self.document, "models", dict)
        large, smalls = self._get(models, "large", dict), models.get("small", [])
        try:
            for model in [large, *smalls]:
                self._get(model, "name", str)
        except (TypeError, AttributeError):
            self._refuse("models.small", repr(smalls), "a list of models with their names")
        return len(smalls)

    def _check_version(self) -> None:
        found = self.document.get("format") if isinstance(self.document, Mapping) else None
        if found != FORMAT:
            raise PredictorError(f"{self._source}: not a predictor file (format {found!r})")
        version = self._get(self.document, "version", int)
        if version > VERSION:
            raise PredictorError(
                f"{self._source}: version {version} of the format, but this code reads up to "
                f"{VERSION}; install a newer Sidekick"
            )

    def _weights(self, key: str, values: Any, count: int) -> np.ndarray:
        try:
            weights = np.array(values, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            weights = np.empty(0)
        if weights.shape != (count,) or not np.all((weights >= 0) & np.isfinite(weights)):
            self._refuse(key, values, f"{count} numbers from 0 up")
        return weights

    def _table(self, key: str, name_of) -> dict[Any, Mapping[str, Any]]:
        try:
            table = {name_of(entry): entry for entry in self._get(self.document, key, list)}
            for entry in table.values():
                if entry["threshold"] is None:
                    entry["reason"]
                elif np.isnan(float(entry["threshold"])):
                    raise ValueError("a threshold is NaN")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            self._refuse(key, error, "a list of entries with name, threshold and so on")
        return table

    def _one_of(self, key: str, allowed: Sequence[str]) -> str:
        value = self._get(self.document, key, str)
        if value not in allowed:
            self._refuse(key, repr(value), ", ".join(allowed))
        return value

    def _get(self, block: Mapping[str, Any], key: str, kind: type) -> Any:
        value = block.get(key)
        if not isinstance(value, kind):
            self._refuse(key, repr(value), f"of type {kind.__name__}")
        return value

    def _refuse(self, key: str, value: object, allowed: str) -> None:
        raise PredictorError(f"{self._source}: {key}: {value}; allowed is {allowed}")


def load(path: str | Path) -> Predictor:
    """Load a predictor file.

    Raises
    ------
    PredictorError
        If the file is missing, is no predictor, is not as it was written, or was written by a
        newer Sidekick.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise PredictorError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise PredictorError(f"{path}: not a JSON file ({error})") from None
    if isinstance(document, dict) and "sha256" in document:
        recorded = document.pop("sha256")
        if recorded != hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest():
            raise PredictorError(
                f"{path}: its content is not what was written. Copy it again from where it was "
                "made; or, if it was changed on purpose, remove its key sha256"
            )
    return Predictor(document, str(path))


def max_softmax(logits: np.ndarray) -> np.ndarray:
    """Give the largest probability of each row of (n, C) logits."""
    return _probability_of(logits, logits.argmax(axis=1))


def margin(logits: np.ndarray) -> np.ndarray:
    """Give the difference of the two largest probabilities of each row; 1 for a single option."""
    if logits.shape[1] == 1:
        return np.ones(len(logits))
    second, first = np.partition(logits, -2, axis=1)[:, -2:].T
    return -np.expm1(second - first) / (1.0 + _mass(logits)[1])


def negative_entropy(logits: np.ndarray) -> np.ndarray:
    """Give the negated entropy of each row's probabilities, in nats: larger is surer."""
    mass, rest = _mass(logits)
    centred = logits - logits.max(axis=1, keepdims=True)
    # An absent option has mass 0 and adds 0 * -inf, whose limit is 0.
    finite = np.where(np.isneginf(centred), 0.0, centred)
    return (mass * finite).sum(axis=1) / (1.0 + rest) - np.log1p(rest)


# What decides whether a cascade's small model is sure enough, from its logits as they are.
GATES = {"max_softmax": max_softmax, "margin": margin, "negative_entropy": negative_entropy}


def _combine(members: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Add weighted logits; an option that is absent (-inf) in one model stays absent."""
    absent = np.isneginf(members).any(axis=0)
    total = np.zeros(members[0].shape)
    for weight, member in zip(weights, members, strict=True):
        total += weight * np.where(absent, 0.0, member)
    return np.where(absent, -np.inf, total)


def _mass(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give exp(z - max z) (n, C) and, per row, its sum without the top option's 1 (n,)."""
    mass = np.exp(logits - logits.max(axis=1, keepdims=True))
    rows, top = np.arange(len(logits)), logits.argmax(axis=1)
    mass[rows, top] = 0.0
    rest = mass.sum(axis=1)
    mass[rows, top] = 1.0
    return mass, rest


def _probability_of(logits: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Give softmax(z)[answer] (n,), keeping digits where one option holds nearly everything."""
    mass, rest = _mass(logits)
    own = mass[np.arange(len(logits)), answers]
    is_top = answers == logits.argmax(axis=1)
    total = 1.0 + rest
    return np.where(is_top & (rest < 1.0), 1.0 - rest / total, own / total)
