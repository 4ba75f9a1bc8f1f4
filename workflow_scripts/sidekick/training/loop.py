"""The epoch loop that every training shares."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from sidekick.errors import SidekickError
from sidekick.training.compilation import compiled
from sidekick.training.data import LabelledImages, TrainingData
from sidekick.training.inputs import Inputs
from sidekick.training.resume import ResumeFile
from sidekick.training.validation import Loss, forward, validate

_log = logging.getLogger("sidekick")


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
    inputs
        What happens to a batch before the model sees it.
    recipe
        `epochs`, `batch_size`, and optionally `accumulation`, `early_stopping`, `ema` and
        `compile`; see `sidekick.training.finetune.finetune`.
    seed
        Decides order, augmentation and dropout of each epoch.
    device
        Where the model and the data lie. On CUDA the network runs in bfloat16 where autocast
        deems it safe.
    correct
        (n,) bool on the device, if the loss takes for granted which training samples the model
        gets right: it is then called with a fourth argument, `correct` (B,), in training. Never
        with inputs that blend samples.
    """

    model: nn.Module
    optimiser: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    loss: Loss
    inputs: Inputs
    recipe: Mapping[str, Any]
    seed: int
    device: torch.device
    correct: Tensor | None = None


@dataclass
class _Progress:
    """What changes from epoch to epoch, besides the task's own state.

    Attributes
    ----------
    network
        The task's model, compiled if that was asked for.
    average
        The moving average of the weights, if one is kept.
    curve
        A row per finished epoch.
    best
        The best epoch's weights, if they are kept.
    """

    network: nn.Module
    average: ModelEmaV3 | None
    curve: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] | None = None


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Count the batches of an epoch; a last batch of one sample is left out (see `_batches`)."""
    return samples // batch_size + (samples % batch_size > 1)


def run_epochs(task: Task, data: TrainingData, resume: ResumeFile) -> list[dict[str, Any]]:
    """Train, going on after the last epoch that `resume` holds.

    All randomness of an epoch comes from the seed and the epoch's number, so a training that
    was interrupted ends with the same bits as one that was not. The model is left with the
    weights to keep: the last epoch's, or with `early_stopping` the best's by the dataset's main
    metric on val (the first of equals); those of the moving average, if there is one.

    Returns
    -------
    list of dict
        Per epoch: `epoch` (from 1), `learning_rate` (of its first step), `train_loss` and
        `train_accuracy` (on the augmented batches, before each step), `val_loss`, `val_accuracy`
        and `val_macro_f1` (after the epoch, of the weights that may be kept), and `kept`, true
        for the epoch whose weights are. Losses are means of the training objective. Under mixup
        the class with the larger share counts as the label.

    Raises
    ------
    SidekickError
        If the loss stops being finite, with the epoch and what to change; or if `compile` is
        asked for and does not work here.
    """
    recipe, metric = task.recipe, f"val_{data.main_metric}"
    progress = _begin(task)
    _restore(task, progress, resume)
    judged = task.model if progress.average is None else progress.average.module
    for epoch in range(len(progress.curve) + 1, recipe["epochs"] + 1):
        if _should_stop(progress.curve, metric, recipe):
            break
        row = {"epoch": epoch, "learning_rate": task.scheduler.get_last_lr()[0]}
        row["train_loss"], row["train_accuracy"] = _train_epoch(task, progress, data.train, epoch)
        score = validate(judged, task.inputs, data.val, task.loss, task.device)
        row |= {
            "val_loss": score.loss,
            "val_accuracy": score.accuracy,
            "val_macro_f1": score.macro_f1,
        }
        _require_finite(task, row)
        progress.curve.append(row)
        if "early_stopping" in recipe and _best(progress.curve, metric) is row:
            progress.best = {
                name: value.to("cpu", copy=True) for name, value in judged.state_dict().items()
            }
        _save(task, progress, resume)
        _log.info(
            "Epoch %d of %d: train loss %.4f, val loss %.4f, val accuracy %.4f",
            epoch, recipe["epochs"], row["train_loss"], row["val_loss"], row["val_accuracy"],
        )  # fmt: skip
    kept = progress.curve[-1] if progress.best is None else _best(progress.curve, metric)
    task.model.load_state_dict(judged.state_dict() if progress.best is None else progress.best)
    return [{**row, "kept": row is kept} for row in progress.curve]


def _begin(task: Task) -> _Progress:
    network, average = task.model, None
    if task.recipe.get("compile"):
        network = compiled(task.model, task.device)
    if "ema" in task.recipe:
        # The decay rises with the steps: else the average of a short training would be mostly the
        # initial weights. Integers are copied.
        average = ModelEmaV3(task.model, decay=task.recipe["ema"], use_warmup=True)
    return _Progress(network, average)


def _train_epoch(
    task: Task, progress: _Progress, images: LabelledImages, epoch: int
) -> tuple[float, float]:
    states = np.random.SeedSequence([task.seed, epoch]).generate_state(2, np.uint64)
    stream, ahead = (int(state) for state in states)
    generator = torch.Generator().manual_seed(stream)
    # Of what is drawn some batches before its turn.
    early = torch.Generator().manual_seed(ahead)
    # Dropout draws from the global generator.
    torch.manual_seed(stream)
    task.model.train()
    tally = _Tally(task.device)
    # Drawn before any augmentation is, however far ahead batches are made ready.
    rows = _batches(len(images), task.recipe["batch_size"], generator)
    draw = partial(task.inputs.draw_change, early)
    for batch, (samples, labels) in zip(rows, images.batches(rows, draw), strict=True):
        samples, targets = task.inputs.training(samples, labels, generator)
        known = () if task.correct is None else (task.correct[batch.to(task.device)],)
        task.optimiser.zero_grad(set_to_none=True)
        _add_gradients(task, progress.network, samples, targets, tally, *known)
        task.optimiser.step()
        task.scheduler.step()
        if progress.average is not None:
            progress.average.update(task.model, step=task.scheduler.last_epoch)
    return tally.means()


def _add_gradients(
    task: Task,
    network: nn.Module,
    samples: Tensor,
    targets: Tensor,
    tally: "_Tally",
    *known: Tensor,
) -> None:
    """Add the gradients of the batch's mean loss, computed in parts.

    Whatever else is `known` of each sample (B,) is handed to the loss.

    Their sum is that of the whole batch; only batch norm, and what is random inside the network,
    see the parts. No part has a single sample if that can be: batch norm cannot train on it.
    """
    count = len(samples)
    parts = max(1, min(task.recipe.get("accumulation", 1), count // 2))
    split = [whole.tensor_split(parts) for whole in (samples, targets, *known)]
    for some, wanted, *rest in zip(*split, strict=True):
        logits = forward(network, task.inputs.to_network(some), task.device)
        loss = task.loss(logits, wanted, some, *rest)
        (loss * (len(some) / count)).backward()
        tally.add(logits.detach(), wanted, loss.detach())


def _batches(samples: int, batch_size: int, generator: torch.Generator) -> list[Tensor]:
    """Give the rows of each batch of one shuffled epoch.

    A last batch of a single sample is left out: batch norm cannot train on it.
    """
    order = torch.randperm(samples, generator=generator)
    return list(order.split(batch_size))[: steps_per_epoch(samples, batch_size)]


class _Tally:
    """Sums over batches, kept on the device so that a GPU need not wait for each batch."""

    def __init__(self, device: torch.device) -> None:
        self._loss = torch.zeros((), dtype=torch.float64, device=device)
        self._correct = torch.zeros((), dtype=torch.int64, device=device)
        self._count = 0

    def add(self, logits: Tensor, targets: Tensor, loss: Tensor) -> None:
        labels = targets if targets.ndim == 1 else targets.argmax(dim=1)
        self._loss += loss.double() * len(labels)
        self._correct += (logits.argmax(dim=1) == labels).sum()
        self._count += len(labels)

    def means(self) -> tuple[float, float]:
        return self._loss.item() / self._count, self._correct.item() / self._count


def _best(curve: list[dict[str, Any]], metric: str) -> dict[str, Any]:
    # Of equals, `max` gives the first.
    return max(curve, key=lambda row: row[metric])


def _should_stop(curve: list[dict[str, Any]], metric: str, recipe: Mapping[str, Any]) -> bool:
    if not curve or "early_stopping" not in recipe:
        return False
    return len(curve) - _best(curve, metric)["epoch"] >= recipe["early_stopping"]


def _require_finite(task: Task, row: Mapping[str, Any]) -> None:
    if not np.isfinite([row["train_loss"], row["val_loss"]]).all():
        raise SidekickError(
            f"training: the loss is not finite in epoch {row['epoch']} (train "
            f"{row['train_loss']}, val {row['val_loss']}) with learning_rate "
            f"{task.recipe['learning_rate']}; set a lower learning_rate for this model"
        )


def _restore(task: Task, progress: _Progress, resume: ResumeFile) -> None:
    state = resume.load()
    if state is None:
        return
    task.model.load_state_dict(state["model"])
    task.optimiser.load_state_dict(state["optimiser"])
    task.scheduler.load_state_dict(state["scheduler"])
    if progress.average is not None:
        progress.average.module.load_state_dict(state["average"])
    progress.best = state["best"]
    progress.curve = state["curve"]
    _log.info("Going on after epoch %d, from %s", len(progress.curve), resume.path)


def _save(task: Task, progress: _Progress, resume: ResumeFile) -> None:
    average = progress.average
    resume.save(
        {
            "model": task.model.state_dict(),
            "optimiser": task.optimiser.state_dict(),
            "scheduler": task.scheduler.state_dict(),
            "average": None if average is None else average.module.state_dict(),
            "best": progress.best,
            "curve": progress.curve,
        }
    )
