"""Which models of a benchmark belong to which of its datasets.

Used while Snakemake parses the workflow, so it imports nothing heavy.
"""

from collections.abc import Mapping
from typing import Any

from sidekick.datasets import get_dataset

IMAGE, TEXT = "image", "text"


def model_modality(config: Mapping[str, Any], model: str) -> str:
    """Say whether a model reads images or text."""
    return config["models"][model].get("modality", IMAGE)


def dataset_modality(config: Mapping[str, Any], dataset: str) -> str:
    """Say whether a dataset consists of images or of text."""
    entry = config["datasets"][dataset]
    return get_dataset(entry["source"]).modality if "source" in entry else IMAGE


def is_generated(config: Mapping[str, Any], dataset: str) -> bool:
    """Say whether a dataset's questions are open, so that answers are generated."""
    entry = config["datasets"][dataset]
    return "source" in entry and getattr(get_dataset(entry["source"]), "task", "") == "generation"


def models_of(config: Mapping[str, Any], dataset: str) -> list[str]:
    """Give the models that a dataset is for, in the order of the config."""
    wanted = dataset_modality(config, dataset)
    return [model for model in config["models"] if model_modality(config, model) == wanted]


def datasets_of(config: Mapping[str, Any], model: str) -> list[str]:
    """Give the datasets that a model is for, in the order of the config."""
    wanted = model_modality(config, model)
    return [
        dataset for dataset in config["datasets"] if dataset_modality(config, dataset) == wanted
    ]
