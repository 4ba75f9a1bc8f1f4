"""Which sequences make up which batch: those of like length, in an order that a seed decides."""

import numpy as np
import torch
from torch import Tensor

# Batches whose sequences are sorted by length together. More would pad less, but leave less of
# the shuffling: sequences of like length would meet each other epoch after epoch.
_TOGETHER = 32


def epoch_batches(lengths: Tensor, batch_size: int, seed: int, epoch: int) -> list[Tensor]:
    """Give the rows of each batch of one epoch; each row occurs once.

    The rows are shuffled and cut into groups of some batches; within a group they are sorted by
    length and cut into batches, and all batches are shuffled.

    Parameters
    ----------
    lengths
        (n,) int64 on the CPU.
    batch_size
        One batch has fewer rows if it does not divide n.
    seed, epoch
        Decide the order, whatever was drawn before.

    Returns
    -------
    list of Tensor
        (B,) int64 on the CPU each.
    """
    state = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)
    generator = torch.Generator().manual_seed(int(state[0]))
    order = torch.randperm(len(lengths), generator=generator)
    groups = order.split(_TOGETHER * batch_size)
    batches = [
        batch
        for group in groups
        for batch in group[lengths[group].argsort(stable=True)].split(batch_size)
    ]
    return [batches[index] for index in torch.randperm(len(batches), generator=generator)]


def sorted_batches(lengths: Tensor, batch_size: int) -> list[Tensor]:
    """Give the rows of batches that cover all rows once, sorted by length, for evaluation."""
    return list(lengths.argsort(stable=True).split(batch_size))


class StepBatches:
    """The batch of every step of a training, epoch after epoch.

    Parameters
    ----------
    lengths, batch_size, seed
        As for `epoch_batches`.
    """

    def __init__(self, lengths: Tensor, batch_size: int, seed: int) -> None:
        self._lengths, self._batch_size, self._seed = lengths, batch_size, seed
        self.per_epoch = -(-len(lengths) // batch_size)
        self._epoch = -1
        self._batches: list[Tensor] = []

    def __getitem__(self, step: int) -> Tensor:
        """Give the rows of a step, counted from 0: the same however training came there."""
        epoch, index = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._batches = epoch_batches(self._lengths, self._batch_size, self._seed, epoch)
            self._epoch = epoch
        return self._batches[index]
