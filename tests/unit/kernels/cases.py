"""Logits that kernels have to cope with."""

import numpy as np

# One class; fewer, as many and more than a SIMD register holds, and no multiples of it.
CLASSES = (1, 2, 3, 7, 8, 15, 16, 17, 33, 64, 65, 100, 129, 1000, 1025)
TYPES = (np.float16, np.float32, np.float64)


def ordinary(rng, shape):
    return 3 * rng.normal(size=shape)


def equal(rng, shape):
    """All classes tie."""
    return np.full(shape, 2.5)


def huge_gap(rng, shape):
    """One class is beyond all others, up to what float16 reaches."""
    logits = rng.normal(size=shape)
    winner = rng.integers(0, shape[-1], shape[:-1])
    np.put_along_axis(logits, winner[..., None], 6e4, axis=-1)
    return logits


def far_apart(rng, shape):
    """Every class is hundreds from the next one."""
    return rng.permuted(np.broadcast_to(-300.0 * np.arange(shape[-1]), shape), axis=-1).clip(-6e4)


def slight(rng, shape):
    """Differences near the smallest that float16 has."""
    return 1e-6 * rng.normal(size=shape)


SHAPES = (ordinary, equal, huge_gap, far_apart, slight)


def make(kind, seed, models, n, classes, dtype, absent=False):
    """Logits of some models, not centred, and labels that are never absent."""
    rng = np.random.default_rng(seed)
    logits = kind(rng, (models, n, classes))
    labels = rng.integers(0, classes, n).astype(np.int32)
    if absent:
        missing = rng.random((n, classes)) < 0.4
        missing[np.arange(n), labels] = False
        logits = np.where(missing, -np.inf, logits)
    return list(logits.astype(dtype)), labels
