"""Datasets: what there is, how it is split, shifted, written and read.

Importing this package costs nothing but the standard library, because the config is checked
against it before any job starts. What works on data is imported by its module:
`sidekick.datasets.prepare` writes a dataset's files, `sidekick.datasets.reading` reads them.
"""

from sidekick.datasets.names import SEVERITIES, SPLITS, corruption_names
from sidekick.datasets.registry import DATASETS, Dataset, get_dataset

__all__ = [
    "DATASETS",
    "SEVERITIES",
    "SPLITS",
    "Dataset",
    "corruption_names",
    "get_dataset",
]
