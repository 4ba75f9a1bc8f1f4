"""Datasets: what there is, how it is fetched, split, shifted, written and read.

Importing this package costs nothing but the standard library, because the config is checked
against it before any job starts. What works on data is imported by its module:
`sidekick.datasets.download` fetches a file, `sidekick.datasets.prepare` writes a dataset's files,
`sidekick.datasets.reading` reads them.
"""

from sidekick.datasets.names import SEVERITIES, SPLITS, corruption_names
from sidekick.datasets.registry import (
    DATASETS,
    OVERLAYS,
    SHIFT_SOURCES,
    get_dataset,
    get_shift_source,
    get_source,
    source_files,
)
from sidekick.datasets.sources import Dataset, RemoteFile, ShiftSource, Source, TextDataset

__all__ = [
    "DATASETS",
    "OVERLAYS",
    "SEVERITIES",
    "SHIFT_SOURCES",
    "SPLITS",
    "Dataset",
    "RemoteFile",
    "ShiftSource",
    "Source",
    "TextDataset",
    "corruption_names",
    "get_dataset",
    "get_shift_source",
    "get_source",
    "source_files",
]
