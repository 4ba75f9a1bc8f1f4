"""Control methods: what a result must beat, and what nothing can beat."""

from dataclasses import replace

import numpy as np

from sidekick.methods.prediction import Prediction


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
    order = rng.permutation(len(small))
    _, options = np.unique(np.isneginf(small), axis=0, return_inverse=True)
    shuffled = np.empty_like(small)
    for group in np.unique(options):
        shuffled[options == group] = small[order[options[order] == group]]
    return shuffled


def oracle_ordering(prediction: Prediction, labels: np.ndarray) -> Prediction:
    """Rank all correct answers above all wrong ones: no confidence can do better."""
    correct = prediction.answers == labels
    return replace(prediction, confidence=correct.astype(np.float64))


def random_ordering(prediction: Prediction, rng: np.random.Generator) -> Prediction:
    """Rank samples at random: a confidence that knows nothing."""
    return replace(prediction, confidence=rng.random(len(prediction.logits)))
