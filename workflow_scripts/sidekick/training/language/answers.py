"""Logits of the tokens that count, and of no others."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sidekick.errors import SidekickError
from sidekick.training.language.sequences import TokenBatch

AnswerLogits = Callable[[TokenBatch], Tensor]
"""Maps a batch to the logits (M, V) float32 from which its answers' tokens are predicted."""


@contextmanager
def answering(
    network: nn.Module, device: torch.device, precision: str = "float32"
) -> Iterator[AnswerLogits]:
    """Let a causal language model give `AnswerLogits` for a while.

    The hidden states of all other places are dropped before the vocabulary's layer, which in small
    models with large vocabularies is most of the work. This is done as that layer is called, not by
    calling the parts of the model one after the other, so that whatever an architecture does to its
    logits afterwards (Gemma 2 caps them) is done as well.

    Parameters
    ----------
    network
        A Hugging Face causal language model, with or without adapters, on the device.
    device
        Where it lies.
    precision
        `float32`, or `bfloat16` for autocast: parameters keep their type.

    Raises
    ------
    SidekickError
        If the network has no layer that gives the vocabulary's logits.
    """
    head = network.get_output_embeddings()
    if head is None:
        raise SidekickError(
            f"{type(network).__name__}: has no output embeddings; expected is a causal language "
            "model"
        )
    places: Tensor

    def select(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        (hidden,) = inputs
        return (hidden.flatten(0, 1)[places][None],)

    def logits(batch: TokenBatch) -> Tensor:
        nonlocal places
        places = batch.places
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            found = network(input_ids=batch.tokens, use_cache=False).logits
        return found[0].float()

    hook = head.register_forward_pre_hook(select)
    try:
        yield logits
    finally:
        hook.remove()
