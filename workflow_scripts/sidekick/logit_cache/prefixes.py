"""Find contexts that begin with the same tokens."""

from collections.abc import Sequence
from itertools import takewhile

_LEAST_TOKENS = 32
_LEAST_CONTEXTS = 3


def shared_prefixes(contexts: Sequence[Sequence[int]]) -> list[tuple[int, list[int]]]:
    """Group contexts by what they begin with, where that is worth reading on its own.

    Neighbours in alphabetical order form a group as long as what all of them share is at least
    half of each, and at least 32 tokens. At least three contexts make a group, and each keeps at
    least its last token for itself.

    Parameters
    ----------
    contexts
        Token ids.

    Returns
    -------
    list of (int, list of int)
        How many tokens the contexts of a group share, and which they are. All that are in no
        group come together, with 0. Every context occurs once.
    """
    order = sorted(range(len(contexts)), key=lambda index: tuple(contexts[index]))
    groups: list[tuple[int, list[int]]] = []
    shared = longest = 0
    for index in order:
        context = contexts[index]
        if groups:
            first = contexts[groups[-1][1][0]]
            common = min(_common(first, context), shared, len(context) - 1)
            if common >= max(_LEAST_TOKENS, longest / 2, len(context) / 2):
                shared, longest = common, max(longest, len(context))
                groups[-1][1].append(index)
                groups[-1] = (shared, groups[-1][1])
                continue
        shared, longest = len(context) - 1, len(context)
        groups.append((shared, [index]))
    worthwhile = [group for group in groups if len(group[1]) >= _LEAST_CONTEXTS]
    rest = sorted(
        index for _, members in groups if len(members) < _LEAST_CONTEXTS for index in members
    )
    return [*worthwhile, *([(0, rest)] if rest else [])]


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
    return sum(1 for _ in same)
