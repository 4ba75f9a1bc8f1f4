import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sidekick.logit_cache.prefixes import shared_prefixes

A, B = list(range(60)), list(range(100, 140))


def test_groups():
    contexts = [[*B, 1, 2], [*A, 7], [9, 9], [*B, 3], [*A, 8, 8, 8], [*A, 7, 6], [*B, 1, 5], [4]]
    assert shared_prefixes(contexts) == [(60, [1, 5, 4]), (40, [0, 6, 3]), (0, [2, 7])]


def test_every_context_keeps_its_last_token():
    assert shared_prefixes([A, A, A]) == [(59, [0, 1, 2])]
    assert shared_prefixes([A, [*A, 1], [*A, 1, 2]]) == [(59, [0, 1, 2])]


def test_too_few_too_short_or_too_little():
    assert shared_prefixes([[*A, 1], [*A, 2], B]) == [(0, [0, 1, 2])]
    short = [[*A[:31], 900 + i] for i in range(4)]
    assert shared_prefixes(short) == [(0, [0, 1, 2, 3])]
    long = [A + list(range(1000 * i, 1000 * i + 61)) for i in range(1, 5)]
    assert shared_prefixes(long) == [(0, [0, 1, 2, 3])]


def test_nothing():
    assert shared_prefixes([]) == []


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_contexts(seed):
    rng = np.random.default_rng(seed)
    roots = [rng.integers(0, 3, rng.integers(20, 90)).tolist() for _ in range(3)]
    contexts = [
        roots[rng.integers(3)] + rng.integers(0, 3, rng.integers(1, 60)).tolist() for _ in range(25)
    ]
    groups = shared_prefixes(contexts)
    assert sorted(index for _, members in groups for index in members) == list(range(25))
    for shared, members in groups:
        if not shared:
            continue
        assert shared >= 32
        assert len(members) >= 3
        assert len({tuple(contexts[index][:shared]) for index in members}) == 1
        assert all(len(contexts[index]) / 2 <= shared < len(contexts[index]) for index in members)
