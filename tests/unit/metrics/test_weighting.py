import numpy as np
import pytest

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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_weights_of_any_integer_type(dtype):
    weights = np.random.default_rng(0).integers(0, 5, (37, 11)).astype(dtype)
    values = np.arange(11.0)
    expected = np.average(np.tile(values, (37, 1)), axis=1, weights=weights)
    np.testing.assert_allclose(weighted_mean(values, weights), expected, rtol=1e-13)


def test_sums_do_not_overflow_the_type_of_the_weights():
    weights = np.full((1, 1000), 255, dtype=np.uint8)
    np.testing.assert_allclose(weighted_mean(np.ones(1000), weights), 1.0)


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
