"""How likely a language model finds continuations of contexts that they share."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Cache

from sidekick.logit_cache.prefixes import shared_prefixes

# Logits of one step are at most this many: 512 MB in float32.
_LOGIT_ELEMENTS = 1 << 27
# Keys and values of so many times more tokens are held than one pass reads.
_HELD = 8


@dataclass(frozen=True)
class Request:
    """A context and what may follow it, as token ids; neither may be empty."""

    context: Sequence[int]
    continuations: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Scores:
    """What a model says of the continuations of one request, one value each.

    Attributes
    ----------
    log_likelihoods
        (k,) float64: sum over the continuation's tokens of the log-probability of each, given the
        context and the tokens before it.
    entropies
        (k,) float64: sum over the same positions of the entropy of the whole vocabulary, in nats.
    tokens
        (k,) int64: how many tokens it has.
    """

    log_likelihoods: np.ndarray
    entropies: np.ndarray
    tokens: np.ndarray


@torch.inference_mode()
def score_continuations(
    network: nn.Module, requests: Sequence[Request], *, padding: int, token_budget: int
) -> list[Scores]:
    """Score the continuations of every request, in the order of the requests.

    A context is read once, whatever follows it: its last position gives the first token of all
    its continuations, and what remains of them is read on a copy of the cached keys and values.
    Where every continuation is a single token, that is all. Nor is what many contexts begin with,
    such as worked examples, read more than once. Logits are computed where a token is scored and
    nowhere else.

    Parameters
    ----------
    network
        A causal language model of transformers, in evaluation mode.
    requests
        Requests of similar length run together.
    padding
        The token that fills rows up; no result depends on it.
    token_budget
        Most tokens of one forward pass, padding included; keys and values of eight times as many
        are held. A single request may exceed either.

    Returns
    -------
    list of Scores
    """
    results = [_empty(request) for request in requests]
    is_short = [all(len(one) == 1 for one in request.continuations) for request in requests]
    for only_first in (True, False):
        own = [index for index in range(len(requests)) if is_short[index] == only_first]
        contexts = [requests[index].context for index in own]
        shareable = only_first or _fits_window(network, [requests[index] for index in own])
        groups = shared_prefixes(contexts) if shareable else [(0, range(len(own)))]
        for length, members in groups:
            group = _Group(network, padding, token_budget, only_first)
            group.read_prefix(contexts[members[0]][:length] if members else ())
            group.run(
                [requests[own[place]] for place in members],
                [results[own[place]] for place in members],
            )
    return results


class _Group:
    """Requests whose contexts begin alike."""

    def __init__(
        self, network: nn.Module, padding: int, token_budget: int, only_first: bool
    ) -> None:
        self.network, self.padding, self.token_budget = network, padding, token_budget
        self.only_first = only_first
        self.device = next(network.parameters()).device
        self.prefix, self.shared = None, 0

    def read_prefix(self, ids: Sequence[int]) -> None:
        """Read what the contexts begin with."""
        self.shared = len(ids)
        if self.shared:
            inputs = {"input_ids": torch.tensor([ids], device=self.device), "use_cache": True}
            nowhere = torch.zeros(0, dtype=torch.long, device=self.device)
            _, self.prefix = self._forward(nowhere, nowhere, **inputs)

    def run(self, requests: Sequence[Request], results: Sequence[Scores]) -> None:
        """Add what the model says to the results."""
        order = sorted(
            range(len(requests)), key=lambda index: len(requests[index].context), reverse=True
        )
        sizes = [(len(requests[index].context) - self.shared, 1) for index in order]
        positions = _most_positions(self.network)
        if self.shared and sizes:
            held = _HELD * self.token_budget // (self.shared + sizes[0][0])
            positions = max(1, min(positions, held))
        for batch in _batches(sizes, self.token_budget, positions):
            chosen = [order[place] for place in batch]
            self._step([requests[i] for i in chosen], [results[i] for i in chosen])

    def _step(self, requests: Sequence[Request], results: Sequence[Scores]) -> None:
        """Read the contexts of one batch, and what follows them."""
        suffixes = [request.context[self.shared :] for request in requests]
        rows = torch.arange(len(requests), device=self.device)
        # With padding at the end no mask is needed: no token sees what comes after it. With
        # padding at the start the continuations join their contexts without a gap.
        ids, mask = self._padded(suffixes, left=not self.only_first)
        inputs = {"input_ids": ids, "use_cache": not self.only_first}
        ends = torch.full_like(rows, ids.shape[1] - 1)
        if self.only_first:
            ends = torch.tensor([len(one) - 1 for one in suffixes], device=self.device)
        elif not bool(mask.all()):
            mask = torch.cat([mask.new_ones(len(mask), self.shared), mask], dim=1)
            where = _positions(mask)[:, self.shared :]
            inputs |= {"attention_mask": mask, "position_ids": where}
        else:
            mask = mask.new_ones(len(mask), self.shared + ids.shape[1])
        if self.prefix is not None:
            inputs["past_key_values"] = _selected(self.prefix, torch.zeros_like(rows))
        logits, cache = self._forward(rows, ends, **inputs)
        firsts = [[one[0] for one in request.continuations] for request in requests]
        for result, values, entropy in zip(results, *_read(logits, firsts), strict=True):
            result.log_likelihoods[:] = values[: len(result.tokens)]
            result.entropies[:] = entropy
        if not self.only_first:
            self._continue(requests, results, cache, mask)

    def _continue(
        self,
        requests: Sequence[Request],
        results: Sequence[Scores],
        cache: Cache,
        mask: Tensor,
    ) -> None:
        """Add what follows the first token of each continuation."""
        todo = [
            (row, option)
            for row, request in enumerate(requests)
            for option, one in enumerate(request.continuations)
            if len(one) > 1
        ]
        todo.sort(key=lambda place: -len(requests[place[0]].continuations[place[1]]))
        ids = [requests[row].continuations[option] for row, option in todo]
        sizes = [(mask.shape[1] + len(one), len(one) - 1) for one in ids]
        for chunk in _batches(sizes, _HELD * self.token_budget, _most_positions(self.network)):
            owners = [todo[place] for place in chunk]
            read, own_mask = self._padded([ids[place][:-1] for place in chunk], left=False)
            rows = torch.tensor([row for row, _ in owners], device=self.device)
            whole = torch.cat([mask[rows], own_mask], dim=1)
            where = own_mask.nonzero(as_tuple=True)
            logits, _ = self._forward(
                *where,
                input_ids=read,
                past_key_values=_selected(cache, rows),
                use_cache=True,
                attention_mask=whole,
                position_ids=_positions(whole)[:, -read.shape[1] :],
            )
            targets = [[token] for place in chunk for token in ids[place][1:]]
            values, entropies = _read(logits, targets)
            ends = np.cumsum([len(ids[place]) - 1 for place in chunk])[:-1]
            for (row, option), own, entropy in zip(
                owners, np.split(values[:, 0], ends), np.split(entropies, ends), strict=True
            ):
                results[row].log_likelihoods[option] += own.sum()
                results[row].entropies[option] += entropy.sum()

    def _padded(self, ids: Sequence[Sequence[int]], left: bool) -> tuple[Tensor, Tensor]:
        """Give token ids and their mask, both (rows, longest) int64."""
        width = max(map(len, ids))
        padded = np.full((len(ids), width), self.padding, dtype=np.int64)
        mask = np.zeros((len(ids), width), dtype=np.int64)
        for row, own in enumerate(ids):
            place = slice(width - len(own), width) if left else slice(len(own))
            padded[row, place], mask[row, place] = own, 1
        return torch.from_numpy(padded).to(self.device), torch.from_numpy(mask).to(self.device)

    def _forward(
        self, rows: Tensor, columns: Tensor, **inputs: object
    ) -> tuple[Tensor, Cache | None]:
        """Give the logits at some positions, (positions, vocabulary), and the cache if wanted.

        The states of the others are taken away in front of the last layer, so that whatever the
        network does after that (soft caps, scales) is kept.
        """

        def pick(_module: nn.Module, arguments: tuple[Tensor]) -> tuple[Tensor]:
            return (arguments[0][rows, columns].unsqueeze(0),)

        handle = self.network.get_output_embeddings().register_forward_pre_hook(pick)
        try:
            output = self.network(**inputs)
        finally:
            handle.remove()
        return output.logits[0], output.get("past_key_values")


def _empty(request: Request) -> Scores:
    count = len(request.continuations)
    tokens = np.array([len(one) for one in request.continuations])
    return Scores(np.zeros(count), np.zeros(count), tokens)


def _most_positions(network: nn.Module) -> int:
    return max(1, _LOGIT_ELEMENTS // network.config.get_text_config().vocab_size)


def _fits_window(network: nn.Module, requests: Sequence[Request]) -> bool:
    """Say whether no sliding window is shorter than a request.

    Contexts that are filled up behind what they share would have a gap there, which counts for
    the window.
    """
    window = getattr(network.config.get_text_config(), "sliding_window", None)
    contexts = [len(request.context) for request in requests]
    options = [len(one) for request in requests for one in request.continuations]
    return window is None or window >= max(contexts, default=0) + max(options, default=0)


def _batches(sizes: Sequence[tuple[int, int]], tokens: int, positions: int) -> Iterator[list[int]]:
    """Split consecutive rows so that neither padded tokens nor scored positions exceed a limit.

    Parameters
    ----------
    sizes
        Length and number of scored positions of each row.
    tokens, positions
        The limits; a single row may exceed them.
    """
    batch, longest, scored = [], 0, 0
    for row, (length, own) in enumerate(sizes):
        longest, scored = max(longest, length), scored + own
        if batch and (longest * (len(batch) + 1) > tokens or scored > positions):
            yield batch
            batch, longest, scored = [], length, own
        batch.append(row)
    if batch:
        yield batch


def _positions(mask: Tensor) -> Tensor:
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


def _selected(cache: Cache, rows: Tensor) -> Cache:
    """Give a cache of some rows, and leave the original as it is."""
    chosen = copy.copy(cache)
    chosen.layers = [copy.copy(layer) for layer in cache.layers]
    chosen.batch_select_indices(rows)
    return chosen


def _read(logits: Tensor, targets: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Give log-probabilities of the tokens wanted at each position, and the entropy there.

    Parameters
    ----------
    logits
        (positions, vocabulary) of any float type; computed in float32.
    targets
        Tokens per position; rows may differ in length.

    Returns
    -------
    log_probabilities : numpy.ndarray
        (positions, most targets) float64; the end of a shorter row means nothing.
    entropies : numpy.ndarray
        (positions,) float64, in nats.
    """
    width = max(map(len, targets))
    padded = [[*own, *[own[-1]] * (width - len(own))] for own in targets]
    wanted = torch.tensor(padded, device=logits.device)
    values, entropies = [], []
    # In parts, as the softmax takes several times the memory of the logits.
    for part, own in zip(logits.split(256), wanted.split(256), strict=True):
        log_probabilities = torch.log_softmax(part.float(), dim=-1)
        values.append(log_probabilities.gather(1, own))
        entropies.append(torch.special.entr(log_probabilities.exp()).sum(dim=-1))
    found = torch.cat(values).double().cpu().numpy()
    return found, torch.cat(entropies).double().cpu().numpy()
