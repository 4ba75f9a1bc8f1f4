"""Train a Monte-Carlo dropout head on a frozen network: the recipe `mc_dropout`."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sidekick.models.checkpoints import describe, load_model
from sidekick.models.create import blank_image, pooled_features
from sidekick.models.mc_dropout_head import MCDropoutClassifier, MCDropoutHead
from sidekick.models.preprocessing import Preprocessing
from sidekick.models.runtime import describe_device, reproducible, select_device
from sidekick.training.data import TrainingData, load_training_data
from sidekick.training.inputs import ImageInputs
from sidekick.training.loop import Task, run_epochs
from sidekick.training.outcome import write_outcome
from sidekick.training.resume import ResumeFile
from sidekick.training.session import identity_of, require_classes

_log = logging.getLogger("sidekick")


def train_mc_dropout(
    *,
    dataset_folder: str | Path,
    checkpoint: str | Path,
    recipe: Mapping[str, Any],
    seed: int,
    output: str | Path,
    curve: str | Path,
    device: str,
    threads: int,
    facts: Mapping[str, object],
) -> None:
    """Train the head by Adam and binary cross-entropy on one-hot targets; keep the last weights.

    Parameters
    ----------
    dataset_folder
        A prepared dataset.
    checkpoint
        The fine-tuned network; it stays as it is.
    recipe
        `hidden` (width), `dropout` (two rates), `epochs`, `batch_size`, `learning_rate`
        (constant), and optionally `augmentation`.
    seed
        Decides the split, the head's initialisation, the order, the augmentation and the masks.
    output, curve
        Where network and head together (safetensors, names with `backbone.` and `head.` before
        them; see `MCDropoutHead` for the head's tensors) and the curve (Parquet) go.
    device, threads, facts
        As for `sidekick.training.finetune.finetune`.

    Raises
    ------
    SidekickError
        If the device is missing, the checkpoint is unreadable or made for other classes, or the
        loss stops being finite.
    """
    place = select_device(device)
    source = describe(checkpoint)
    _log.info(
        "Training an MC-dropout head for %s on %s",
        source.entry["architecture"],
        describe_device(place, threads),
    )
    preprocessing = Preprocessing(**source.preprocessing)
    data = load_training_data(dataset_folder, seed, place, preprocessing, threads)
    require_classes(checkpoint, source, data.classes, dataset_folder)
    with reproducible(place, threads, seed):
        model, arguments = _with_head(checkpoint, recipe, data, place)
        known = identity_of(
            "mc_dropout",
            recipe=recipe,
            seed=seed,
            data=data,
            facts=facts,
            network=Path(checkpoint),
        )
        resume = ResumeFile(output, known)
        rows = run_epochs(_task(model, data, recipe, seed, place), data, resume)
    write_outcome(
        model=model,
        data=data,
        entry=source.entry,
        recipe=recipe,
        seed=seed,
        rows=rows,
        checkpoint=output,
        curve=curve,
        facts=facts,
        head=arguments,
    )
    resume.delete()


def _with_head(
    checkpoint: str | Path, recipe: Mapping[str, Any], data: TrainingData, device: torch.device
) -> tuple[MCDropoutClassifier, dict[str, Any]]:
    """Put a new head on the network; give the head's arguments too."""
    backbone = load_model(checkpoint, device)
    with torch.no_grad():
        sample = blank_image(data.preprocessing.input_shape).to(device)
        features = pooled_features(backbone, sample).shape[1]
    arguments = {
        "features": features,
        "hidden": recipe["hidden"],
        "dropout": list(recipe["dropout"]),
    }
    head = MCDropoutHead(classes=data.classes, **arguments).to(device)
    return MCDropoutClassifier(backbone, head), arguments


def _task(
    model: MCDropoutClassifier,
    data: TrainingData,
    recipe: Mapping[str, Any],
    seed: int,
    device: torch.device,
) -> Task:
    optimiser = torch.optim.Adam(model.head.parameters(), lr=recipe["learning_rate"], fused=True)
    constant = torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0)
    augmentation = recipe.get("augmentation", {})
    inputs = ImageInputs(data.preprocessing, data.classes, augmentation, device)
    return Task(model, optimiser, constant, _binary_cross_entropy, inputs, recipe, seed, device)


def _binary_cross_entropy(logits: Tensor, targets: Tensor, samples: Tensor) -> Tensor:
    if targets.ndim == 1:
        targets = F.one_hot(targets, logits.shape[1]).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, targets)
