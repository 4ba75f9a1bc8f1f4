"""Language models on disk: one safetensors file each.

Beside the description that every checkpoint has, `Description.language` says what the file holds:

`holds`
    `weights` (all of them), `adapter` (those of a LoRA adapter) or `nothing`. The last two need
    the published model that the entry names, by `pretrained` and `revision`.
`config`
    The configuration of transformers (of `weights`).
`same`
    Names of weights that are another's: tied weights are stored once (of `weights`).
`adapter`
    The configuration of peft (of `adapter`).

With `weights` the tokenizer lies in the same file, as bytes under `tokenizer/{name}`, for the
tokenizers of large models outgrow the header of a safetensors file.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from sidekick.errors import SidekickError
from sidekick.models.adapters import is_adapted
from sidekick.models.checkpoints import Description, read_checkpoint, write_checkpoint
from sidekick.models.language import LanguageModel, create_language_model, network_dtype
from sidekick.models.pretrained_language import is_folder

_TOKENIZER = "tokenizer/"
# A chat template is a program, and no prompt of ours uses it.
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def save_language_checkpoint(
    path: str | Path,
    model: LanguageModel,
    *,
    entry: Mapping[str, Any],
    recipe: Mapping[str, Any],
    facts: Mapping[str, Any],
    classes: int,
    seed: int,
    val_accuracy: float,
    val_metric: Mapping[str, Any] | None = None,
    untouched: bool = False,
) -> None:
    """Write a language model as safetensors.

    Parameters
    ----------
    path
        The file to write.
    model
        Of a network with an adapter of peft only the adapter is written.
    entry
        The model entry.
    recipe, facts, classes, seed, val_accuracy, val_metric
        As in `Description`.
    untouched
        Whether this is the published model as it is; then no weights are written.

    Raises
    ------
    SidekickError
        If an adapter, or a model that is `untouched`, belongs to no published model.
    """
    network, entry = model.network, dict(entry)
    if is_adapted(network) or untouched:
        entry = _with_base(entry, network)
    if is_adapted(network):
        from peft import get_peft_model_state_dict

        tensors: dict[str, Tensor] = get_peft_model_state_dict(network, save_embedding_layers=False)
        language = {"holds": "adapter", "adapter": _adapter_config(network)}
    elif untouched:
        tensors, language = {}, {"holds": "nothing"}
    else:
        tensors, same = _distinct(network.state_dict())
        language = {"holds": "weights", "config": network.config.to_dict(), "same": same}
        tensors |= _tokenizer_tensors(model.tokenizer)
    description = Description(
        entry=entry,
        classes=classes,
        preprocessing={},
        head=None,
        recipe=recipe,
        seed=seed,
        val_accuracy=val_accuracy,
        facts=facts,
        val_metric=val_metric or {},
        language=language,
    )
    write_checkpoint(path, tensors, description)


def load_language_checkpoint(path: str | Path, device: torch.device) -> LanguageModel:
    """Build the language model of a checkpoint, in evaluation mode and on the device.

    Returns
    -------
    LanguageModel
        With the adapter of a LoRA checkpoint around the network, trainable.

    Raises
    ------
    SidekickError
        If the file is missing, damaged, no language model of ours or does not fit its own
        description; or if the published model that it builds on cannot be had.
    """
    description, tensors = read_checkpoint(path)
    language = description.language
    if language is None:
        raise SidekickError(f"{path}: a network that reads images; expected a language model")
    if language["holds"] == "weights":
        model = _with_weights(path, description, tensors)
    else:
        model = create_language_model(description.entry)
    if language["holds"] == "adapter":
        from peft import LoraConfig, get_peft_model, set_peft_model_state_dict

        adapted = get_peft_model(model.network, LoraConfig(**language["adapter"]))
        _require_fit(path, set_peft_model_state_dict(adapted, tensors).unexpected_keys)
        model.network = adapted
    model.network.to(device).eval()
    return model


def _with_weights(
    path: str | Path, description: Description, tensors: dict[str, Tensor]
) -> LanguageModel:
    """Build a model of nothing but what a file holds."""
    language, entry = description.language, dict(description.entry)
    files = {name: tensors.pop(name) for name in list(tensors) if name.startswith(_TOKENIZER)}
    config = dict(language["config"])
    config = AutoConfig.for_model(config.pop("model_type"), **config)
    network = AutoModelForCausalLM.from_config(config, dtype=network_dtype(entry))
    for name, stored in language["same"].items():
        tensors[name] = tensors[stored]
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        _require_fit(path, [str(error)])
    return LanguageModel(network, _read_tokenizer(files), entry)


def _require_fit(path: str | Path, problems: list[str]) -> None:
    if problems:
        raise SidekickError(
            f"{path}: its weights do not fit the model that it names ({', '.join(problems)}). "
            "Delete it and start the run again: its job is then repeated"
        )


def _with_base(entry: dict[str, Any], network: nn.Module) -> dict[str, Any]:
    """Pin the commit of the published model that an entry names."""
    source = entry.get("pretrained")
    if not source:
        raise SidekickError(
            f"architecture: '{entry.get('architecture')}': only of a model with `pretrained` can "
            "a checkpoint hold an adapter, or nothing"
        )
    commit = getattr(network.config, "_commit_hash", None)
    return entry if is_folder(source) or commit is None else entry | {"revision": commit}


def _adapter_config(network: nn.Module) -> dict[str, Any]:
    """Give the arguments of the adapter's `LoraConfig`, in an order that repeats."""
    from peft import LoraConfig

    config = network.active_peft_config
    plain = json.loads(json.dumps(config.to_dict(), default=sorted))
    known = set(LoraConfig.__dataclass_fields__)
    return {name: plain[name] for name in sorted(set(plain) & known)}


def _distinct(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Leave out weights that are others under a second name; give those names too."""
    tensors, same, owners = {}, {}, {}
    for name, tensor in state.items():
        place = tensor.data_ptr(), tensor.shape, tensor.stride()
        if tensor.numel() and place in owners:
            same[name] = owners[place]
        else:
            tensors[name], owners[place] = tensor, name
    return tensors, same


def _tokenizer_tensors(tokenizer: PreTrainedTokenizerBase) -> dict[str, Tensor]:
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {
            f"{_TOKENIZER}{name}": torch.from_numpy(
                np.frombuffer((Path(folder) / name).read_bytes(), np.uint8).copy()
            )
            for name in _TOKENIZER_FILES
        }


def _read_tokenizer(files: Mapping[str, Tensor]) -> PreTrainedTokenizerBase:
    with tempfile.TemporaryDirectory() as folder:
        for name in _TOKENIZER_FILES:
            (Path(folder) / name).write_bytes(files[f"{_TOKENIZER}{name}"].numpy().tobytes())
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    # The folder is gone.
    tokenizer.name_or_path = ""
    return tokenizer
