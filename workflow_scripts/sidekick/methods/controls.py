"""Control methods: what a result must beat, and what nothing can beat."""

from dataclasses import replace

import numpy as np

from sidekick.methods.prediction import Prediction

_MINUS_INFINITY_BITS = np.float16(-np.inf).view(np.uint16)


def random_deferral(sample_count: int, defer_count: int, rng: np.random.Generator) -> np.ndarray:
    """Defer exactly `defer_count` samples, chosen at random: the same compute, no information."""
    defer = np.zeros(sample_count, dtype=bool)
    defer[rng.permutation(sample_count)[:defer_count]] = True
    return defer


def noise_sidekick(small: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle a model's logits between samples.

    Each class keeps its exact distribution of logits, but they say nothing about the sample: a
    sound duo gives such a sidekick a weight of about 0. Samples swap logits only with samples that
    have the same options (-inf in the same places).
    """
    return small[noise_order(small, rng)]


def noise_order(small: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give the row (n,) that each sample of a `noise_sidekick` takes its logits from."""
    order = rng.permutation(len(small))
    # Half-precision numbers are compared as their bits, which is many times faster.
    if small.dtype == np.float16:
        absent = np.ascontiguousarray(small).view(np.uint16) == _MINUS_INFINITY_BITS
    else:
        absent = np.isneginf(small)
    if not absent.any():
        return order
    _, options = np.unique(absent, axis=0, return_inverse=True)
    sources = np.empty_like(order)
    for group in np.unique(options):
        sources[options == group] = order[options[order] == group]
    return sources


def oracle_ordering(prediction: Prediction, labels: np.ndarray) -> Prediction:
    """Rank all correct answers above all wrong ones: no confidence can do better."""
    correct = prediction.answers == labels
    return replace(prediction, confidence=correct.astype(np.float64))


def random_ordering(prediction: Prediction, rng: np.random.Generator) -> Prediction:
    """Rank samples at random: a confidence that knows nothing."""
    return replace(prediction, confidence=rng.random(len(prediction.logits)))
