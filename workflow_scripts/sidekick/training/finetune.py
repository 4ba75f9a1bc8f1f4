"""Train a network on a dataset: the recipe `finetune`."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sidekick import __version__
from sidekick.models.checkpoints import Description
from sidekick.models.create import create_model, require_image_shape
from sidekick.models.runtime import describe_device, reproducible, select_device
from sidekick.training.data import load_training_data
from sidekick.training.loop import Task, run_epochs, steps_per_epoch
from sidekick.training.outcome import write_outcome
from sidekick.training.resume import ResumeFile

_log = logging.getLogger("sidekick")


def finetune(
    *,
    dataset_folder: str | Path,
    entry: Mapping[str, Any],
    recipe: Mapping[str, Any],
    seed: int,
    checkpoint: str | Path,
    curve: str | Path,
    device: str,
    threads: int,
    facts: Mapping[str, object],
) -> None:
    """Train by AdamW, a one-cycle learning rate and cross-entropy; keep the last weights.

    Parameters
    ----------
    dataset_folder
        A prepared dataset.
    entry
        The model entry: `architecture`, optionally `options` and `pretrained`.
    recipe
        `epochs`, `batch_size`, `learning_rate` (the peak), `weight_decay`, and optionally
        `label_smoothing` and `augmentation` (see `sidekick.training.augmentation.augment`).
    seed
        Decides the split, the initialisation, the order and the augmentation.
    checkpoint, curve
        Where the weights (safetensors) and the training curve (Parquet) go.
    device
        `cpu` or `cuda`.
    threads
        Threads on the CPU. Results repeat bit for bit on one machine with as many threads.
    facts
        Key-value metadata for both files.

    Raises
    ------
    SidekickError
        If the device is missing, the architecture cannot be built or cannot read the images, or
        the loss stops being finite.

    Notes
    -----
    The state of the latest epoch lies beside the checkpoint until training ends; a training that
    was killed goes on from there and ends with the same weights.
    """
    place = select_device(device)
    _log.info("Fine-tuning %s on %s", entry["architecture"], describe_device(place, threads))
    data = load_training_data(dataset_folder, seed, place)
    with reproducible(place, threads, seed):
        model = create_model(entry, data.classes)
        require_image_shape(model, entry, data.image_shape)
        model = model.to(place, memory_format=torch.channels_last)
        identity = {
            "training": "finetune",
            "entry": dict(entry),
            "recipe": dict(recipe),
            "seed": seed,
            "data": data.fingerprint,
            "facts": dict(facts),
            "versions": [__version__, torch.__version__],
        }
        resume = ResumeFile(checkpoint, identity)
        task = _task(model, recipe, seed, len(data.train), place)
        rows = run_epochs(task, data, resume)
    description = Description(
        entry=dict(entry),
        classes=data.classes,
        head=None,
        recipe=dict(recipe),
        seed=seed,
        val_accuracy=rows[-1]["val_accuracy"],
        facts=dict(facts),
    )
    write_outcome(
        model=model,
        description=description,
        rows=rows,
        checkpoint=checkpoint,
        curve=curve,
        facts=facts,
    )
    resume.delete()


def _task(
    model: nn.Module, recipe: Mapping[str, Any], seed: int, samples: int, device: torch.device
) -> Task:
    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=recipe["learning_rate"],
        weight_decay=recipe["weight_decay"],
        fused=True,
    )
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        max_lr=recipe["learning_rate"],
        total_steps=recipe["epochs"] * steps_per_epoch(samples, recipe["batch_size"]),
    )
    loss = nn.CrossEntropyLoss(label_smoothing=recipe.get("label_smoothing", 0.0))
    return Task(model, optimiser, scheduler, loss, recipe, seed, device)
