"""Temperature scaling (Guo et al. 2017, arXiv 1706.04599)."""

import numpy as np

from sidekick.methods.prediction import Prediction
from sidekick.methods.weight_fit import WeightFit, fit_weights


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> WeightFit:
    """Fit w = 1 / T on validation logits (n, C), by the NLL."""
    return fit_weights([logits], labels)


def scale(logits: np.ndarray, fit: WeightFit) -> Prediction:
    """Apply a fitted temperature: the softmax of w z.

    The answers stay those of the logits also where w = 0 makes all classes equally likely.
    """
    weight = fit.weights[0]
    answers = None if weight > 0 else np.argmax(logits, axis=1)
    return Prediction(_times(weight, logits), predicted=answers)


def _times(weight: float, logits: np.ndarray) -> np.ndarray:
    """Scale logits, keeping -inf (absent options) also when the weight is 0."""
    return np.where(np.isneginf(logits), -np.inf, weight * np.where(np.isneginf(logits), 0, logits))
