"""A learned gate: predict what a sample gains from the large model, and defer the largest gains.

The best a cascade can do at any cost is to defer the samples of the largest expected gain,
E[score_large − score_small | x] (Jitkrittum et al., *When Does Confidence-Based Cascade Deferral
Suffice?*, NeurIPS 2023, arXiv 2307.02764). Here that gain is regressed on what the small model has
already computed, on `val`; the small model itself stays as it is, and so does its accuracy.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp

from sidekick.errors import SidekickError
from sidekick.metrics import margin, max_softmax, negative_entropy

_KINDS = ("ridge", "trees")
_TOP = 5
# Logarithms of odds and probabilities beyond this are all alike.
_FAR = 30.0
_BLOCK_ELEMENTS = 2**20
# scikit-learn's trees tell no more categories apart.
_MOST_CATEGORIES = 255
_RIDGES = tuple(10.0**power for power in range(-2, 5))
# Few samples and a faint signal: many small steps of small trees.
_TREES = {
    "learning_rate": 0.05,
    "max_iter": 100,
    "max_leaf_nodes": 8,
    "min_samples_leaf": 20,
    "l2_regularization": 1.0,
    "early_stopping": False,
    "random_state": 0,
}


@dataclass(frozen=True, eq=False)
class LearnedGate:
    """A gate that `fit_learned_gate` has fitted.

    Attributes
    ----------
    kind
        `ridge` or `trees`, or `constant` if there was nothing to learn.
    errors
        Mean squared error of the predicted gain on samples that were not fitted, by kind;
        `constant` predicts the mean.
    val_confidence
        (n,) of the samples it was fitted on, each by a model that has not seen it: what
        thresholds are chosen by.
    reason
        Why it is constant, or None.
    """

    kind: str
    errors: Mapping[str, float]
    val_confidence: np.ndarray
    reason: str | None
    _predict: Callable[[np.ndarray, np.ndarray | None], np.ndarray]

    def __call__(self, logits: np.ndarray, features: np.ndarray | None = None) -> np.ndarray:
        """Give the confidence (n,) of other samples: the predicted gain, negated.

        Parameters
        ----------
        logits
            (n, C) of the small model.
        features
            (n, F) pooled features, if it was fitted with them.
        """
        return -self._predict(logits, features)


def fit_learned_gate(
    logits: np.ndarray,
    small_score: np.ndarray,
    large_score: np.ndarray,
    features: np.ndarray | None = None,
    folds: int = 5,
    seed: int = 0,
) -> LearnedGate:
    """Regress the gain of deferral on the small model's logits.

    Two models are tried, each fitted on all folds but one and asked about that one: a ridge
    regression (its penalty chosen by leave-one-out within the fitted folds), which also reads the
    pooled features, and gradient-boosted trees, which also know the predicted class. The one of the
    smaller squared error is fitted again on everything. The squared error, and not the deferral
    area, decides because its minimiser is the expected gain itself, and it is far less noisy.

    Parameters
    ----------
    logits
        (n, C) of the small model on `val`; absent options are −inf.
    small_score, large_score
        (n,) of the small model and of what answers deferred samples; real-valued.
    features
        (n, F) the small model's pooled features, optionally.
    folds
        Number of folds K.
    seed
        Of the draw of folds; they are spread evenly over gains.

    Returns
    -------
    LearnedGate
        Of kind `constant` if every gain is the same, there are fewer than 2 K samples, or neither
        model predicts better than the mean.

    Raises
    ------
    SidekickError
        Lengths differ, a score or feature is not finite, or a logit is NaN or +inf.
    """
    logits = np.asarray(logits)
    gain = np.asarray(large_score, dtype=np.float64) - np.asarray(small_score, dtype=np.float64)
    _check(logits, gain, features)
    if len(gain) < 2 * folds or np.ptp(gain) == 0:
        what = "all samples gain the same" if len(gain) >= 2 * folds else "too few samples"
        return _constant(gain, {}, what)
    fold = _assign(gain, folds, seed)
    inputs = {kind: _inputs(kind, logits, features) for kind in _KINDS}
    held_out = {kind: np.empty(len(gain)) for kind in (*_KINDS, "constant")}
    for own in range(folds):
        fitted, asked = fold != own, fold == own
        held_out["constant"][asked] = gain[fitted].mean()
        for kind, read in inputs.items():
            held_out[kind][asked] = _fit(kind, read[fitted], gain[fitted]).predict(read[asked])
    errors = {kind: float(np.mean((gain - own) ** 2)) for kind, own in held_out.items()}
    # Of equals, the first.
    best = min(_KINDS, key=errors.get)
    if errors[best] >= errors["constant"]:
        return _constant(gain, errors, "no model predicts better than the mean")
    model = _fit(best, inputs[best], gain)
    return LearnedGate(
        kind=best,
        errors=errors,
        val_confidence=-held_out[best],
        reason=None,
        _predict=lambda logits, features: model.predict(_inputs(best, logits, features)),
    )


def logit_features(logits: np.ndarray) -> np.ndarray:
    """Describe each row of logits by a few numbers.

    Parameters
    ----------
    logits
        (n, C) float; absent options are −inf.

    Returns
    -------
    ndarray of float64, shape (n, 2 K + 5)
        With K = min(5, C): the K largest log probabilities (at least −30) and probabilities, both
        descending, the margin, the negative entropy, the log of the odds of the top class (at most
        30), the logsumexp of the logits minus their mean, and the number of options.
    """
    logits = np.asarray(logits)
    step = max(1, _BLOCK_ELEMENTS // logits.shape[1])
    starts = range(0, len(logits), step)
    return np.concatenate([_describe(logits[first : first + step]) for first in starts])


def _describe(block: np.ndarray) -> np.ndarray:
    block = block.astype(np.float64)
    top = max_softmax(block)
    with np.errstate(divide="ignore"):
        odds = np.log(top) - np.log1p(-top)
    present = ~np.isneginf(block)
    count = present.sum(axis=1)
    mean = np.where(present, block, 0.0).sum(axis=1) / count
    total = logsumexp(block, axis=1)
    classes = block.shape[1]
    kept = min(_TOP, classes)
    largest = np.partition(block, classes - kept, axis=1)[:, classes - kept :]
    largest = np.sort(largest, axis=1)[:, ::-1] - total[:, None]
    return np.column_stack(
        [
            np.maximum(largest, -_FAR),
            np.exp(largest),
            margin(block),
            negative_entropy(block),
            np.minimum(odds, _FAR),
            total - mean,
            count,
        ]
    )


def _inputs(kind: str, logits: np.ndarray, features: np.ndarray | None) -> np.ndarray:
    """Give what a kind of model reads: (n, D) float64."""
    own = logit_features(logits)
    if kind == "ridge":
        return own if features is None else np.column_stack([own, features])
    answer = np.argmax(logits, axis=1)
    if np.shape(logits)[1] > _MOST_CATEGORIES:
        # No category, but still a column: the trees then need no second form.
        answer = np.zeros_like(answer)
    return np.column_stack([answer, own])


def _fit(kind: str, inputs: np.ndarray, gain: np.ndarray) -> Any:
    """Fit a model of scikit-learn's."""
    if kind == "ridge":
        from sklearn.linear_model import RidgeCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), RidgeCV(_RIDGES)).fit(inputs, gain)
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(categorical_features=[0], **_TREES).fit(inputs, gain)


