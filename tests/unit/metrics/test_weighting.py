import numpy as np
import pytest
from scipy import sparse

from sidekick.metrics import unit_weights, weighted_mean, weighting


def test_unit_weights_are_one_row_of_ones():
    weights = unit_weights(4)
    assert weights.dtype == np.uint8
    np.testing.assert_array_equal(weights, [[1, 1, 1, 1]])


def test_weighted_mean_is_the_mean_of_repeated_values():
    weights = np.array([[1, 0, 3], [0, 2, 0]], dtype=np.uint8)
    np.testing.assert_allclose(weighted_mean([1.0, 5.0, 2.0], weights), [7 / 4, 5.0])


def test_weighted_mean_of_nothing_is_nan_without_a_warning(recwarn):
    assert np.isnan(weighted_mean([1.0, 2.0], np.zeros((1, 2), dtype=np.uint8)))[0]
    assert not recwarn.list


@pytest.mark.parametrize("make", [np.asarray, sparse.csc_array])
def test_weighted_sums_in_blocks(monkeypatch, make):
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 5, (37, 11)).astype(np.uint16)
    columns = rng.integers(0, 3, (11, 4)).astype(float)
    monkeypatch.setattr(weighting, "BLOCK_ELEMENTS", 50)
    np.testing.assert_array_equal(
        weighting.weighted_sums(weights, make(columns)), weights.astype(float) @ columns
    )


@pytest.mark.parametrize(("replicates", "width"), [(10, 3), (1, 10**9), (7, 0)])
def test_blocks_cover_every_replicate_once(monkeypatch, replicates, width):
    monkeypatch.setattr(weighting, "BLOCK_ELEMENTS", 9)
    blocks = list(weighting.replicate_blocks(replicates, width))
    assert [i for block in blocks for i in range(block.start, block.stop)] == list(
        range(replicates)
    )


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones((2, 3), dtype=np.uint8), "shape"),
        (np.ones(4, dtype=np.uint8), "shape"),
        (np.ones((0, 4), dtype=np.uint8), "shape"),
        (np.ones((2, 4)), "integers"),
        (np.array([[1, 1, -1, 1]]), "negative"),
    ],
)
def test_refused_weights(weights, message):
    with pytest.raises(ValueError, match=message):
        weighting.check_weights(weights, 4)
