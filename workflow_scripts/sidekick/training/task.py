"""The task that most trainings of whole networks share."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sidekick.training.data import TrainingData
from sidekick.training.inputs import ImageInputs
from sidekick.training.loop import Task, steps_per_epoch
from sidekick.training.schedule import WARMUP, warmup_cosine
from sidekick.training.validation import Loss


def adamw_task(
    model: nn.Module,
    data: TrainingData,
    loss: Loss,
    recipe: Mapping[str, Any],
    seed: int,
    device: torch.device,
    correct: Tensor | None = None,
) -> Task:
    """Train all weights by AdamW, with a warm-up and a cosine of the learning rate.

    Parameters
    ----------
    model, loss, seed, device, correct
        As in the `Task`.
    data
        What it will train on.
    recipe
        As for `sidekick.training.finetune.finetune`.
    """
    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=recipe["learning_rate"],
        weight_decay=recipe["weight_decay"],
        fused=True,
    )
    steps = recipe["epochs"] * steps_per_epoch(len(data.train), recipe["batch_size"])
    scheduler = warmup_cosine(optimiser, steps, recipe.get("warmup", WARMUP))
    augmentation = recipe.get("augmentation", {})
    inputs = ImageInputs(data.preprocessing, data.classes, augmentation, device)
    return Task(model, optimiser, scheduler, loss, inputs, recipe, seed, device, correct)
