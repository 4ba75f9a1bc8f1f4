"""The greedy choice of sidekicks, with made-up scores."""

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidekick.methods.committee import choose_sidekicks

COSTS = {"large": 4.0, "half": 2.0, "quarter": 1.0, "twin": 1.0, "harmful": 0.5}
GAINS = {"half": 0.3, "quarter": 0.2, "twin": 0.15, "harmful": -0.1}


def score(groups):
    return [1.0 - sum(GAINS.get(model, 0.0) for model in group[1:]) for group in groups]


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (1.1, ("large",)),
        (1.25, ("large", "quarter")),
        (1.5, ("large", "half")),
        (1.75, ("large", "half", "quarter")),
        (2.0, ("large", "half", "quarter", "twin")),
        (10.0, ("large", "half", "quarter", "twin")),
    ],
)
def test_the_best_that_fits_is_added_until_none_helps(budget, expected):
    assert choose_sidekicks(["large"], COSTS, [budget], score, 0.0) == {("large", budget): expected}


def test_a_sidekick_never_costs_more_than_its_large_model():
    chosen = choose_sidekicks(list(COSTS), COSTS, [100.0], score, 0.0)
    assert chosen["twin", 100.0] == ("twin", "quarter")
    assert chosen["quarter", 100.0] == ("quarter",)
    assert chosen["harmful", 100.0] == ("harmful",)


def test_no_group_is_scored_twice_and_steps_are_scored_together():
    calls = []

    def counted(groups):
        calls.append(list(groups))
        return score(groups)

    choose_sidekicks(["large", "half"], COSTS, [1.5, 2.0], counted, 0.0)
    scored = [group for groups in calls for group in groups]
    assert len(scored) == len(set(scored))
    assert len(calls) <= 4


def test_an_equal_score_is_no_improvement():
    chosen = choose_sidekicks(["large"], COSTS, [2.0], lambda groups: [0.5] * len(groups), 0.0)
    assert chosen["large", 2.0] == ("large",)


def test_a_small_gain_is_left_alone():
    chosen = choose_sidekicks(["large"], COSTS, [10.0], score, 0.18)
    assert chosen["large", 10.0] == ("large", "half", "quarter")


@given(
    costs=st.dictionaries(st.sampled_from("abcdef"), st.floats(0.1, 10), min_size=1),
    budgets=st.lists(st.floats(1.01, 4), min_size=1, max_size=3, unique=True),
    seed=st.integers(0, 100),
)
def test_budgets_hold_and_members_are_distinct(costs, budgets, seed):
    def scattered(groups):
        return [crc32(f"{seed}{sorted(group)}".encode()) % 1000 / 1000 for group in groups]

    found = choose_sidekicks(list(costs), costs, budgets, scattered, 0.0)
    for (large, budget), group in found.items():
        assert group[0] == large
        assert len(set(group)) == len(group)
        assert len(group) == 1 or sum(costs[m] for m in group) <= budget * costs[large] * 1.000001
        assert all(costs[model] <= costs[large] for model in group)
