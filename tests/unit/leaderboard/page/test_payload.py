"""Packing numbers and text for the page."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidekick.leaderboard.page.payload import Words, pack
from unit.leaderboard.page.made import opened


def unpacked(payload: str, name: str) -> np.ndarray:
    header, data = opened(payload)
    offset, shape = header["arrays"][name]
    count = math.prod(shape)
    planes = np.frombuffer(data, np.uint8, 3 * count, offset).reshape(3, count).astype(np.uint32)
    bits = (planes[0] << 24) | (planes[1] << 16) | (planes[2] << 8)
    return bits.view(np.float32).reshape(shape)


NUMBERS = st.floats(-1e30, 1e30).filter(lambda x: x == 0 or abs(x) > 1e-30)


@given(st.lists(NUMBERS | st.sampled_from([np.nan, np.inf, -np.inf]), min_size=1))
def test_numbers_come_back_to_five_digits(numbers):
    array = np.array(numbers)
    found = unpacked(pack({}, {"first": np.arange(5.0), "own": array}), "own")
    np.testing.assert_allclose(found, array, rtol=1.6e-5)
    # A difference must not change its sign, nor touch zero.
    finite = np.isfinite(array)
    assert np.array_equal(np.sign(found[finite]), np.sign(array[finite]))


def test_shapes_come_back_and_packing_is_the_same_each_time():
    array = np.arange(24.0).reshape(2, 3, 4)
    payload = pack({"a": 1}, {"cube": array, "empty": np.zeros((2, 0))})
    assert np.array_equal(unpacked(payload, "cube"), array)
    assert unpacked(payload, "empty").shape == (2, 0)
    assert payload == pack({"a": 1}, {"cube": array, "empty": np.zeros((2, 0))})


def test_the_header_holds_text_as_it_is_and_no_nan():
    text = "</script> \"'\\ \u2028 模型😀"
    header, _ = opened(pack({"t": text, "n": [np.nan, np.inf, np.int64(3), None, True]}, {}))
    assert header["t"] == text
    assert header["n"] == [None, "inf", 3, None, True]


def test_no_character_of_packed_text_has_a_meaning_in_html():
    payload = pack({"t": "</script><!--"}, {})
    assert set(payload) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")


def test_small_numbers_take_little_room():
    random = np.random.default_rng(0).uniform(size=20_000)
    repeated = np.tile(random[:200], 100)
    assert len(pack({}, {"x": random})) < 4.2 * len(random)
    assert len(pack({}, {"x": repeated})) < 0.2 * len(repeated)


@pytest.mark.parametrize("text", ["", "a"])
def test_words_are_kept_once(text):
    words = Words()
    numbers = [words.number(one) for one in (text, "other", None, text)]
    assert numbers == [0, 1, -1, 0]
    assert words.texts == [text, "other"]
