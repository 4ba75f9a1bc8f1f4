"""Train a whole network on a dataset: the recipe `finetune` and the trials of a search."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sidekick.models.runtime import describe_device, reproducible, select_device
from sidekick.training.data import TrainingData
from sidekick.training.loop import run_epochs
from sidekick.training.outcome import write_outcome
from sidekick.training.resume import ResumeFile
from sidekick.training.session import identity_of, open_session
from sidekick.training.task import adamw_task
from sidekick.training.validation import Loss

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
    start: str | Path | None = None,
) -> None:
    """Train by AdamW, a warm-up and a cosine of the learning rate, and cross-entropy.

    Parameters
    ----------
    dataset_folder
        A prepared dataset.
    entry
        The model entry: `architecture`, optionally `options`, `pretrained` and `input`.
    recipe
        `epochs`, `batch_size`, `learning_rate` (the peak), `weight_decay`, and optionally

        `label_smoothing`
            Share of the target that all classes divide evenly.
        `augmentation`
            See `sidekick.training.augmentation`.
        `warmup`
            Share of the steps in which the learning rate rises; see `rate_factor`.
        `accumulation`
            Parts in which a batch is computed, to save memory. The step is the same but for what
            batch norm and dropout do.
        `early_stopping`
            Epochs without a better main metric on val after which training stops; the best
            epoch's weights are then kept, else the last's.
        `ema`
            Decay of an exponential moving average of weights and batch-norm statistics, which is
            evaluated and kept in their stead. The decay of step t is at most 1 − t^(−2/3).
        `compile`
            Whether training steps run through `torch.compile`.
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
    start
        A checkpoint of the same entry to start from, such as a linear probe's.

    Raises
    ------
    SidekickError
        If the device is missing, the architecture cannot be built or cannot read its input,
        `start` is of another network, or the loss stops being finite.

    Notes
    -----
    The state of the latest epoch lies beside the checkpoint until training ends; a training that
    was killed goes on from there and ends with the same weights.
    """
    place = select_device(device)
    _log.info("Fine-tuning %s on %s", entry["architecture"], describe_device(place, threads))
    train_network(
        training="finetune",
        objective=lambda data: cross_entropy(recipe),
        identity={},
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


def train_network(
    *,
    training: str,
    objective: Callable[[TrainingData], Loss],
    identity: Mapping[str, Any],
    dataset_folder: str | Path,
    entry: Mapping[str, Any],
    recipe: Mapping[str, Any],
    seed: int,
    checkpoint: str | Path,
    curve: str | Path,
    device: torch.device,
    threads: int,
    facts: Mapping[str, object],
    start: str | Path | None,
) -> None:
    """Train all weights of a network on an objective; the rest is as for `finetune`.

    Parameters
    ----------
    training
        Which kind of training this is.
    objective
        Gives the loss, once the data are known.
    identity
        Whatever decides that loss besides the recipe; see `identity_of`.
    dataset_folder, entry, recipe, seed, checkpoint, curve, device, threads, facts, start
        As for `finetune`.
    """
    with reproducible(device, threads, seed):
        model, data = open_session(
            dataset_folder=dataset_folder,
            entry=entry,
            seed=seed,
            device=device,
            threads=threads,
            start=start,
        )
        known = identity_of(
            training,
            recipe=recipe,
            seed=seed,
            data=data,
            facts=facts,
            entry=dict(entry),
            start=start,
            **identity,
        )
        resume = ResumeFile(checkpoint, known)
        task = adamw_task(model, data, objective(data), recipe, seed, device)
        rows = run_epochs(task, data, resume)
    write_outcome(
        model=model,
        data=data,
        entry=entry,
        recipe=recipe,
        seed=seed,
        rows=rows,
        checkpoint=checkpoint,
        curve=curve,
        facts=facts,
    )
    resume.delete()


def cross_entropy(recipe: Mapping[str, Any]) -> Loss:
    """Give the cross-entropy of labels or probabilities, with the recipe's label smoothing."""
    smoothing = recipe.get("label_smoothing", 0.0)

    def loss(logits: Tensor, targets: Tensor, samples: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, label_smoothing=smoothing)

    return loss
