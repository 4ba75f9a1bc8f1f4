from itertools import pairwise

import pytest
import torch

from sidekick.training.language.batching import StepBatches, epoch_batches, sorted_batches

LENGTHS = torch.randint(5, 80, (1001,), generator=torch.Generator().manual_seed(0))


def _equal(some, others):
    return len(some) == len(others) and all(
        torch.equal(a, b) for a, b in zip(some, others, strict=True)
    )


@pytest.mark.parametrize("batch_size", [1, 4, 7, 1000, 1001, 5000])
def test_every_row_occurs_once(batch_size):
    batches = epoch_batches(LENGTHS, batch_size, seed=3, epoch=2)
    assert torch.cat(batches).sort()[0].tolist() == list(range(1001))
    assert len(batches) == -(-1001 // batch_size)
    assert sum(len(batch) != batch_size for batch in batches) <= 1


def test_the_order_is_the_seeds_and_the_epochs():
    torch.manual_seed(1)
    batches = epoch_batches(LENGTHS, 8, seed=3, epoch=2)
    torch.manual_seed(2)
    assert _equal(batches, epoch_batches(LENGTHS, 8, seed=3, epoch=2))
    assert not _equal(batches, epoch_batches(LENGTHS, 8, seed=3, epoch=1))
    assert not _equal(batches, epoch_batches(LENGTHS, 8, seed=2, epoch=2))


def test_rows_of_like_length_meet():
    batches = epoch_batches(LENGTHS, 8, seed=0, epoch=0)
    padded = sum(int(LENGTHS[batch].max()) * len(batch) for batch in batches)
    alike = sum(int(LENGTHS[batch].max()) * len(batch) for batch in sorted_batches(LENGTHS, 8))
    shuffled = torch.randperm(1001, generator=torch.Generator().manual_seed(0)).split(8)
    plain = sum(int(LENGTHS[batch].max()) * len(batch) for batch in shuffled)
    assert int(LENGTHS.sum()) < padded < 1.1 * alike < 0.75 * plain


def test_batches_do_not_come_by_length():
    means = [LENGTHS[batch].double().mean() for batch in epoch_batches(LENGTHS[:256], 8, 0, 0)]
    rising = sum(float(b) > float(a) for a, b in pairwise(means))
    assert 8 <= rising <= 23


def test_rows_meet_others_in_other_epochs():
    together = [
        {frozenset(batch.tolist()) for batch in epoch_batches(LENGTHS, 8, 0, epoch)}
        for epoch in (0, 1)
    ]
    assert not together[0] & together[1]


@pytest.mark.parametrize("start", [0, 1, 125, 126, 300])
def test_a_step_has_its_batch_wherever_training_begins(start):
    whole = StepBatches(LENGTHS, 8, seed=5)
    assert whole.per_epoch == 126
    expected = [whole[step] for step in range(310)]
    again = StepBatches(LENGTHS, 8, seed=5)
    assert _equal([again[step] for step in range(start, 310)], expected[start:])
