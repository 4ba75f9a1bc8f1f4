"""Weights on disk, with all that is needed to build their network again."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from sidekick.artifacts import atomic_path, software, with_digest, without_digest
from sidekick.errors import SidekickError

# One key holds everything: safetensors writes several in random order, so that two equal
# trainings would give different files.
METADATA_KEY = "sidekick"


@dataclass(frozen=True)
class Description:
    """What a checkpoint says about itself.

    Attributes
    ----------
    entry
        The model entry: `architecture`, `options`, `pretrained`.
    classes
        Number of outputs C.
    preprocessing
        How images become the network's input: `Preprocessing.as_dict()`.
    head
        Arguments of the `MCDropoutHead` (`features`, `hidden`, `dropout`), or None.
    recipe
        The training settings.
    seed
        Of the training.
    val_accuracy
        Of these weights.
    facts
        Whatever else the caller knows: benchmark, dataset, its revision, model and so on.
    val_metric
        Of these weights: `name` and `value` of the dataset's main metric on val.
    software
        Versions and git revision of the writer.
    language
        Of a language model, what of it the file holds (see
        `sidekick.models.language_checkpoints`); None for a network that reads images.
    """

    entry: Mapping[str, Any]
    classes: int
    preprocessing: Mapping[str, Any]
    head: Mapping[str, Any] | None
    recipe: Mapping[str, Any]
    seed: int
    val_accuracy: float
    facts: Mapping[str, Any]
    val_metric: Mapping[str, Any] = field(default_factory=dict)
    software: Mapping[str, str] = field(default_factory=software)
    language: Mapping[str, Any] | None = None


def save_checkpoint(path: str | Path, model: nn.Module, description: Description) -> None:
    """Write a network's state as safetensors; see `write_checkpoint`."""
    write_checkpoint(path, model.state_dict(), description)


def write_checkpoint(
    path: str | Path, tensors: Mapping[str, torch.Tensor], description: Description
) -> None:
    """Write tensors by name as safetensors.

    The metadata key `sidekick` holds JSON: the description, `digest` of the tensors, and `sha256`
    of all of these, by which readers find damage (safetensors has no checksums).
    """
    tensors = {
        # A contiguous copy each: safetensors refuses strides and memory shared by two names.
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    content = {**asdict(description), "digest": _digest(tensors)}
    metadata = {METADATA_KEY: json.dumps(with_digest(content), sort_keys=True)}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def describe(path: str | Path) -> Description:
    """Read what a checkpoint says about itself, without its weights.

    Raises
    ------
    SidekickError
        If the file is missing, damaged or not one of ours; the message names it.
    """
    metadata, _ = _read(path, with_tensors=False)
    return _description(path, metadata)[0]


def read_checkpoint(path: str | Path) -> tuple[Description, dict[str, torch.Tensor]]:
    """Read a checkpoint's description and its tensors, on the CPU.

    Raises
    ------
    SidekickError
        If the file is missing, damaged or not one of ours; the message names it.
    """
    metadata, tensors = _read(path, with_tensors=True)
    description, digest = _description(path, metadata)
    if digest != _digest(tensors):
        raise SidekickError(
            f"{path}: its weights are not those that were written. "
            "Delete it and start the run again: its job is then repeated"
        )
    return description, tensors


def _read(path: str | Path, with_tensors: bool) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys() if with_tensors else ()
            return file.metadata() or {}, {name: file.get_tensor(name) for name in names}
    except FileNotFoundError:
        raise SidekickError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise SidekickError(
            f"{path}: not a readable safetensors file ({error}). "
            "Delete it and start the run again: its job is then repeated"
        ) from None


def _description(path: str | Path, metadata: Mapping[str, str]) -> tuple[Description, str]:
    try:
        content = without_digest(json.loads(metadata[METADATA_KEY]), path)
        digest = content.pop("digest")
        description = Description(**content)
        _require_types(description)
        return description, digest
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise SidekickError(
            f"{path}: no checkpoint of Sidekick: its metadata has no legible "
            f"'{METADATA_KEY}' ({error!r})"
        ) from None


def _require_types(description: Description) -> None:
    """Refuse, by TypeError, what no checkpoint of ours says; networks are built from it."""
    kinds = {
        "entry": dict,
        "classes": int,
        "preprocessing": dict,
        "head": dict | None,
        "recipe": dict,
        "seed": int,
        "val_accuracy": float | int,
        "facts": dict,
        "val_metric": dict,
        "software": dict,
        "language": dict | None,
    }
    for name, kind in kinds.items():
        if not isinstance(value := getattr(description, name), kind):
            raise TypeError(f"{name}: {value!r}")
    if description.classes < 1:
        raise ValueError(f"classes: {description.classes}")


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        # As bytes, since numpy lacks some of torch's types.
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
