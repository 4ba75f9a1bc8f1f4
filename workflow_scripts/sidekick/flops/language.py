"""Count the multiply-adds that a language model spends on one item.

What a decoder-only model computes for n tokens that see k tokens each, themselves included, is
a·n + b·n·k multiply-adds: `a` for the layers that see one token at a time, `b` for attention. The
last layer adds h for each position whose logits are wanted. The three numbers are taken from
traces of the network, so the count is exact for every network of that form, at any length.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedTokenizerBase

from sidekick.artifacts import software, write_json
from sidekick.datasets.questions import read_questions, read_shots
from sidekick.errors import SidekickError
from sidekick.flops.tracing import analyse, explain_unsupported, module_table
from sidekick.models.language import scratch_config
from sidekick.models.pretrained_language import load_pretrained_config
from sidekick.models.word_encoding import options_encoder
from sidekick.models.word_tokenizer import build_word_tokenizer
from sidekick.prompts import Rendered, choose_shots, load_prompt, render

_log = logging.getLogger("sidekick")

# Lengths are means, which a thousand items give to within a few per cent.
_ITEMS = 1000
_TRACED = (8, 16, 24)


@dataclass(frozen=True)
class Lengths:
    """Mean lengths of a dataset's items, in tokens.

    Attributes
    ----------
    context
        Of a prompt with its worked examples.
    options
        How many options an item has; 1 where the answer is generated.
    option
        Of one option, or of the worked solution.
    items
        How many items the means are over.
    split
        Which they are of.
    """

    context: float
    options: float
    option: float
    items: int
    split: str


@dataclass(frozen=True)
class Costs:
    """Multiply-adds: per token, per token and token that it sees, and per position with logits."""

    token: float
    pair: float
    logits: float

    def forward(self, tokens: float, seen: float, positions: float) -> float:
        """Give the multiply-adds for tokens that see `seen` tokens each."""
        return self.token * tokens + self.pair * tokens * seen + self.logits * positions


def item_macs(costs: Costs, lengths: Lengths, generates: bool) -> dict[str, float]:
    """Give the multiply-adds of one item of mean lengths.

    Parameters
    ----------
    costs, lengths
        Of the network and the dataset.
    generates
        Whether the answer is generated.

    Returns
    -------
    dict
        `gmacs` : what is really computed. Of options: the context once, with logits at its last
        position, and every option but for its last token, which is only predicted; one pass over
        the context if all options are single tokens. Of generation: the context, then one token
        at a time for an answer as long as the worked solution. 10⁹ multiply-adds.
        `unshared_gmacs` : every option, or answer, in a pass of its own together with the
        context, and logits at every position, as a plain implementation does it.

    Notes
    -----
    As in `sidekick.flops.operators.attention_macs` what a causal mask or a sliding window hides is
    not taken off.
    """
    context, option, count = lengths.context, lengths.option, lengths.options
    rest = option - 1
    total = costs.forward(context, context, 1)
    if generates:
        # The tokens of the answer see what lies before them, so on average half of it.
        total += costs.forward(rest, context + (rest + 1) / 2, rest)
    else:
        total += count * costs.forward(rest, context + rest, rest)
    whole = context + rest
    return {
        "gmacs": total / 1e9,
        "unshared_gmacs": count * costs.forward(whole, whole, whole) / 1e9,
    }


def count_costs(config: PreTrainedConfig, name: str) -> tuple[Costs, dict[str, Any]]:
    """Trace a network that has no weights.

    Parameters
    ----------
    config
        Of transformers.
    name
        What to call the network in a message.

    Returns
    -------
    costs : Costs
    details : dict
        `parameters`, and `modules` and `unsupported` of one pass, as for images
        (`sidekick.flops.count.count_flops`); `traced_tokens`, how many that pass reads.

    Raises
    ------
    SidekickError
        If an operator's cost is unknown, or the network's is no quadratic function of the length.
    """
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config).eval()
    wrapped = _Logits(network)
    analyses = [analyse(wrapped, _tokens(length), name) for length in _TRACED]
    head = network.get_output_embeddings()
    (head_name,) = (path for path, module in wrapped.named_modules() if module is head)
    logits = analyses[0].by_module()[head_name] / _TRACED[0]
    bodies = [
        analysis.total() - logits * length
        for analysis, length in zip(analyses, _TRACED, strict=True)
    ]
    (short, middle, long), (first, second, third) = _TRACED, bodies
    pair = (second / middle - first / short) / (middle - short)
    token = first / short - pair * short
    if not np.isclose(token * long + pair * long**2, third, rtol=1e-9):
        raise SidekickError(
            f"architecture: '{name}': its multiply-adds are no quadratic function of the length, "
            "so they cannot be given for a mean length"
        )
    details = {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "modules": module_table(wrapped, analyses[-1]),
        "unsupported": explain_unsupported(analyses[-1].unsupported_ops()),
        "traced_tokens": long,
    }
    return Costs(token, pair, logits), details


def write_language_flops(
    *,
    entry: Mapping[str, Any],
    dataset_folder: str | Path,
    output: str | Path,
    facts: Mapping[str, object],
    task: Mapping[str, object],
    seed: int,
) -> None:
    """Write the multiply-adds per item of a dataset, at its mean lengths, as JSON.

    The keys are those of `item_macs` and `count_costs`, and `lengths` and `costs`. Lengths are
    means over the train split (val, if that is empty), of at most a thousand items evenly spaced;
    test items have no part in them.

    Parameters
    ----------
    entry
        The model entry. Of a published model configuration and tokenizer are read, not weights.
    dataset_folder
        A prepared text dataset.
    output
        The file to write.
    facts
        Benchmark, dataset, model and so on.
    task
        `prompt`, and optionally `shots` and `hedge`; other keys do not matter here.
    seed
        Whose splits to read.

    Raises
    ------
    SidekickError
        If the model cannot be had or counted, or a split is unreadable.
    """
    prompt, count = load_prompt(task["prompt"]), task.get("shots", 0)
    shots = read_shots(dataset_folder)
    split = "train"
    questions = read_questions(dataset_folder, split, seed)
    if not questions:
        split = "val"
        questions = read_questions(dataset_folder, split, seed)
    rendered = [
        render(prompt, one, choose_shots(shots, one, count), task.get("hedge", ""))
        for one in questions
    ]
    if entry.get("pretrained"):
        name = entry["pretrained"]
        config, tokenizer = load_pretrained_config(name, entry.get("revision"))
    else:
        name = entry["architecture"]
        tokenizer = build_word_tokenizer(item.vocabulary_text for item in rendered)
        config = scratch_config(entry, tokenizer)
    sample = rendered[:: -(-len(rendered) // _ITEMS)]
    lengths = mean_lengths(tokenizer, sample, split)
    costs, details = count_costs(config, name)
    macs = item_macs(costs, lengths, prompt.protocol == "generate")
    _log.info("%s: %.6f GMACs per item, %d parameters",
              name, macs["gmacs"], details["parameters"])  # fmt: skip
    counted = {**macs, **details, "lengths": asdict(lengths), "costs": asdict(costs)}
    write_json({**counted, "facts": {**facts, **software()}}, output)


def mean_lengths(
    tokenizer: PreTrainedTokenizerBase, items: Sequence[Rendered], split: str
) -> Lengths:
    """Measure rendered items."""
    encode = options_encoder(tokenizer)
    contexts, counts, options = [], [], []
    for item in items:
        context, continuations = encode(item.context, item.continuations or (item.target,))
        contexts.append(len(context))
        counts.append(len(continuations))
        options += map(len, continuations)
    return Lengths(
        float(np.mean(contexts)), float(np.mean(counts)), float(np.mean(options)), len(items), split
    )


class _Logits(nn.Module):
    """A language model in a form that can be traced: tokens in, logits out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor) -> Tensor:
        return self.network(input_ids=tokens, use_cache=False, return_dict=True).logits


def _tokens(count: int) -> Tensor:
    return torch.zeros(1, count, dtype=torch.long, device="meta")
