"""Made-up classifiers, and the real softmax outputs of CIFAR-100 classifiers."""

import functools
from pathlib import Path

import numpy as np

REAL = Path(__file__).parents[4] / "shared" / "data" / "softmax_cifar100"


def make_models(seed, n=300, classes=5, signals=(2.0, 1.0), spread=1.5):
    """Logits (n, classes) of several classifiers of the same samples, and the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = []
    for signal in signals:
        own = rng.normal(size=(n, classes)) * spread
        own[np.arange(n), labels] += rng.normal(signal, 1.5, n)
        logits.append(own)
    return logits, labels


@functools.cache
def real_logits(name):
    """Log probabilities (10000, 100) and labels of a classifier, None where they are absent."""
    path = REAL / f"{name}-cifar-100.npz"
    if not path.exists():
        return None
    with np.load(path) as file:
        return np.log(file["predictions"].astype(np.float64)), file["ground_truth"]


def centred_float16(logits):
    """Round as the logit cache does."""
    return (logits - logits.max(axis=1, keepdims=True)).astype(np.float16)
