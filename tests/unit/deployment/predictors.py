"""Made-up predictors to write, load and spoil."""

import functools

import numpy as np

from sidekick.deployment.write import Member, tuning_rows, write_predictor
from unit.methods.data import make_models

SMALL_ALONE = 0.9
WEIGHTS = {
    "temperature": [0.6],
    "duo": [0.7, 0.4],
    "cascade": [0.6],
    "duo_cascade": [0.7, 0.4],
}
BUDGETS = {"deferral_ratios": (0.2, 0.5), "gmacs_budgets": (0.5, 3.0)}


@functools.cache
def models(seed=0, n=2000, classes=5):
    """Logits of a large and a small model, and the labels."""
    (large, small), labels = make_models(seed, n=n, classes=classes, signals=(4.0, 2.5))
    return large, small, labels


def write(path, kind, **changes):
    """Write a predictor of the made-up models."""
    large, small, labels = models()
    ids = np.array([f"sample_{row}" for row in range(len(labels))], dtype=object)
    arguments = {
        "kind": kind,
        "large": Member("big", 10.0, large),
        "smalls": [] if kind == "temperature" else [Member("tiny", 1.0, small)],
        "weights": WEIGHTS.get(kind),
        "labels": labels,
        "tuning": tuning_rows(ids, labels, seed=0),
        "accuracies": (0.8, 0.9, 0.9999),
        "provenance": {"benchmark": "toy", "seed": 0},
    }
    if "cascade" in kind:
        arguments |= {"small_weight": SMALL_ALONE, **BUDGETS}
    return write_predictor(path, **{**arguments, **changes})
