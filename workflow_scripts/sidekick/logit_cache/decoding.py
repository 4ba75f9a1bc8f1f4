"""Greedy decoding with a language model, and what it thought of every token."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from sidekick.models.encoding import padding_token

# A stop text has at most as many tokens as bytes; the first may begin before it.
_SLACK = 1


@dataclass(frozen=True)
class Decoded:
    """One generated answer.

    Attributes
    ----------
    text
        Up to the first stop text or the end of the sequence, neither included.
    log_probabilities, entropies
        (t,) float64: of each generated token, those that end the answer included; the entropy is
        that of the whole vocabulary in front of it. In nats.
    truncated
        Whether it was cut off before it ended.
    """

    text: str
    log_probabilities: np.ndarray
    entropies: np.ndarray
    truncated: bool


@torch.inference_mode()
def decode_greedily(
    network: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    until: Sequence[str],
    max_new_tokens: int,
) -> list[Decoded]:
    """Continue prompts with the most probable token each time.

    Parameters
    ----------
    network
        A causal language model of transformers, in evaluation mode.
    tokenizer
        Its own.
    prompts
        Token ids, one batch; filled up at their start, which nothing depends on.
    until
        Texts that end an answer.
    max_new_tokens
        Where an answer is cut off.

    Notes
    -----
    A row that has ended stays in the batch, unread, until all have.
    """
    batch = _Batch(network, tokenizer, prompts)
    ends = _Ends(network, tokenizer, until, len(prompts))
    tokens, log_probabilities, entropies = [], [], []
    for _ in range(max_new_tokens):
        scores = torch.log_softmax(batch.logits.float(), dim=-1)
        best, chosen = scores.max(dim=-1)
        tokens.append(chosen.cpu().numpy())
        log_probabilities.append(best.double().cpu().numpy())
        entropies.append(torch.special.entr(scores.exp()).sum(dim=-1).double().cpu().numpy())
        ends.look(np.stack(tokens, axis=1))
        if ends.all():
            break
        if len(tokens) < max_new_tokens:
            batch.read(chosen)
    generated = np.stack(tokens, axis=1)
    values, uncertainty = np.stack(log_probabilities, axis=1), np.stack(entropies, axis=1)
    return [
        Decoded(
            ends.text(generated[row, :count]),
            values[row, :count],
            uncertainty[row, :count],
            not ended,
        )
        for row, (count, ended) in enumerate(ends.lengths(generated.shape[1]))
    ]


class _Batch:
    """Rows on their way through the network; `logits` are those of the next token, (B, V)."""

    def __init__(
        self,
        network: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[Sequence[int]],
    ) -> None:
        self._network = network
        device = next(network.parameters()).device
        width = max(map(len, prompts))
        ids = np.full((len(prompts), width), padding_token(tokenizer), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = prompt
            mask[row, width - len(prompt) :] = 1
        self._mask = torch.from_numpy(mask).to(device)
        self._positions = self._mask.sum(dim=1, keepdim=True)
        self._cache = None
        where = (self._mask.cumsum(dim=1) - 1).clamp(min=0)
        self._forward(torch.from_numpy(ids).to(device), where)

    def read(self, tokens: Tensor) -> None:
        """Append one token to every row."""
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)
        self._forward(tokens[:, None], self._positions)
        self._positions = self._positions + 1

    def _forward(self, ids: Tensor, positions: Tensor) -> None:
        output = self._network(
            input_ids=ids,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.logits, self._cache = output.logits[:, -1], output.past_key_values


class _Ends:
    """Where rows end: at a token that ends sequences, or a text."""

    def __init__(
        self,
        network: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        until: Sequence[str],
        rows: int,
    ) -> None:
        self._tokenizer, self._until = tokenizer, [text for text in until if text]
        self._last = _end_tokens(network, tokenizer)
        self._window = max((len(text.encode()) for text in self._until), default=0) + _SLACK
        self._counts = [0] * rows

    def look(self, generated: np.ndarray) -> None:
        """Note which rows end with their last token; `generated` is (rows, tokens so far)."""
        for row, count in enumerate(self._counts):
            if not count and (
                generated[row, -1] in self._last or self._stops(generated[row, -self._window :])
            ):
                self._counts[row] = generated.shape[1]

    def all(self) -> bool:
        """Say whether every row has ended."""
        return all(self._counts)

    def lengths(self, most: int) -> list[tuple[int, bool]]:
        """Give how many tokens each row has, and whether it has ended."""
        return [(count or most, bool(count)) for count in self._counts]

    def text(self, tokens: np.ndarray) -> str:
        """Decode a row up to where it ends."""
        kept = [token for token in tokens.tolist() if token not in self._last]
        text = self._tokenizer.decode(kept, skip_special_tokens=True)
        places = [text.find(stop) for stop in self._until]
        return text[: min((place for place in places if place >= 0), default=len(text))]

    def _stops(self, tokens: np.ndarray) -> bool:
        text = self._tokenizer.decode(tokens.tolist(), skip_special_tokens=False)
        return any(stop in text for stop in self._until)


def _end_tokens(network: nn.Module, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Give the tokens that end a sequence: the tokenizer's, and those that the model names."""
    named = getattr(network, "generation_config", None)
    ends = getattr(named, "eos_token_id", None)
    ends = ends if isinstance(ends, list) else [ends]
    return {token for token in (*ends, tokenizer.eos_token_id) if token is not None}
