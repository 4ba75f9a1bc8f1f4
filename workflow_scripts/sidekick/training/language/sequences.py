"""Token sequences that lie on the device, and batches of them.

A sequence is a context and a continuation. Only the continuation's tokens count: they are
predicted at the last places of the sequence, each from all tokens before it. Batches are padded
on the right, where a causal model cannot look, so padding needs no mask; what the model says at
padded places is never computed further than its last hidden state.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenBatch:
    """Some sequences, and where in them which tokens are to be predicted.

    Attributes
    ----------
    rows
        (B,) int64 on the device: which sequences these are.
    tokens
        (B, L) int64: inputs, padded on the right.
    places
        (M,) int64: positions in the flattened (B · L) from which the answers' tokens are
        predicted, sequence after sequence.
    targets
        (M,) int64: the answers' tokens.
    owners
        (M,) int64: which of the B sequences each is of.
    """

    rows: Tensor
    tokens: Tensor
    places: Tensor
    targets: Tensor
    owners: Tensor


class Sequences:
    """Encoded pairs of a context and a continuation.

    Parameters
    ----------
    pairs
        Token ids of context and continuation, neither empty.
    longest
        How many tokens the model reads: contexts that are too long lose tokens at their start, as
        in lm-evaluation-harness.
    padding
        Token that fills rows up.
    device
        Where they lie.

    Attributes
    ----------
    lengths
        (n,) int64 on the CPU: input tokens of each, which are all but the continuation's last.
    answer_lengths
        (n,) int64 on the CPU: tokens of each continuation.
    digest
        Of all tokens.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
        longest: int,
        padding: int,
        device: torch.device,
    ) -> None:
        wholes = [[*context, *continuation][-(longest + 1) :] for context, continuation in pairs]
        sizes = np.array([len(whole) for whole in wholes], dtype=np.int64)
        flat = np.fromiter(
            (token for whole in wholes for token in whole), dtype=np.int64, count=sizes.sum()
        )
        answers = np.array([len(continuation) for _, continuation in pairs], dtype=np.int64)
        self.lengths = torch.from_numpy(sizes - 1)
        # A continuation may itself be longer than what the model reads.
        self.answer_lengths = torch.from_numpy(np.minimum(answers, sizes - 1))
        self._starts = torch.from_numpy(sizes.cumsum() - sizes)
        self._tokens = torch.from_numpy(flat).to(device)
        self._padding = padding
        self._device = device
        self.digest = hashlib.sha256(
            flat.tobytes() + sizes.tobytes() + answers.tobytes()
        ).hexdigest()

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Tensor) -> TokenBatch:
        """Give the sequences `rows` (B,) int64 on the CPU, padded to the longest of them."""
        lengths, answers, starts = self.lengths[rows], self.answer_lengths[rows], self._starts[rows]
        width = int(lengths.max())
        first = lengths - answers
        # Positions of all answer tokens in their own sequences' inputs, sequence after sequence.
        owners = torch.repeat_interleave(torch.arange(len(rows)), answers)
        within = torch.arange(len(owners)) - (answers.cumsum(0) - answers)[owners]
        places = first[owners] + within
        index = starts[:, None] + torch.arange(width)
        is_padding = torch.arange(width) >= lengths[:, None]
        index, is_padding, targets, places, owners, rows = (
            tensor.to(self._device, non_blocking=True)
            for tensor in (
                index.masked_fill(is_padding, 0),
                is_padding,
                starts[owners] + places + 1,
                owners * width + places,
                owners,
                rows,
            )
        )
        tokens = self._tokens[index].masked_fill(is_padding, self._padding)
        return TokenBatch(rows, tokens, places, self._tokens[targets], owners)
