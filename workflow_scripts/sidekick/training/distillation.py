"""Train a small network on a large one's answers as well: the recipe `distill`."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sidekick.errors import SidekickError
from sidekick.models.checkpoints import Description, describe
from sidekick.models.loading import load_model
from sidekick.models.preprocessing import Preprocessing, ToInput
from sidekick.models.runtime import describe_device, select_device
from sidekick.training.data import TrainingData
from sidekick.training.finetune import cross_entropy, train_network
from sidekick.training.session import require_classes
from sidekick.training.validation import Loss, forward

_log = logging.getLogger("sidekick")


def distill(
    *,
    dataset_folder: str | Path,
    entry: Mapping[str, Any],
    recipe: Mapping[str, Any],
    teacher: str | Path,
    seed: int,
    checkpoint: str | Path,
    curve: str | Path,
    device: str,
    threads: int,
    facts: Mapping[str, object],
    start: str | Path | None = None,
) -> None:
    """Train as `finetune` does, but on the `DistillationLoss`.

    Parameters
    ----------
    dataset_folder, seed, checkpoint, curve, device, threads, facts
        As for `sidekick.training.finetune.finetune`.
    entry
        The student's.
    recipe
        As for `finetune`, and `distill`: `temperature` and `weight` of the `DistillationLoss`.
    teacher
        A checkpoint for the same classes; it stays as it is.
    start
        A checkpoint of the student to start from, such as its linear probe.

    Raises
    ------
    SidekickError
        As for `finetune`; or if the teacher is unreadable, has an MC-dropout head or is made for
        other classes.

    Notes
    -----
    Both networks see the same augmented images, each through its own preprocessing. Images that
    are decoded during the training (see `load_training_data`) come at the student's size, so that
    a teacher of another size reads a resized crop, not the original image.
    """
    place = select_device(device)
    source = describe(teacher)
    if source.head is not None:
        raise SidekickError(f"{teacher}: a network with an MC-dropout head cannot be a teacher")
    _log.info(
        "Distilling %s into %s on %s",
        source.entry["architecture"],
        entry["architecture"],
        describe_device(place, threads),
    )
    train_network(
        training="distill",
        objective=lambda data: _objective(teacher, source, dataset_folder, data, recipe, place),
        identity={"teacher": Path(teacher)},
        dataset_folder=dataset_folder,
        entry=entry,
        recipe=recipe,
        seed=seed,
        checkpoint=checkpoint,
        curve=curve,
        device=place,
        threads=threads,
        facts=facts,
        start=start,
    )


class DistillationLoss:
    """weight · T² · KL(teacher ‖ student) + (1 − weight) · hard loss.

    Both distributions of the divergence are softened by the temperature T; T² keeps the size of
    its gradient. See Hinton et al., *Distilling the Knowledge in a Neural Network*,
    arXiv 1503.02531.

    Parameters
    ----------
    teacher
        On the device; it takes no gradient.
    preprocessing
        The teacher's.
    hard
        The loss against the targets.
    temperature
        T.
    weight
        Share of the teacher's part.
    device
        Where images lie.
    """

    def __init__(
        self,
        teacher: nn.Module,
        preprocessing: Preprocessing,
        hard: Loss,
        temperature: float,
        weight: float,
        device: torch.device,
    ) -> None:
        self._teacher = teacher.requires_grad_(False).eval()
        self._to_input = ToInput(preprocessing, device)
        self._hard = hard
        self._temperature = temperature
        self._weight = weight
        self._device = device

    def __call__(self, logits: Tensor, targets: Tensor, samples: Tensor) -> Tensor:
        """Give the mean loss of logits (B, C) for pixels (B, 3, h, w) in [0, 1]."""
        with torch.no_grad():
            answers = forward(self._teacher, self._to_input(samples), self._device)
        divergence = F.kl_div(
            F.log_softmax(logits / self._temperature, dim=1),
            F.log_softmax(answers / self._temperature, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        soft = self._temperature**2 * divergence
        hard = self._hard(logits, targets, samples)
        return self._weight * soft + (1 - self._weight) * hard


def _objective(
    teacher: str | Path,
    source: Description,
    dataset_folder: str | Path,
    data: TrainingData,
    recipe: Mapping[str, Any],
    device: torch.device,
) -> Loss:
    require_classes(teacher, source, data.classes, dataset_folder)
    return DistillationLoss(
        load_model(teacher, device),
        Preprocessing(**source.preprocessing),
        cross_entropy(recipe),
        recipe["distill"]["temperature"],
        recipe["distill"]["weight"],
        device,
    )
