"""What every method gives back."""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from sidekick.metrics import SampleStatistics, sample_statistics

# Keeps log(probability) finite where a sigmoid underflows.
_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answers of a predictor on n samples.

    Attributes
    ----------
    logits
        (n, C) float64. Their softmax is the predictive distribution.
    predicted
        (n,) the answer, if it is not the argmax of `logits`.
    confidence
        (n,) the score that ranks samples (higher = surer), if it is not the probability of the
        answer.
    """

    logits: np.ndarray
    predicted: np.ndarray | None = None
    confidence: np.ndarray | None = None

    @property
    def answers(self) -> np.ndarray:
        """(n,) the class that is answered."""
        return self.logits.argmax(axis=1) if self.predicted is None else self.predicted

    def statistics(self, labels: np.ndarray) -> SampleStatistics:
        """Reduce to the per-sample numbers from which every metric follows."""
        return sample_statistics(self.logits, labels, self.predicted, self.confidence)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Give log probabilities of (n, C) logits; -inf logits keep probability 0."""
    return logits - logsumexp(logits, axis=1, keepdims=True)


def from_sigmoids(sigmoids: np.ndarray) -> Prediction:
    """Turn class sigmoids (n, C) into one distribution, p = s / sum(s), as logits log s."""
    return Prediction(np.log(np.maximum(sigmoids, _TINY)))
