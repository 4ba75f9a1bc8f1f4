"""The columns of a split on their way from batches of answers to the cache (no torch)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sidekick.datasets.reading import StoredSplit
from sidekick.errors import SidekickError

SHARED = ("sample_ids", "labels", "corruption", "severity")
"""What all networks' answers to one batch have in common."""

_KEYS = ("sample_ids", "corruption", "severity")


def joined(columns: Mapping[str, Sequence[np.ndarray | None]]) -> dict[str, np.ndarray | None]:
    """Join the batches of every column, sorted by sample id, corruption and severity."""
    whole = {
        name: None if values[0] is None else np.concatenate(values)
        for name, values in columns.items()
    }
    keys = [name for name in _KEYS if whole[name] is not None]
    table = pa.table({name: whole[name] for name in keys})
    order = pc.sort_indices(table, [(name, "ascending") for name in keys]).to_numpy()
    return {name: None if values is None else values[order] for name, values in whole.items()}


def require_labels(
    parts: Iterable[StoredSplit], classes: int, network: str | Path, split: str
) -> Iterator[StoredSplit]:
    """Pass on what the network has an output for.

    Raises
    ------
    SidekickError
        At the first batch with a label that it has none for.
    """
    for part in parts:
        largest = int(part.labels.max(initial=0))
        if largest >= classes:
            raise SidekickError(
                f"{part.source}, split {split}: label {largest}, but {network} knows {classes} "
                "classes"
            )
        yield part
