"""Run whole networks with their dropout on, and cache what their passes say."""

import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
from torch import Tensor

from sidekick.datasets.reading import iterate_split
from sidekick.logit_cache.columns import SHARED, joined, require_labels
from sidekick.logit_cache.inference import pixels_of
from sidekick.logit_cache.storage import write_logits
from sidekick.methods.dropout_decomposition import decompose
from sidekick.models.checkpoints import describe
from sidekick.models.loading import load_model
from sidekick.models.pixels import to_unit
from sidekick.models.preprocessing import Preprocessing, ToInput
from sidekick.models.runtime import describe_device, reproducible, select_device
from sidekick.models.stochastic import sample_network, stochastic_layers

_log = logging.getLogger("sidekick")


def cache_passes(
    *,
    checkpoint: str | Path,
    dataset_folder: str | Path,
    outputs: Mapping[str, str | Path],
    passes: int,
    seed: int,
    device: str,
    threads: int,
    facts: Mapping[str, object],
    batch_size: int = 64,
) -> None:
    """Cache what N stochastic passes of a whole network say of each sample.

    For networks whose dropout or stochastic depth lies before the pooled features, so that there
    is nothing to cache that passes could share.

    Parameters
    ----------
    checkpoint
        A network with layers that are random in training mode; which they are is found out by
        watching it.
    dataset_folder
        A prepared dataset.
    outputs
        For each split (`val`, `test`, `shift`) the Parquet file to write; see
        `sidekick.logit_cache.storage.write_logits`. `logits` are the logarithms of the mean
        probabilities; `features` are the C standard deviations (population) of the
        probabilities over passes, the expected entropy (nats) and the variation ratio.
    passes
        N, at least 2.
    seed
        Whose splits to read; it decides the masks, too.
    device, threads, facts
        As for `sidekick.logit_cache.inference.cache_logits`; `passes` and `stochastic_layers`
        (how many) are added to the facts.
    batch_size
        Samples at a time.

    Raises
    ------
    SidekickError
        If nothing in the network is random, or as for `cache_logits`.
    """
    place = select_device(device)
    description = describe(checkpoint)
    preprocessing = Preprocessing(**description.preprocessing)
    model = load_model(checkpoint, place)
    architecture = description.entry["architecture"]
    layers = stochastic_layers(model, preprocessing.input_shape)
    _log.info(
        "Running %s %d times on %s; random: %s",
        architecture, passes, describe_device(place, threads),
        ", ".join(layer.name or layer.kind for layer in layers),
    )  # fmt: skip
    to_input = ToInput(preprocessing, place)
    own = {**facts, "architecture": architecture, "passes": passes}
    own["stochastic_layers"] = len(layers)
    with reproducible(place, threads, seed):
        for split, path in outputs.items():
            start = time.perf_counter()
            columns = defaultdict(list)
            parts = iterate_split(dataset_folder, split, seed, batch_size)
            parts = require_labels(parts, description.classes, checkpoint, split)
            with closing(pixels_of(parts, preprocessing, place, threads)) as batches:
                for part, pixels in batches:
                    inputs = to_input(to_unit(pixels))
                    logits = sample_network(model, inputs, layers, passes)
                    for name in SHARED:
                        columns[name].append(getattr(part, name))
                    mean, others = _summary(logits)
                    columns["logits"].append(mean)
                    columns["features"].append(others)
            found = joined(columns)
            rate = len(found["labels"]) / (time.perf_counter() - start)
            _log.info("%s: %d samples, %.0f per second", split, len(found["labels"]), rate)
            write_logits(path, **found, facts={**own, "split": split})


def _summary(logits: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Give log mean probabilities (n, C) of logits (N, n, C), and what else is kept of them."""
    probabilities = logits.double().softmax(dim=-1).cpu().numpy()
    divided = decompose(probabilities)
    mean = np.log(np.maximum(probabilities.mean(axis=0), np.finfo(np.float64).tiny))
    spread = [divided.expected_entropy[:, None], divided.variation_ratio[:, None]]
    return mean, np.concatenate([probabilities.std(axis=0), *spread], axis=1)
