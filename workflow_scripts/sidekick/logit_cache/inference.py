"""Run trained networks over splits and cache their logits."""

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sidekick.datasets.decoding import Batch, decode_ahead, fixed_shape_decoder
from sidekick.datasets.reading import StoredSplit, iterate_split
from sidekick.errors import SidekickError
from sidekick.logit_cache.columns import SHARED, joined, require_labels
from sidekick.logit_cache.storage import write_logits
from sidekick.models.checkpoints import Description, describe
from sidekick.models.loading import load_model
from sidekick.models.mc_dropout_head import MCDropoutClassifier
from sidekick.models.pixels import as_tensor, host_images, to_unit, upload
from sidekick.models.preprocessing import Preprocessing, ToInput, image_loader
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
    _cache([(checkpoint, outputs, facts)], dataset_folder, seed, device, threads, batch_size)


def cache_sweep(
    *,
    checkpoints: Mapping[str, str | Path],
    dataset_folder: str | Path,
    outputs: Mapping[str, Mapping[str, str | Path]],
    seed: int,
    device: str,
    threads: int,
    facts: Mapping[str, object],
    batch_size: int = 128,
) -> None:
    """Cache the logits of several recipes of one network; every image is read once.

    Parameters
    ----------
    checkpoints
        Recipe to weights.
    outputs
        For each split and recipe the Parquet file to write.
    facts
        As for `cache_logits`; `recipe` is added as well.
    dataset_folder, seed, device, threads, batch_size
        As for `cache_logits`.

    Raises
    ------
    SidekickError
        As `cache_logits`; or if the networks read images differently.
    """
    jobs = [
        (
            checkpoint,
            {split: paths[recipe] for split, paths in outputs.items()},
            {**facts, "recipe": recipe},
        )
        for recipe, checkpoint in checkpoints.items()
    ]
    _cache(jobs, dataset_folder, seed, device, threads, batch_size)


def _cache(
    jobs: Sequence[tuple[str | Path, Mapping[str, str | Path], Mapping[str, object]]],
    dataset_folder: str | Path,
    seed: int,
    device: str,
    threads: int,
    batch_size: int,
) -> None:
    """Run checkpoints, each with its outputs and facts, over the same splits."""
    place = select_device(device)
    first, outputs, _ = jobs[0]
    description = _common_description([checkpoint for checkpoint, *_ in jobs])
    models = [load_model(checkpoint, place) for checkpoint, *_ in jobs]
    architecture = description.entry["architecture"]
    _log.info("Running %s on %s", architecture, describe_device(place, threads))
    preprocessing = Preprocessing(**description.preprocessing)
    with reproducible(place, threads, seed):
        for split in outputs:
            start = time.perf_counter()
            parts = iterate_split(dataset_folder, split, seed, batch_size)
            parts = require_labels(parts, description.classes, first, split)
            found = predict(models, parts, preprocessing, place, threads)
            samples = len(found[0]["labels"])
            rate = samples / (time.perf_counter() - start)
            _log.info("%s: %d samples, %.0f per second", split, samples, rate)
            for (_, paths, facts), columns in zip(jobs, found, strict=True):
                own = {**facts, "split": split, "architecture": architecture}
                write_logits(paths[split], **columns, facts=own)


def _common_description(checkpoints: Sequence[str | Path]) -> Description:
    """Describe networks that answer the same about the same images, the first for all."""
    first, *others = (describe(checkpoint) for checkpoint in checkpoints)
    for checkpoint, own in zip(checkpoints[1:], others, strict=True):
        for what, key in (
            ("model entry", "entry"),
            ("number of classes", "classes"),
            ("preprocessing", "preprocessing"),
        ):
            if getattr(own, key) != getattr(first, key):
                raise SidekickError(
                    f"{checkpoint}: its {what} is {getattr(own, key)}, but that of "
                    f"{checkpoints[0]} is {getattr(first, key)}; recipes of one sweep must agree "
                    "in it"
                )
    return first


@torch.inference_mode()
def predict(
    models: Sequence[nn.Module],
    parts: Iterable[StoredSplit],
    preprocessing: Preprocessing,
    device: torch.device,
    threads: int,
) -> list[dict[str, np.ndarray | None]]:
    """Run networks in evaluation mode over a split.

    Parameters
    ----------
    models
        On the device.
    parts
        The split; each part is one forward pass.
    preprocessing
        What all the networks want.
    device
        Where to run.
    threads
        How many decode images.

    Returns
    -------
    list of dict
        Per network, by sample id, corruption and severity: `sample_ids`, `labels`, `corruption`
        and `severity` as of an `ImageSplit`; `logits`, (n, C) float32; `features`, (n, F) float32
        pooled features if the model is an `MCDropoutClassifier`, else None.
    """
    to_input = ToInput(preprocessing, device)
    shared = defaultdict(list)
    answers = [defaultdict(list) for _ in models]
    with closing(pixels_of(parts, preprocessing, device, threads)) as batches:
        for part, pixels in batches:
            for name in SHARED:
                shared[name].append(getattr(part, name))
            inputs = to_input(to_unit(pixels))
            for model, own in zip(models, answers, strict=True):
                logits, features = _forward(model.eval(), inputs)
                own["logits"].append(logits)
                own["features"].append(features)
    return [joined({**shared, **own}) for own in answers]


def _forward(model: nn.Module, inputs: Tensor) -> tuple[np.ndarray, np.ndarray | None]:
    """Give logits, and pooled features if the model has a head that needs no more than those."""
    if not isinstance(model, MCDropoutClassifier):
        return model(inputs).cpu().numpy(), None
    pooled = model.pooled_features(inputs)
    return model.head(pooled).cpu().numpy(), pooled.cpu().numpy()


def pixels_of(
    parts: Iterable[StoredSplit], preprocessing: Preprocessing, device: torch.device, threads: int
) -> Iterator[tuple[StoredSplit, Tensor]]:
    """Bring images to the device as uint8 (B, 3, h, w), decoding files ahead.

    Images of one shape come in it, as in training; files of varying size come in the network's.
    """
    parts = iter(parts)
    first = next(parts)
    stored_as = first.format
    if len(first) == 0:
        yield first, torch.empty((0, 3, *preprocessing.size), dtype=torch.uint8, device=device)
        return
    parts = chain([first], parts)
    if not stored_as.encoded:
        for part in parts:
            yield part, as_tensor(part.pixels(), device)
        return
    if stored_as.shape is not None:
        shape, load = stored_as.shape, fixed_shape_decoder(stored_as.shape)
    else:
        shape, load = preprocessing.input_shape, image_loader(stored_as, preprocessing)

    def stored() -> Iterator[Batch[tuple[StoredSplit, Tensor]]]:
        for part in parts:
            images = host_images((len(part), *shape), device)
            yield Batch(part.stored(np.arange(len(part))), images.numpy(), (part, images))

    with closing(decode_ahead(stored(), load, threads)) as decoded:
        for part, images in (batch.facts for batch in decoded):
            yield part, upload(images, device)
