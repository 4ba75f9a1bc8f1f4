"""The epoch loop that every training shares."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sidekick.errors import SidekickError
from sidekick.models.pixels import Normaliser, to_unit
from sidekick.training.augmentation import augment
from sidekick.training.data import LabelledImages, TrainingData
from sidekick.training.resume import ResumeFile

# On the CPU 256 halves the speed of a small network: the allocator then maps and unmaps its
# activations for every batch.
_EVALUATION_BATCH = 128

_log = logging.getLogger("sidekick")

Loss = Callable[[Tensor, Tensor], Tensor]
"""Maps logits (B, C) float32 and labels (B,) int64 to the mean loss."""


@dataclass(frozen=True)
class Task:
    """What to train and how.

    Attributes
    ----------
    model
        On the device. Only parameters that require gradients are trained.
    optimiser, scheduler
        The scheduler steps after every batch.
    loss
        The objective.
    recipe
        `epochs`, `batch_size` and optionally `augmentation`.
    seed
        Decides order, augmentation and dropout of each epoch.
    device
        Where the model and the data lie. On CUDA the network runs in bfloat16 where autocast
        deems it safe.
    """

    model: nn.Module
    optimiser: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    loss: Loss
    recipe: Mapping[str, Any]
    seed: int
    device: torch.device


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Count the batches of an epoch; a last batch of one sample is left out (see `_batches`)."""
    return samples // batch_size + (samples % batch_size > 1)


def run_epochs(task: Task, data: TrainingData, resume: ResumeFile) -> list[dict[str, Any]]:
    """Train, going on after the last epoch that `resume` holds.

    All randomness of an epoch comes from the seed and the epoch's number, so a training that
    was interrupted ends with the same bits as one that was not.

    Returns
    -------
    list of dict
        Per epoch: `epoch` (from 1), `learning_rate` (of its first step), `train_loss` and
        `train_accuracy` (on the augmented batches, before each step), `val_loss` and
        `val_accuracy` (after the epoch). Losses are means of the training objective.

    Raises
    ------
    SidekickError
        If the loss stops being finite, with the epoch and what to change.
    """
    normalise = Normaliser(task.model.pretrained_cfg, task.device)
    curve = _restore(task, resume)
    epochs = task.recipe["epochs"]
    for epoch in range(len(curve) + 1, epochs + 1):
        learning_rate = task.scheduler.get_last_lr()[0]
        train_loss, train_accuracy = _train_epoch(task, data.train, normalise, epoch)
        val_loss, val_accuracy = _evaluate(task, data.val, normalise)
        _require_finite(task, epoch, train_loss, val_loss)
        curve.append(
            {
                "epoch": epoch,
                "learning_rate": learning_rate,
                "train_loss": train_loss,
                "train_accuracy": train_accuracy,
                "val_loss": val_loss,
                "val_accuracy": val_accuracy,
            }
        )
        _save(task, resume, curve)
        _log.info(
            "Epoch %d of %d: train loss %.4f, val loss %.4f, val accuracy %.4f",
            epoch, epochs, train_loss, val_loss, val_accuracy,
        )  # fmt: skip
    return curve


def _train_epoch(
    task: Task, images: LabelledImages, normalise: Normaliser, epoch: int
) -> tuple[float, float]:
    stream = int(np.random.SeedSequence([task.seed, epoch]).generate_state(1, np.uint64)[0])
    generator = torch.Generator().manual_seed(stream)
    # Dropout draws from the global generator.
    torch.manual_seed(stream)
    task.model.train()
    tally = _Tally(task.device)
    for rows in _batches(len(images), task.recipe["batch_size"], generator):
        rows = rows.to(task.device)
        pixels, labels = to_unit(images.pixels[rows]), images.labels[rows]
        pixels = augment(pixels, task.recipe.get("augmentation", {}), generator)
        logits = _forward(task, normalise(pixels))
        loss = task.loss(logits, labels)
        task.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        task.optimiser.step()
        task.scheduler.step()
        tally.add(logits.detach(), labels, loss.detach())
    return tally.means()


@torch.no_grad()
def _evaluate(task: Task, images: LabelledImages, normalise: Normaliser) -> tuple[float, float]:
    task.model.eval()
    tally = _Tally(task.device)
    for first in range(0, len(images), _EVALUATION_BATCH):
        rows = slice(first, first + _EVALUATION_BATCH)
        labels = images.labels[rows]
        logits = _forward(task, normalise(to_unit(images.pixels[rows])))
        tally.add(logits, labels, task.loss(logits, labels))
    return tally.means()


def _forward(task: Task, inputs: Tensor) -> Tensor:
    with torch.autocast(task.device.type, dtype=torch.bfloat16, enabled=task.device.type == "cuda"):
        logits = task.model(inputs)
    return logits.float()


def _batches(samples: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Give the rows of each batch of one shuffled epoch.

    A last batch of a single sample is left out: batch norm cannot train on it.
    """
    order = torch.randperm(samples, generator=generator)
    for step in range(steps_per_epoch(samples, batch_size)):
        yield order[step * batch_size : (step + 1) * batch_size]


class _Tally:
    """Sums over batches, kept on the device so that a GPU need not wait for each batch."""

    def __init__(self, device: torch.device) -> None:
        self._loss = torch.zeros((), dtype=torch.float64, device=device)
        self._correct = torch.zeros((), dtype=torch.int64, device=device)
        self._count = 0

    def add(self, logits: Tensor, labels: Tensor, loss: Tensor) -> None:
        self._loss += loss.double() * len(labels)
        self._correct += (logits.argmax(dim=1) == labels).sum()
        self._count += len(labels)

    def means(self) -> tuple[float, float]:
        return self._loss.item() / self._count, self._correct.item() / self._count


def _require_finite(task: Task, epoch: int, train_loss: float, val_loss: float) -> None:
    if not np.isfinite([train_loss, val_loss]).all():
        raise SidekickError(
            f"training: the loss is not finite in epoch {epoch} (train {train_loss}, val "
            f"{val_loss}) with learning_rate {task.recipe['learning_rate']}; set a lower "
            "learning_rate for this model"
        )


def _restore(task: Task, resume: ResumeFile) -> list[dict[str, Any]]:
    state = resume.load()
    if state is None:
        return []
    task.model.load_state_dict(state["model"])
    task.optimiser.load_state_dict(state["optimiser"])
    task.scheduler.load_state_dict(state["scheduler"])
    _log.info("Going on after epoch %d, from %s", len(state["curve"]), resume.path)
    return state["curve"]


def _save(task: Task, resume: ResumeFile, curve: list[dict[str, Any]]) -> None:
    resume.save(
        {
            "model": task.model.state_dict(),
            "optimiser": task.optimiser.state_dict(),
            "scheduler": task.scheduler.state_dict(),
            "curve": curve,
        }
    )
