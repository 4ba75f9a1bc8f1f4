"""Which training samples a network gets right that has not seen them.

A network that has been fitted to its training split is right on almost all of it, so that little
is left to tell it about its errors. Here the split is cut into folds; for each a network is
trained from the same initial weights on all the others, and asked about this one.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sidekick.errors import SidekickError
from sidekick.models.runtime import reproducible
from sidekick.training.data import Change, LabelledImages, TrainingData
from sidekick.training.inputs import ImageInputs
from sidekick.training.loop import run_epochs
from sidekick.training.resume import ResumeFile
from sidekick.training.session import identity_of, open_network
from sidekick.training.task import adamw_task
from sidekick.training.validation import Loss, forward, in_order

_log = logging.getLogger("sidekick")


class SomeImages(LabelledImages):
    """Some rows of a split.

    Parameters
    ----------
    images
        The split.
    rows
        (m,) int64 on the CPU.
    """

    def __init__(self, images: LabelledImages, rows: Tensor) -> None:
        self.labels = images.labels[rows.to(images.labels.device)]
        self._images = images
        self._rows = rows

    def batches(
        self, rows: Iterable[Tensor], draw: Callable[[], Change | None] = lambda: None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `LabelledImages.batches`."""
        return self._images.batches((self._rows[batch] for batch in rows), draw)


def assign_folds(labels: Tensor, folds: int, seed: int) -> Tensor:
    """Draw the fold (n,) int64 of each sample; classes are spread over folds evenly.

    Parameters
    ----------
    labels
        (n,) int64.
    folds
        From 2 to n.
    seed
        Of the draw.

    Raises
    ------
    SidekickError
        If there cannot be so many folds.
    """
    if not 2 <= folds <= len(labels):
        raise SidekickError(
            f"gatekeeper.folds: {folds}; allowed are 2 to {len(labels)}, the size of the training "
            "split"
        )
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    by_class = order[labels.cpu()[order].argsort(stable=True)]
    assigned = torch.empty(len(labels), dtype=torch.int64)
    assigned[by_class] = torch.arange(len(labels)) % folds
    return assigned


def out_of_fold_logits(
    *,
    dataset_folder: str | Path,
    entry: Mapping[str, Any],
    recipe: Mapping[str, Any],
    folds: int,
    seed: int,
    data: TrainingData,
    loss: Loss,
    identity: Mapping[str, Any],
    checkpoint: str | Path,
    device: torch.device,
    threads: int,
    facts: Mapping[str, object],
    start: str | Path | None,
) -> tuple[Tensor, list[ResumeFile]]:
    """Train a network per fold, and ask each about the training samples that it has not seen.

    Parameters
    ----------
    dataset_folder, entry, recipe, seed, device, threads, facts, start
        As for `sidekick.training.finetune.finetune`: how the network was trained whose errors
        these shall be.
    folds
        How many.
    data
        The splits of the seed.
    loss
        What the networks are trained on.
    identity
        Whatever decides that loss besides the recipe; see `identity_of`.
    checkpoint
        The state of unfinished trainings lies beside it.

    Returns
    -------
    logits
        (n, C) float32 on the device, of the training images without augmentation.
    resumes
        The states of the finished trainings, for the caller to delete.
    """
    assigned = assign_folds(data.train.labels, folds, seed)
    logits = torch.empty(len(assigned), data.classes, device=device)
    resumes = []
    for fold in range(folds):
        _log.info("Stage one without fold %d of %d", fold + 1, folds)
        held_out = (assigned == fold).nonzero()[:, 0]
        others = SomeImages(data.train, (assigned != fold).nonzero()[:, 0])
        own = replace(data, train=others)
        known = identity_of(
            "cross_fitting",
            recipe=recipe,
            seed=seed,
            data=data,
            facts=facts,
            entry=dict(entry),
            start=start,
            folds=[fold, folds],
            **identity,
        )
        resume = ResumeFile(Path(checkpoint).with_suffix(f".fold{fold}.safetensors"), known)
        with reproducible(device, threads, seed):
            model, _ = open_network(
                dataset_folder=dataset_folder, entry=entry, device=device, start=start
            )
            task = adamw_task(model, own, loss, recipe, seed, device)
            run_epochs(task, own, resume)
            logits[held_out.to(device)] = split_logits(
                model, task.inputs, SomeImages(data.train, held_out), device
            )
        resumes.append(resume)
    return logits, resumes


@torch.no_grad()
def split_logits(
    model: nn.Module, inputs: ImageInputs, images: LabelledImages, device: torch.device
) -> Tensor:
    """Give a network's logits (n, C) float32 of a split's images, without augmentation."""
    model.eval()
    return torch.cat(
        [
            forward(model, inputs.to_network(inputs.evaluation(pixels)), device)
            for pixels, _ in images.batches(in_order(len(images)))
        ]
    )
