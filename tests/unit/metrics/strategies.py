"""Made-up data: a classifier's logits, and small data sets in which ties are common."""

import numpy as np
from hypothesis import strategies as st

from sidekick.metrics import SampleStatistics

LEVELS = np.array([0.0, 0.2, 1 / 3, 0.5, 0.6, 0.95, 1.0])


def make_logits(seed, n, classes, signal=2.0):
    """Logits of a classifier that is right most of the time, never tied."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)) * 1.5
    logits[np.arange(n), labels] += rng.normal(signal, 1.5, n)
    return logits, labels


@st.composite
def ranked(draw, min_size=1, max_size=10):
    """Confidences with ties, and correctness."""
    n = draw(st.integers(min_size, max_size))
    levels = draw(st.lists(st.sampled_from(range(len(LEVELS))), min_size=n, max_size=n))
    correct = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return LEVELS[levels], np.array(correct)


@st.composite
def statistics(draw, min_size=1, max_size=10, classes=4):
    """Sample statistics with made-up values: metrics do not require them to be consistent."""
    confidence, _ = draw(ranked(min_size, max_size))
    n = confidence.size
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    predicted, label = rng.integers(0, classes, (2, n)).astype(np.int32)
    return SampleStatistics(
        nll=rng.exponential(size=n),
        brier=2 * rng.random(n),
        correct=predicted == label,
        confidence=confidence,
        probability=rng.choice(np.append(LEVELS, 7 / 15), n),
        predicted=predicted,
        label=label,
        classes=classes,
    )


@st.composite
def weights_for(draw, n, replicates=3):
    """Counts 0 to 3, at least one sample in each replicate."""
    rows = st.lists(st.integers(0, 3), min_size=n, max_size=n).filter(any)
    dtype = draw(st.sampled_from([np.uint8, np.uint16, np.int64]))
    return np.array([draw(rows) for _ in range(replicates)], dtype=dtype)
