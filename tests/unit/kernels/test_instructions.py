import numba
import numpy as np
import pytest
from numba.core.errors import TypingError

from sidekick.kernels.instructions import LOG2_E, as_float, larger, power_of_two

# Of the kernels, so that sums and products may be reordered and fused here as there.
LANES = {"reassoc", "contract", "nsz"}


@numba.njit(fastmath=LANES, error_model="numpy")
def powers(x, result):
    for i in range(x.size):
        result[i] = power_of_two(x[i])


@numba.njit(fastmath=LANES, error_model="numpy")
def as_floats(x, result):
    for i in range(x.size):
        result[i] = as_float(x[i])


@numba.njit(fastmath=LANES, error_model="numpy")
def largest(x):
    result = x[0]
    for i in range(x.size):
        result = larger(result, x[i])
    return result


def power(x):
    result = np.empty_like(x)
    powers(x, result)
    return result


def test_power_of_two_in_single_precision_over_its_whole_domain():
    """Every 97th float32 from -0 to -inf."""
    first, last = np.float32(-0.0).view(np.uint32), np.float32(-np.inf).view(np.uint32)
    bits = np.arange(first, int(last) + 1, 97, dtype=np.uint32)
    worst = 0.0
    for part in np.array_split(bits, 8):
        x = part.view(np.float32)
        found, wide = power(x), x.astype(np.float64)
        assert (found[wide <= -126] == 2.0**-126).all()
        inside = wide > -126
        exact = np.exp2(wide[inside])
        worst = max(worst, np.abs(found[inside] / exact - 1).max(initial=0.0))
    assert 1e-8 < worst < 1.2e-7


def test_power_of_two_in_double_precision():
    rng = np.random.default_rng(0)
    x = -np.concatenate([rng.uniform(0, 1022, 200_000), np.exp(rng.uniform(-700, 7, 200_000))])
    x = x[x > -1022]
    exact = np.exp2(x.astype(np.longdouble))
    assert np.abs(power(x) / exact - 1).max() < 4e-16


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_power_of_two_at_whole_numbers_and_ends(dtype):
    lowest = np.finfo(dtype).minexp
    whole = np.arange(lowest + 1, 1).astype(dtype)
    assert (power(whole) == np.exp2(whole.astype(np.longdouble))).all()
    # Never more than that, and so close to 0 that it is lost beside a 1.
    beyond = np.array([lowest, lowest - 0.5, -1e6, np.finfo(dtype).min, -np.inf], dtype=dtype)
    assert (power(beyond) == np.finfo(dtype).tiny).all()
    assert power(np.array([0.0, -0.0], dtype=dtype)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_power_of_two_does_not_care_where_in_a_register_a_number_is(dtype):
    x = -np.linspace(0, 130, 1001).astype(dtype)
    whole = power(x)
    for first in (1, 7, 994):
        assert (power(x[first:]) == whole[first:]).all()


def test_scale_of_logits():
    assert np.log2(np.e) == LOG2_E


def test_power_of_two_of_a_whole_number_type_is_refused():
    with pytest.raises(TypingError, match="no power of two of"):
        powers(np.arange(3), np.empty(3))


def test_as_float_over_all_half_precision_numbers():
    bits = np.arange(1 << 16, dtype=np.uint16)
    found = np.empty(bits.size, dtype=np.float32)
    as_floats(bits, found)
    exact = bits.view(np.float16).astype(np.float32)
    assert (np.isnan(found) == np.isnan(exact)).all()
    known = ~np.isnan(exact)
    assert (found[known].view(np.uint32) == exact[known].view(np.uint32)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_as_float_leaves_floats_as_they_are(dtype):
    x = np.array([1.5, -0.0, np.inf, -np.inf, 1e-40], dtype=dtype)
    found = np.empty_like(x)
    as_floats(x, found)
    assert (found.view(np.uint8) == x.view(np.uint8)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 5, 16, 17, 1000])
def test_larger(dtype, size):
    x = np.random.default_rng(size).normal(size=size).astype(dtype)
    for values in (x, -np.abs(x), np.where(x < 0, -np.inf, x).astype(dtype)):
        assert largest(values) == values.max()
    values = np.append(x, dtype(np.inf))
    assert largest(values) == np.inf
