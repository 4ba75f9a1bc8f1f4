import pytest
import torch

from sidekick.training.language.sequences import Sequences

CPU = torch.device("cpu")
PAIRS = [([1, 2, 3], [4]), ([5], [6, 7]), ([8, 9, 10, 11, 12], [13, 14, 15])]


def test_a_batch_by_hand():
    batch = Sequences(PAIRS, 100, 99, CPU).batch(torch.tensor([2, 0, 1]))
    assert batch.rows.tolist() == [2, 0, 1]
    assert batch.tokens.tolist() == [
        [8, 9, 10, 11, 12, 13, 14],
        [1, 2, 3, 99, 99, 99, 99],
        [5, 6, 99, 99, 99, 99, 99],
    ]
    assert batch.targets.tolist() == [13, 14, 15, 4, 6, 7]
    assert batch.owners.tolist() == [0, 0, 0, 1, 2, 2]
    assert batch.places.tolist() == [4, 5, 6, 7 + 2, 14 + 0, 14 + 1]


@pytest.mark.parametrize("longest", range(1, 9))
def test_long_contexts_lose_their_start(longest):
    sequences = Sequences(PAIRS, longest, 0, CPU)
    for row, (context, continuation) in enumerate(PAIRS):
        # As lm-evaluation-harness 0.4.13 does in HFLM._loglikelihood_tokens.
        expected = [*context, *continuation][-(longest + 1) :][:-1]
        batch = sequences.batch(torch.tensor([row]))
        assert batch.tokens.tolist() == [expected]
        kept = min(len(continuation), longest)
        assert batch.targets.tolist() == continuation[-kept:]
        assert batch.places.tolist() == list(range(len(expected) - kept, len(expected)))


def test_the_digest_is_of_tokens_and_of_where_they_are_cut():
    digests = {
        Sequences(pairs, 100, 0, CPU).digest
        for pairs in (
            PAIRS,
            PAIRS[::-1],
            [([1, 2], [3, 4]), *PAIRS[1:]],
            [([1, 2, 3, 4], [5]), ([6], [7]), PAIRS[2]],
            [([1, 2, 3], [5]), *PAIRS[1:]],
        )
    }
    assert len(digests) == 5
    assert Sequences(list(PAIRS), 100, 7, CPU).digest in digests
