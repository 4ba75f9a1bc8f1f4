"""Train a Monte-Carlo dropout head on a network: the recipe `mc_dropout`."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sidekick.models.checkpoints import describe
from sidekick.models.create import blank_image, pooled_features
from sidekick.models.mc_dropout_head import MCDropoutClassifier, MCDropoutHead
from sidekick.models.runtime import describe_device, reproducible, select_device
from sidekick.training.data import TrainingData
from sidekick.training.inputs import ImageInputs
from sidekick.training.loop import Task, run_epochs
from sidekick.training.outcome import write_outcome
from sidekick.training.resume import ResumeFile
from sidekick.training.session import identity_of, open_session

_log = logging.getLogger("sidekick")


def train_mc_dropout(
    *,
    dataset_folder: str | Path,
    checkpoint: str | Path | None,
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
        The fine-tuned network. None if the recipe has a `start`.
    recipe
        `hidden` (width), `dropout` (two rates), `epochs`, `batch_size`, `learning_rate`
        (constant), and optionally

        `augmentation`
            See `sidekick.training.augmentation`.
        `backbone`
            With `tuned` the network is trained too, batch-norm statistics included; else it stays
            as it is.
        `backbone_learning_rate`
            Of a tuned network, where it is another than the head's.
        `start`
            A model entry: the head is put on the network as it comes from there, published
            weights or random ones.
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
        If the device is missing, the checkpoint is unreadable or made for other classes, the
        network cannot be built, or the loss stops being finite.
    """
    place = select_device(device)
    entry = recipe["start"] if checkpoint is None else describe(checkpoint).entry
    _log.info(
        "Training an MC-dropout head for %s on %s",
        entry["architecture"],
        describe_device(place, threads),
    )
    with reproducible(place, threads, seed):
        backbone, data = open_session(
            dataset_folder=dataset_folder,
            entry=entry,
            seed=seed,
            device=place,
            threads=threads,
            start=checkpoint,
        )
        model, arguments = _with_head(backbone, recipe, data, place)
        known = identity_of(
            "mc_dropout",
            recipe=recipe,
            seed=seed,
            data=data,
            facts=facts,
            network=checkpoint,
        )
        resume = ResumeFile(output, known)
        rows = run_epochs(_task(model, data, recipe, seed, place), data, resume)
    write_outcome(
        model=model,
        data=data,
        entry=entry,
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
    backbone: nn.Module, recipe: Mapping[str, Any], data: TrainingData, device: torch.device
) -> tuple[MCDropoutClassifier, dict[str, Any]]:
    """Put a new head on the network; give the head's arguments too."""
    with torch.no_grad():
        sample = blank_image(data.preprocessing.input_shape).to(device)
        features = pooled_features(backbone.eval(), sample).shape[1]
    arguments = {
        "features": features,
        "hidden": recipe["hidden"],
        "dropout": list(recipe["dropout"]),
    }
    head = MCDropoutHead(classes=data.classes, **arguments).to(device)
    tuned = recipe.get("backbone") == "tuned"
    return MCDropoutClassifier(backbone, head, tuned), arguments


def _task(
    model: MCDropoutClassifier,
    data: TrainingData,
    recipe: Mapping[str, Any],
    seed: int,
    device: torch.device,
) -> Task:
    # The head first, whose learning rate is the curve's.
    groups: list[dict[str, Any]] = [{"params": model.head.parameters()}]
    if recipe.get("backbone") == "tuned":
        rate = recipe.get("backbone_learning_rate", recipe["learning_rate"])
        groups.append({"params": model.backbone.parameters(), "lr": rate})
    optimiser = torch.optim.Adam(groups, lr=recipe["learning_rate"], fused=True)
    constant = torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0)
    augmentation = recipe.get("augmentation", {})
    inputs = ImageInputs(data.preprocessing, data.classes, augmentation, device)
    return Task(model, optimiser, constant, _binary_cross_entropy, inputs, recipe, seed, device)


def _binary_cross_entropy(logits: Tensor, targets: Tensor, samples: Tensor) -> Tensor:
    if targets.ndim == 1:
        targets = F.one_hot(targets, logits.shape[1]).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, targets)
