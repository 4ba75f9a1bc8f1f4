"""What decides the outcome of a training, so that its saved state is used for no other."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sidekick import __version__


def training_identity(
    training: str,
    *,
    recipe: Mapping[str, Any],
    seed: int,
    data: str,
    facts: Mapping[str, object],
    **others: Any,
) -> dict[str, Any]:
    """Give what decides the outcome of a training, for its `ResumeFile`.

    Parameters
    ----------
    training
        Which kind of training it is.
    recipe, seed, facts
        As the training has them.
    data
        Digest of the data that it reads.
    others
        Whatever else decides: JSON values, or the paths of checkpoints (or None).
    """
    return {
        "training": training,
        "recipe": dict(recipe),
        "seed": seed,
        "data": data,
        "facts": dict(facts),
        "versions": [__version__, torch.__version__],
        **{key: _digest(value) if _is_path(value) else value for key, value in others.items()},
    }


def _is_path(value: Any) -> bool:
    return isinstance(value, str | Path)


def _digest(path: str | Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
