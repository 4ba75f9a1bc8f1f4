"""Deep ensembles (Lakshminarayanan et al. 2017, arXiv 1612.01474)."""

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp

from sidekick.methods.prediction import Prediction, log_softmax


def ensemble(members: Sequence[np.ndarray]) -> Prediction:
    """Average the softmax of k members' logits (n, C); the cost is k forward passes.

    Computed as a logsumexp of log probabilities, so that tiny probabilities do not underflow.
    """
    stacked = np.stack([log_softmax(np.asarray(member, dtype=np.float64)) for member in members])
    return Prediction(logsumexp(stacked, axis=0) - np.log(len(members)))
