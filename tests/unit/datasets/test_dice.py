from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sidekick.datasets.dice import Dice


def test_draws_are_fixed_for_good():
    dice = Dice("a key")
    assert [dice.below(1000) for _ in range(10)] == [157, 40, 926, 427, 833, 750, 276, 811, 45, 15]
    assert dice.shuffled("abcdef") == ["d", "b", "e", "f", "a", "c"]


def test_streams_of_different_keys_differ():
    one, other = Dice("one"), Dice("other")
    assert [one.below(10**9) for _ in range(4)] != [other.below(10**9) for _ in range(4)]


def test_draws_are_even():
    dice = Dice("even")
    counts = Counter(dice.below(6) for _ in range(6000))
    # Chi-squared with 5 degrees of freedom exceeds 20.5 with probability 0.001.
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 20.5


@given(st.text(max_size=12), st.integers(-50, 50), st.integers(0, 100))
def test_draws_are_within_their_bounds(key, low, width):
    dice = Dice(key)
    assert all(low <= dice.between(low, low + width) <= low + width for _ in range(20))


@given(st.text(max_size=12), st.lists(st.integers(), max_size=12), st.data())
def test_samples_are_of_different_places(key, values, data):
    size = data.draw(st.integers(0, len(values)))
    sample = Dice(key).sample(values, size)
    assert len(sample) == size
    assert not Counter(sample) - Counter(values)
    assert Counter(Dice(key).shuffled(values)) == Counter(values)
