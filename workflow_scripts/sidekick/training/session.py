"""What every training of a network begins with: the network and the data that suits it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sidekick.datasets.reading import read_card
from sidekick.errors import SidekickError
from sidekick.models.checkpoints import Description, describe
from sidekick.models.create import create_model, require_image_shape
from sidekick.models.loading import load_model
from sidekick.models.preprocessing import Preprocessing, resolve_preprocessing
from sidekick.training.data import TrainingData, load_training_data
from sidekick.training.identity import training_identity


def open_session(
    *,
    dataset_folder: str | Path,
    entry: Mapping[str, Any],
    seed: int,
    device: torch.device,
    threads: int,
    start: str | Path | None = None,
) -> tuple[nn.Module, TrainingData]:
    """Build the network of a model entry, or load it, and the data as it reads them.

    Parameters
    ----------
    dataset_folder
        A prepared dataset.
    entry
        The model entry.
    seed
        Of the splits.
    device
        Where the network and the data go.
    threads
        How many decode images.
    start
        A checkpoint of the same entry to go on from: its weights, its preprocessing.

    Returns
    -------
    tuple
        The network, channels last in memory, and the data.

    Raises
    ------
    SidekickError
        If the network cannot be built or cannot read its input, or `start` is a checkpoint of
        something else.
    """
    model, preprocessing = open_network(
        dataset_folder=dataset_folder, entry=entry, device=device, start=start
    )
    return model, load_training_data(dataset_folder, seed, device, preprocessing, threads)


def open_network(
    *,
    dataset_folder: str | Path,
    entry: Mapping[str, Any],
    device: torch.device,
    start: str | Path | None = None,
) -> tuple[nn.Module, Preprocessing]:
    """Build the network of a model entry, or load it, and say how it reads images.

    The arguments and errors are those of `open_session`.
    """
    card = read_card(dataset_folder)
    classes = len(card["classes"])
    if start is None:
        model = create_model(entry, classes)
        preprocessing = resolve_preprocessing(entry, model.pretrained_cfg, card["image_shape"])
        require_image_shape(model, entry, preprocessing.input_shape)
        return model.to(device, memory_format=torch.channels_last), preprocessing
    source = describe(start)
    require_same_entry(start, source, entry)
    require_classes(start, source, classes, dataset_folder)
    return load_model(start, device), Preprocessing(**source.preprocessing)


def require_same_entry(
    checkpoint: str | Path, description: Description, entry: Mapping[str, Any]
) -> None:
    """Refuse a checkpoint of another network than the entry's."""
    # Tuples come back from a checkpoint as lists.
    wanted = json.loads(json.dumps(dict(entry)))
    if description.entry != wanted or description.head is not None:
        raise SidekickError(
            f"{checkpoint}: made from the model entry {dict(description.entry)}"
            f"{'' if description.head is None else ' with an MC-dropout head'}, but wanted is one "
            f"of {wanted}. Delete it and start the run again: its job is then repeated"
        )


def require_classes(
    checkpoint: str | Path, description: Description, classes: int, dataset_folder: str | Path
) -> None:
    """Refuse a checkpoint made for another number of classes than the dataset has."""
    if description.classes != classes:
        raise SidekickError(
            f"{checkpoint}: made for {description.classes} classes, but {dataset_folder} has "
            f"{classes}"
        )


def identity_of(
    training: str,
    *,
    recipe: Mapping[str, Any],
    seed: int,
    data: TrainingData,
    facts: Mapping[str, object],
    **others: Any,
) -> dict[str, Any]:
    """Give what decides the outcome of a training, for its `ResumeFile`.

    Parameters
    ----------
    training
        Which kind of training it is.
    recipe, seed, data, facts
        As the training has them.
    others
        Whatever else decides: JSON values, or the paths of checkpoints (or None).
    """
    return training_identity(
        training,
        recipe=recipe,
        seed=seed,
        data=data.fingerprint,
        facts=facts,
        preprocessing=data.preprocessing.as_dict(),
        **others,
    )
