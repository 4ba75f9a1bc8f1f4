"""Run an ONNX file of ours over splits and cache its logits and pooled features."""

import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from sidekick.datasets.reading import iterate_split
from sidekick.logit_cache.columns import SHARED, joined, require_labels
from sidekick.logit_cache.storage import write_logits
from sidekick.models.preprocessing import Preprocessing
from sidekick.quantisation.calibration import network_images
from sidekick.quantisation.inference import load_network

_log = logging.getLogger("sidekick")


def cache_network_logits(
    *,
    network: str | Path,
    dataset_folder: str | Path,
    outputs: Mapping[str, str | Path],
    seed: int,
    threads: int,
    facts: Mapping[str, object],
    batch_size: int = 64,
) -> None:
    """Cache what a network answers with dropout off, and what its head reads.

    Parameters
    ----------
    network
        A file of `sidekick.quantisation.quantise`, of either kind.
    dataset_folder
        A prepared dataset.
    outputs
        For each split (`val`, `test`, `shift`) the Parquet file to write; see
        `sidekick.logit_cache.storage.write_logits`.
    seed
        Whose splits to read.
    threads
        Of ONNX Runtime.
    facts
        Metadata of every file; `split`, `architecture` and `network` (`int8` or `float32`) are
        added.
    batch_size
        Images per pass.

    Raises
    ------
    SidekickError
        If the network or a split is unreadable, a label is none of the network's, or an output is
        not finite.
    """
    loaded = load_network(network, threads)
    architecture, kind = loaded.facts["entry"]["architecture"], loaded.facts["kind"]
    preprocessing = Preprocessing(**loaded.facts["preprocessing"])
    for split, path in outputs.items():
        start = time.perf_counter()
        columns = defaultdict(list)
        parts = iterate_split(dataset_folder, split, seed, batch_size)
        for part in require_labels(parts, loaded.facts["classes"], network, split):
            features, logits = loaded.run(network_images(part, preprocessing))
            for name in SHARED:
                columns[name].append(getattr(part, name))
            columns["logits"].append(logits)
            columns["features"].append(features)
        found = joined(columns)
        rate = len(found["labels"]) / (time.perf_counter() - start)
        _log.info("%s: %d samples, %.0f per second", split, len(found["labels"]), rate)
        own = {**facts, "split": split, "architecture": architecture, "network": kind}
        write_logits(path, **found, facts=own)
