"""Decoder-only language models: small ones from a config, or published ones by name or folder."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)

from sidekick.errors import SidekickError
from sidekick.models.encoding import encode_pair
from sidekick.models.pretrained_language import load_pretrained
from sidekick.models.word_tokenizer import build_word_tokenizer

__all__ = [
    "ARCHITECTURES",
    "DTYPES",
    "LanguageModel",
    "create_language_model",
    "encode_pair",
    "network_dtype",
]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Types of weights, by the name that an entry gives them."""

ARCHITECTURES: Mapping[str, type[PreTrainedConfig]] = {
    "llama": LlamaConfig,
    "gemma2": Gemma2Config,
    "gpt2": GPT2Config,
}
"""The families that can be built from an entry's options."""

# Their own defaults are those of models with billions of weights.
_REQUIRED_OPTIONS = ("hidden_size", "num_hidden_layers", "num_attention_heads")


@dataclass
class LanguageModel:
    """A network and what makes text into its input.

    Attributes
    ----------
    network
        A causal language model of transformers, or one with an adapter of peft around it.
    tokenizer
        Its own.
    entry
        The model entry that it was made from.
    """

    network: nn.Module
    tokenizer: PreTrainedTokenizerBase
    entry: dict[str, Any]


def create_language_model(
    entry: Mapping[str, Any], texts: Iterable[str] | None = None
) -> LanguageModel:
    """Build the language model of a model entry, on the CPU and in evaluation mode.

    Parameters
    ----------
    entry
        From scratch: `architecture` (a key of `ARCHITECTURES`), `options` (keyword arguments of
        its configuration, at least `hidden_size`, `num_hidden_layers` and `num_attention_heads`)
        and `tokenizer`, which can be "words" only. Or `pretrained`: a name on the Hugging Face
        hub, with an optional `revision`, or a folder. Either with an optional `dtype`, a key of
        `DTYPES` (float32 unless given). Other keys are ignored.
    texts
        For one from scratch, what its vocabulary is made of, in any order. Its weights are drawn
        from torch's global generator.

    Raises
    ------
    SidekickError
        If the entry names something unknown, or the published model cannot be had.
    """
    dtype = network_dtype(entry)
    if entry.get("pretrained"):
        network, tokenizer = load_pretrained(entry["pretrained"], entry.get("revision"), dtype)
        return LanguageModel(network.eval(), tokenizer, dict(entry))
    if texts is None:
        raise SidekickError(
            f"architecture: '{entry.get('architecture')}': a vocabulary of words needs the texts "
            "that it is made of"
        )
    if entry.get("tokenizer", "words") != "words":
        raise SidekickError(
            f"tokenizer: '{entry['tokenizer']}' is not known; allowed for a language model from "
            "scratch is 'words'"
        )
    tokenizer = build_word_tokenizer(texts)
    network = AutoModelForCausalLM.from_config(scratch_config(entry, tokenizer), dtype=dtype)
    return LanguageModel(network.eval(), tokenizer, dict(entry))


def network_dtype(entry: Mapping[str, Any]) -> torch.dtype:
    """Give the type of an entry's weights.

    Raises
    ------
    SidekickError
        If it is not a key of `DTYPES`.
    """
    name = entry.get("dtype", "float32")
    if name not in DTYPES:
        raise SidekickError(f"dtype: '{name}' is not known; allowed are {', '.join(DTYPES)}")
    return DTYPES[name]


def scratch_config(
    entry: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase
) -> PreTrainedConfig:
    """Give the configuration of a model from scratch.

    What `options` leave out has the family's default, but for what follows from their sizes: four
    times the hidden size between the linear layers, as many heads for keys as for queries, and
    heads as wide as makes the hidden size together.

    Raises
    ------
    SidekickError
        If the family or an option is unknown, a size is missing or they do not fit each other.
    """
    architecture, options = entry["architecture"], dict(entry.get("options", {}))
    if architecture not in ARCHITECTURES:
        raise SidekickError(
            f"architecture: '{architecture}' is not a language model that can be built from a "
            f"config; allowed are {', '.join(ARCHITECTURES)}, or set `pretrained`"
        )
    kind = ARCHITECTURES[architecture]
    default = kind()
    known = {*default.to_dict(), *kind.attribute_map}
    if unknown := sorted(set(options) - known):
        raise SidekickError(
            f"options: {', '.join(unknown)} unknown to '{architecture}'; allowed are "
            f"{', '.join(sorted(known))}"
        )
    if missing := [name for name in _REQUIRED_OPTIONS if name not in options]:
        raise SidekickError(f"options: '{architecture}' needs {', '.join(missing)} as well")
    special = {
        name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")
    }
    try:
        derived = _derived_sizes(options["hidden_size"], options["num_attention_heads"])
        return kind(
            **{name: value for name, value in derived.items() if hasattr(default, name)} | options,
            **special,
            vocab_size=len(tokenizer),
        )
    except Exception as error:
        # Each family's validation raises what it likes.
        raise SidekickError(
            f"options: {options} do not suit '{architecture}' ({' '.join(str(error).split())})"
        ) from error


def _derived_sizes(width: int, heads: int) -> dict[str, int]:
    return {
        "intermediate_size": 4 * width,
        "num_key_value_heads": heads,
        "head_dim": width // heads,
        "query_pre_attn_scalar": width // heads,
    }
