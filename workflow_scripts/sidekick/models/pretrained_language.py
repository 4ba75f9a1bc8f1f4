"""Published language models, from the Hugging Face hub or a folder; weights only as safetensors."""

from pathlib import Path
from typing import NoReturn

import torch
from huggingface_hub import try_to_load_from_cache
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from sidekick.errors import SidekickError

# One of each group must be there.
_FILES = {
    "config.json": ("config.json",),
    "model.safetensors": ("model.safetensors", "model.safetensors.index.json"),
    "tokenizer.json": ("tokenizer.json", "tokenizer.model", "vocab.json"),
}
_LONGEST_REASON = 300


def load_pretrained(
    source: str, revision: str | None, dtype: torch.dtype
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model and its tokenizer.

    Code that comes with a model is never run, and weights are read from safetensors only.

    Parameters
    ----------
    source
        A folder in the hub's layout, or a name on the hub, which is fetched unless it is in the
        local cache.
    revision
        Commit, tag or branch on the hub.
    dtype
        Of the weights.

    Raises
    ------
    SidekickError
        If a file is missing, unreadable or cannot be fetched; the message names it and says how
        to place it.
    """
    place, arguments = _locate(source, revision)
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, **arguments)
        network = AutoModelForCausalLM.from_pretrained(
            place, dtype=dtype, use_safetensors=True, **arguments
        )
    except Exception as error:
        _refuse(source, revision, error)
    return network, tokenizer


def load_pretrained_config(
    source: str, revision: str | None
) -> tuple[PreTrainedConfig, PreTrainedTokenizerBase]:
    """Load a model's configuration and tokenizer, without its weights.

    Raises
    ------
    SidekickError
        As `load_pretrained`.
    """
    place, arguments = _locate(source, revision, weights=False)
    try:
        config = AutoConfig.from_pretrained(place, **arguments)
        return config, AutoTokenizer.from_pretrained(place, **arguments)
    except Exception as error:
        _refuse(source, revision, error)


def is_folder(source: str) -> bool:
    """Say whether `source` is a path rather than a name on the hub."""
    return source.startswith(("/", ".", "~")) or Path(source).is_dir()


def _locate(source: str, revision: str | None, weights: bool = True) -> tuple[str, dict]:
    """Give what transformers needs to find a model; of a folder, after a look at its files."""
    arguments = {"trust_remote_code": False}
    if not is_folder(source):
        return source, arguments | {"revision": revision or "main"}
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise SidekickError(f"pretrained: {source}: no such folder")
    for name, alternatives in _FILES.items():
        if name == "model.safetensors" and not weights:
            continue
        if not any((folder / file).is_file() for file in alternatives):
            raise SidekickError(
                f"pretrained: {folder / name}: no such file; a folder needs "
                f"{', '.join(_FILES)} (or model.safetensors.index.json and its parts). Weights "
                "in other formats are not read"
            )
    return str(folder), arguments | {"local_files_only": True}


def _refuse(source: str, revision: str | None, error: Exception) -> NoReturn:
    """Say what is missing of a model that could not be loaded, and how to place it."""
    reason = " ".join(str(error).split()) or type(error).__name__
    reason = reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}…"
    if is_folder(source):
        raise SidekickError(f"pretrained: {source}: cannot be loaded ({reason})") from error
    at = f" at revision {revision}" if revision else ""
    command = f"hf download {source}" + (f" --revision {revision}" if revision else "")
    missing = [
        name
        for name, alternatives in _FILES.items()
        if not any(
            isinstance(try_to_load_from_cache(source, file, revision=revision), str)
            for file in alternatives
        )
    ]
    lacks = f"; the local cache lacks {', '.join(missing)}" if missing else ""
    raise SidekickError(
        f"pretrained: '{source}'{at} cannot be loaded{lacks} ({reason}). Where there is a "
        f"network, run `{command}` (after `hf auth login`, if its licence must be accepted), or "
        "set `pretrained` to a folder that holds its files"
    ) from error
