"""Gates: scores by which a cascade tells what to keep from what to defer, from logits alone.

A gate maps the small model's logits (n, C) to a confidence (n,), larger for surer; absent options
are −inf. What a gate has to fit, it fits on `val`. The learned gate is in
:mod:`sidekick.methods.learned_gate`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from sidekick.errors import SidekickError
from sidekick.methods.temperature import fit_temperature, scale
from sidekick.methods.weight_fit import WeightFit
from sidekick.metrics import (
    auroc,
    evaluate_deferral,
    margin,
    max_softmax,
    negative_entropy,
    unit_weights,
)

NORMS = (0, 1, 2, 3, 4, 5, 6, 7, 8)
"""The p among which that of the p-norm is chosen, as in its authors' released code; 0 is none."""

_BLOCK_ELEMENTS = 2**20


@dataclass(frozen=True)
class Gate:
    """A gate with all that it has fitted.

    Attributes
    ----------
    name
        In tables, `[a-z_]+`.
    parameters
        What was fitted, by name.
    score
        Maps logits (n, C) to confidences (n,) float64.
    """

    name: str
    score: Callable[[np.ndarray], np.ndarray]
    parameters: Mapping[str, float] = field(default_factory=dict)

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Give the confidence (n,) of each row of logits (n, C)."""
        return self.score(logits)


def fit_gates(
    logits: np.ndarray, labels: np.ndarray, large_score: np.ndarray | None = None
) -> dict[str, Gate]:
    """Fit every gate on validation logits.

    Parameters
    ----------
    logits
        (n, C) of the small model.
    labels
        (n,).
    large_score
        (n,) what answers deferred samples scores on each, in [0, 1]. With it the p of the p-norm
        is chosen by the area under the deferral curve, else by the AUROC of the small model's
        correctness.

    Returns
    -------
    dict
        `max_softmax`, `margin` and `entropy`; the same of logits divided by their temperature,
        `…_scaled`; and `max_logit_pnorm`, which a temperature leaves as it is.
    """
    fit = fit_temperature(logits, labels)
    plain = {"max_softmax": max_softmax, "margin": margin, "entropy": negative_entropy}
    gates = [Gate(name, score) for name, score in plain.items()]
    for name, score in plain.items():
        parameters = {"weight": float(fit.weights[0])}
        gates.append(Gate(f"{name}_scaled", partial(_of_scaled, score, fit), parameters))
    correct = np.argmax(logits, axis=1) == labels
    norm = choose_norm(logits, correct, large_score)
    gates.append(Gate("max_logit_pnorm", partial(max_logit_pnorm, norm=norm), {"norm": norm}))
    return {gate.name: gate for gate in gates}


def max_logit_pnorm(logits: np.ndarray, norm: float) -> np.ndarray:
    """Return max_c (z_c − mean z)/‖z − mean z‖_p of each row.

    Parameters
    ----------
    logits
        (n, C); absent options are left out of mean and norm. A constant added to a row makes no
        difference, nor does a temperature unless p is 0.
    norm
        p, at least 1, or 0: then nothing is divided.

    Returns
    -------
    ndarray of float64, shape (n,)
        In [0, 1] unless p is 0. Rows whose logits are all equal get 0; those with a single option,
        which is certain, get 1 (+inf if p is 0).

    Raises
    ------
    SidekickError
        A row has a NaN or +inf logit, or none that is finite.

    Notes
    -----
    Cattelan and Silva, *How to Fix a Broken Confidence Estimator*, UAI 2024, arXiv 2305.15508.
    """
    logits = np.asarray(logits)
    scores = np.empty(len(logits))
    step = max(1, _BLOCK_ELEMENTS // logits.shape[1])
    for first in range(0, len(logits), step):
        block = logits[first : first + step].astype(np.float64)
        present = ~np.isneginf(block)
        count = present.sum(axis=1)
        highest = block.max(axis=1)
        if not np.isfinite(highest).all():
            row = first + int((~np.isfinite(highest)).argmax())
            raise SidekickError(f"logits in row {row} have no largest finite one")
        # Relative to the largest, so that equal logits are exactly equal to their mean.
        centred = np.where(present, block - highest[:, None], 0.0)
        mean = centred.sum(axis=1) / count
        scores[first : first + step] = _normalised(
            -mean, np.where(present, centred - mean[:, None], 0.0), count == 1, norm
        )
    return scores


def choose_norm(
    logits: np.ndarray, correct: np.ndarray, large_score: np.ndarray | None = None
) -> int:
    """Choose the p of `max_logit_pnorm` among `NORMS`; of equals, the first.

    Parameters
    ----------
    logits
        (n, C) on `val`.
    correct
        (n,) bool: whether the small model is right.
    large_score
        As for `fit_gates`. Without it, and where all or none are right, every p is equal.
    """
    weights = unit_weights(len(correct))

    def quality(norm: int) -> float:
        confidence = max_logit_pnorm(logits, norm)
        if large_score is None:
            value = auroc(confidence, correct, weights)[0]
        else:
            score = np.asarray(correct, dtype=np.float64)
            value = evaluate_deferral(confidence, score, large_score, weights).deferral_area[0]
        return -np.inf if np.isnan(value) else value

    return max(NORMS, key=quality)


def _normalised(
    top: np.ndarray, centred: np.ndarray, is_single: np.ndarray, norm: float
) -> np.ndarray:
    """Divide the largest centred logit (n,) by the row's norm."""
    if norm == 0:
        return np.where(is_single, np.inf, top)
    size = np.abs(centred)
    # The largest is taken out, for the powers would over- or underflow.
    largest = size.max(axis=1)
    is_flat = largest == 0
    scale = np.where(is_flat, 1.0, largest)
    norms = scale * ((size / scale[:, None]) ** norm).sum(axis=1) ** (1 / norm)
    flat = np.where(is_single, 1.0, 0.0)
    return np.where(is_flat, flat, top / np.where(is_flat, 1.0, norms))


def _of_scaled(
    score: Callable[[np.ndarray], np.ndarray], fit: WeightFit, logits: np.ndarray
) -> np.ndarray:
    return score(scale(logits, fit).logits)
