"""Run a trained network over splits and cache its logits."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sidekick.datasets.reading import ImageSplit, load_split
from sidekick.errors import SidekickError
from sidekick.logit_cache.storage import write_logits
from sidekick.models.checkpoints import Description, describe, load_model
from sidekick.models.mc_dropout_head import MCDropoutClassifier
from sidekick.models.pixels import Normaliser, as_tensor, to_unit
from sidekick.models.runtime import describe_device, reproducible, select_device

_log = logging.getLogger("sidekick")


def cache_logits(
    *,
    checkpoint: str | Path,
    dataset_folder: str | Path,
    outputs: Mapping[str, str | Path],
    seed: int,
    device: str,
    threads: int,
    facts: Mapping[str, object],
    batch_size: int = 128,
) -> None:
    """Cache the logits of one network on several splits; the network is loaded once.

    The network runs in evaluation mode and in float32, on CUDA too. With an MC-dropout head the
    logits are the head's without dropout, and the pooled features are cached as well, so that
    passes through the head need no images.

    Parameters
    ----------
    checkpoint
        The network's weights.
    dataset_folder
        A prepared dataset.
    outputs
        For each split (`val`, `test`, `shift`) the Parquet file to write; see
        `sidekick.logit_cache.storage.write_logits`.
    seed
        Whose splits to read.
    device
        `cpu` or `cuda`.
    threads
        Threads on the CPU. Logits repeat bit for bit on one machine with as many threads and
        the same batch size.
    facts
        Key-value metadata of every file; `split` and `architecture` are added.
    batch_size
        Samples per forward pass. On CPUs larger batches fall out of the cache: 256 was half as
        fast as 128.

    Raises
    ------
    SidekickError
        If the device is missing, the checkpoint or a split is unreadable, or a logit is not
        finite.
    """
    place = select_device(device)
    description = describe(checkpoint)
    model = load_model(checkpoint, place)
    architecture = description.entry["architecture"]
    _log.info("Running %s on %s", architecture, describe_device(place, threads))
    with reproducible(place, threads, seed):
        for split, path in outputs.items():
            samples = load_split(dataset_folder, split, seed)
            _require_labels(samples, description, checkpoint, f"{dataset_folder}, split {split}")
            start = time.perf_counter()
            logits, features = predict(model, samples.images, place, batch_size)
            rate = len(samples) / (time.perf_counter() - start)
            _log.info("%s: %d samples, %.0f per second", split, len(samples), rate)
            write_logits(
                path,
                samples.sample_ids,
                samples.labels,
                logits,
                {**facts, "split": split, "architecture": architecture},
                corruption=samples.corruption,
                severity=samples.severity,
                features=features,
            )


@torch.inference_mode()
def predict(
    model: nn.Module, images: np.ndarray, device: torch.device, batch_size: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Run a network in evaluation mode.

    Parameters
    ----------
    model
        On the device.
    images
        (n, H, W, 3) uint8.
    device
        Where to run.
    batch_size
        Samples per forward pass.

    Returns
    -------
    logits
        (n, C) float32.
    features
        (n, F) float32 pooled features if the model is an `MCDropoutClassifier`, else None.
    """
    model.eval()
    normalise = Normaliser(model.pretrained_cfg, device)
    has_head = isinstance(model, MCDropoutClassifier)
    logits, features = [], []
    # At least one batch: a split without rows still needs arrays of the right width.
    for first in range(0, max(1, len(images)), batch_size):
        pixels = as_tensor(images[first : first + batch_size], device)
        inputs = normalise(to_unit(pixels))
        if has_head:
            pooled = model.pooled_features(inputs)
            features.append(pooled.cpu().numpy())
            logits.append(model.head(pooled).cpu().numpy())
        else:
            logits.append(model(inputs).cpu().numpy())
    return np.concatenate(logits), np.concatenate(features) if has_head else None


def _require_labels(
    samples: ImageSplit, description: Description, checkpoint: str | Path, place: str
) -> None:
    largest = int(samples.labels.max(initial=0))
    if largest >= description.classes:
        raise SidekickError(
            f"{place}: label {largest}, but {checkpoint} knows {description.classes} classes"
        )
