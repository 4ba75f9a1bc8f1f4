"""Asymmetric duos (arXiv 2505.18636): a large model and a small sidekick.

A duo's logits are z = w_l z_l + w_s z_s with weights fitted jointly on `val`. The paper writes the
weights as multipliers, T = w; the authors' released code writes z = (z_l / T_l + z_s / T_s) / 2
with divisors, T = 1 / (2 w).
"""

from dataclasses import replace

import numpy as np

from sidekick.methods.prediction import Prediction, log_softmax
from sidekick.methods.weight_fit import WeightFit, fit_weights


def fit_duo(large: np.ndarray, small: np.ndarray, labels: np.ndarray) -> WeightFit:
    """Fit (w_l, w_s) on validation logits (n, C) by the NLL; w_s = 0 switches the sidekick off."""
    return fit_weights([large, small], labels)


def divisors(weights: np.ndarray) -> np.ndarray:
    """Convert weights to the released code's temperatures, T = 1 / (2 w); inf for weight 0."""
    with np.errstate(divide="ignore"):
        return 1.0 / (2.0 * weights)


def combine(large: np.ndarray, small: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Give w_l z_l + w_s z_s, absent options (-inf) staying absent."""
    absent = np.isneginf(large) | np.isneginf(small)
    total = weights[0] * np.where(absent, 0, large) + weights[1] * np.where(absent, 0, small)
    return np.where(absent, -np.inf, total)


def weighted(large: np.ndarray, small: np.ndarray, fit: WeightFit) -> Prediction:
    """Answer and uncertainty both from the duo: the paper's method."""
    return _predict(large, small, fit.weights)


def unweighted(
    large: np.ndarray, small: np.ndarray, large_fit: WeightFit, small_fit: WeightFit
) -> Prediction:
    """Average the logits, each model scaled by its own single temperature."""
    halves = np.array([large_fit.weights[0], small_fit.weights[0]]) / 2
    return _predict(large, small, halves)


def uq_only(large: np.ndarray, small: np.ndarray, fit: WeightFit) -> Prediction:
    """Answer from the large model, uncertainty 1 - softmax(z)[answer] from the duo."""
    logits = combine(large, small, fit.weights)
    return Prediction(logits, predicted=np.argmax(large, axis=1))


def weighted_as_released(large: np.ndarray, small: np.ndarray, fit: WeightFit) -> Prediction:
    """Give the `weighted` answer with the uncertainty of the authors' released code.

    The code ranks samples by the duo's probability of the *large model's* class, which is not the
    paper's formula. It is kept for reproduction only.
    """
    duo = _predict(large, small, fit.weights)
    rows = np.arange(len(large))
    confidence = np.exp(log_softmax(duo.logits)[rows, np.argmax(large, axis=1)])
    return replace(duo, confidence=confidence)


def _predict(large: np.ndarray, small: np.ndarray, weights: np.ndarray) -> Prediction:
    """Answer from the combined logits; with both weights 0 these are equal, so ask the large."""
    answers = None if weights.any() else np.argmax(large, axis=1)
    return Prediction(combine(large, small, weights), predicted=answers)