def _check(logits: np.ndarray, gain: np.ndarray, features: np.ndarray | None) -> None:
    if logits.ndim != 2 or gain.shape != (len(logits),) or not len(gain):
        raise SidekickError(
            f"learned gate: logits of shape {logits.shape} and scores of shape {gain.shape}"
        )
    if not np.isfinite(gain).all():
        row = int((~np.isfinite(gain)).argmax())
        raise SidekickError(f"learned gate: a score in row {row} is not finite")
    if features is not None and (len(features) != len(gain) or not np.isfinite(features).all()):
        raise SidekickError(
            f"learned gate: features of shape {np.shape(features)}, or not finite, for "
            f"{len(gain)} samples"
        )


def _constant(gain: np.ndarray, errors: Mapping[str, float], reason: str) -> LearnedGate:
    mean = float(gain.mean())
    return LearnedGate(
        kind="constant",
        errors=errors,
        val_confidence=np.full(len(gain), -mean),
        reason=reason,
        _predict=lambda logits, features: np.full(len(logits), mean),
    )


def _assign(gain: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Draw the fold (n,) of each sample, spread evenly over gains."""
    order = np.random.default_rng(seed).permutation(len(gain))
    order = order[np.argsort(gain[order], kind="stable")]
    fold = np.empty(len(gain), dtype=np.int64)
    fold[order] = np.arange(len(gain)) % folds
    return fold
