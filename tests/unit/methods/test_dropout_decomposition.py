import math
from collections import Counter

import numpy as np
import pytest

from sidekick.errors import SidekickError
from sidekick.methods.dropout_decomposition import decompose


def entropy(distribution):
    return -sum(p * math.log(p) for p in distribution if p > 0)


def plain(passes):
    """One sample's uncertainties, pass by pass, class by class."""
    count, classes = passes.shape
    shares = [[s / sum(row) for s in row] for row in passes]
    mean = [sum(row[c] for row in shares) / count for c in range(classes)]
    expected = sum(map(entropy, shares)) / count
    answers = Counter(int(np.argmax(row)) for row in passes)
    return {
        "predictive_entropy": entropy(mean),
        "expected_entropy": expected,
        "mutual_information": entropy(mean) - expected,
        "variation_ratio": 1 - max(answers.values()) / count,
    }


@pytest.mark.parametrize("count", [2, 5, 50])
@pytest.mark.parametrize("classes", [2, 7])
def test_against_plain_loops(count, classes):
    passes = np.random.default_rng(count).beta(0.5, 0.5, (count, 9, classes))
    found = decompose(passes)
    for row in range(9):
        for name, value in plain(passes[:, row]).items():
            assert getattr(found, name)[row] == pytest.approx(value, abs=1e-12)


def test_passes_that_agree_share_all_uncertainty():
    passes = np.tile(np.random.default_rng(0).random((1, 5, 4)), (10, 1, 1))
    found = decompose(passes)
    np.testing.assert_allclose(found.mutual_information, 0, atol=1e-12)
    assert found.variation_ratio.tolist() == [0.0] * 5
    assert (found.predictive_entropy > 0).all()


def test_passes_that_are_sure_and_disagree_share_none():
    passes = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    found = decompose(passes)
    assert found.expected_entropy.tolist() == [0.0]
    np.testing.assert_allclose(found.mutual_information, math.log(2))
    assert found.variation_ratio.tolist() == [0.5]


def test_a_pass_that_denies_every_class_is_undecided():
    found = decompose(np.zeros((2, 1, 4)))
    np.testing.assert_allclose(found.predictive_entropy, math.log(4))


def test_passes_can_come_one_after_the_other():
    passes = np.random.default_rng(1).random((4, 3, 2), dtype=np.float32)
    streamed, whole = decompose(iter(passes)), decompose(passes)
    np.testing.assert_array_equal(streamed.mutual_information, whole.mutual_information)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_passes_are_refused(count):
    with pytest.raises(SidekickError, match=f"passes: {count}; at least 2"):
        decompose(np.full((count, 3, 2), 0.5))


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_values_that_are_no_probabilities_are_refused(value):
    passes = np.full((3, 2, 2), 0.5)
    passes[1, 0, 1] = value
    with pytest.raises(SidekickError, match="pass 2"):
        decompose(passes)
