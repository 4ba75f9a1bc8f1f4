"""Check the parts of a configuration that are about models which bring their logits.

Used while Snakemake parses the workflow, so it imports nothing heavy.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sidekick import recipes
from sidekick.config_form import suggest
from sidekick.errors import SidekickError
from sidekick.modalities import IMAGE, TEXT, datasets_of, model_modality

# What `logit_cache.import_formats` reads; a test compares the two.
ENDINGS = (".npz", ".npy", ".csv", ".parquet")
_SPLITS = ("test", "val", "shift")
# Keys of a dataset's entry that say how its samples come about, and those that stand in for them.
_OF_SAMPLES = ("splits", "shift", "mirror", "path", "checksum")
_INSTEAD = ("val_share", "val_seed", "classes")
_OF_NETWORKS = ("pretrained", "input", "options", "distill", "finetune")


def check_origins(config: Mapping[str, Any]) -> None:
    """Refuse models and datasets of which it is not clear where their logits come from.

    Raises
    ------
    SidekickError
        If a model has neither an architecture nor logits, or both, or keys of the other kind; or
        if a dataset on which a model is trained has no source, or keys of the other kind.
    """
    for model, entry in config["models"].items():
        _check_kind(f"models.{model}", entry)
    trained = [model for model in config["models"] if not recipes.is_imported(config, model)]
    of_images = [model for model in trained if model_modality(config, model) == IMAGE]
    for key in ("finetune", "compute") if of_images else ():
        if key not in config:
            raise SidekickError(
                f"the top level: the key '{key}' is missing, and models.{of_images[0]} is trained"
            )
    for dataset, entry in config["datasets"].items():
        _check_source(f"datasets.{dataset}", entry, trained)


def check_imports(config: Mapping[str, Any]) -> None:
    """Refuse logits that do not fit the datasets, and files that are not there.

    Raises
    ------
    SidekickError
        Naming the key's path, its value and what is allowed.
    """
    for model, entry in config["models"].items():
        if recipes.is_imported(config, model):
            own = datasets_of(config, model)
            _check_datasets(f"models.{model}.logits", entry["logits"], own)
            for dataset, block in entry["logits"].items():
                path = f"models.{model}.logits.{dataset}"
                _check_splits(path, block, f"datasets.{dataset}", config["datasets"][dataset])
                _check_files(path, block, config["seeds"])
    for dataset in config["datasets"]:
        _check_shift_of_all(config, dataset)


def _check_kind(path: str, entry: Mapping[str, Any]) -> None:
    if entry.get("modality") == TEXT and "logits" not in entry:
        return
    if "architecture" not in entry and "logits" not in entry:
        raise SidekickError(
            f"{path}: the key 'architecture' is missing; give it for a model that is to be "
            "trained, or `logits` and `gmacs` for one that ran elsewhere"
        )
    if "logits" not in entry:
        if "gmacs" in entry:
            raise SidekickError(
                f"{path}.gmacs: {entry['gmacs']} is of no use, as GMACs of an `architecture` are "
                "counted; leave it out"
            )
        return
    for key in ("architecture", *_OF_NETWORKS):
        if key in entry:
            raise SidekickError(
                f"{path}.{key}: {entry[key]!r} beside `logits`; a model that brings its logits is "
                "not trained. Allowed: logits, gmacs, labels"
            )
    if "gmacs" not in entry:
        raise SidekickError(
            f"{path}: the key 'gmacs' is missing; `logits` come with 10⁹ multiply-adds per sample"
        )


def _check_source(path: str, entry: Mapping[str, Any], trained: list[str]) -> None:
    if "source" not in entry:
        if trained:
            raise SidekickError(
                f"{path}: the key 'source' is missing, so that models.{trained[0]} cannot be "
                "trained; a dataset without it holds only models with `logits`"
            )
        _refuse_keys(path, entry, _OF_SAMPLES, "without a `source` there are no samples")
        if "val_seed" in entry and "val_share" not in entry:
            raise SidekickError(
                f"{path}.val_seed: {entry['val_seed']} is of no use without `val_share`"
            )
        return
    if "splits" not in entry:
        raise SidekickError(f"{path}: the key 'splits' is missing")
    _refuse_keys(path, entry, _INSTEAD, "the dataset has a `source`, which decides it")


def _refuse_keys(path: str, entry: Mapping[str, Any], keys: tuple[str, ...], why: str) -> None:
    for key in keys:
        if key in entry:
            raise SidekickError(f"{path}.{key}: {entry[key]!r}, but {why}; leave it out")


def _check_datasets(path: str, logits: Mapping[str, Any], datasets: Sequence[str]) -> None:
    for dataset in logits:
        if dataset not in datasets:
            raise SidekickError(
                f"{path}: '{dataset}' is no dataset of the model's modality"
                + suggest(dataset, datasets)
            )
    for dataset in datasets:
        if dataset not in logits:
            raise SidekickError(
                f"{path}: datasets.{dataset} is missing; every model needs logits of every "
                f"dataset, and this one has only those of {', '.join(logits)}"
            )


def _check_splits(
    path: str, block: Mapping[str, Any], dataset_path: str, dataset: Mapping[str, Any]
) -> None:
    """Refuse files of splits that the dataset does not have, and splits without a file."""
    divided = "val_share" in dataset
    if "val" in block and divided:
        raise SidekickError(
            f"{path}.val: {block['val']!r}, but {dataset_path}.val_share = {dataset['val_share']} "
            "makes `val` out of the files of `test`; keep one of them"
        )
    if "val" not in block and not divided:
        remedy = "" if "source" in dataset else f", or set {dataset_path}.val_share"
        raise SidekickError(f"{path}: the key 'val' is missing; give a file to tune on{remedy}")
    if "source" in dataset and ("shift" in block) != ("shift" in dataset):
        have, other = (path, dataset_path) if "shift" in block else (dataset_path, path)
        raise SidekickError(f"{have} has a shift set, but {other} has none; give both or neither")
    for split in block.get("label_files", {}):
        if split not in block:
            raise SidekickError(
                f"{path}.label_files.{split}: {block['label_files'][split]!r}, but there is no "
                f"file of `{split}`"
            )
    for split in _SPLITS:
        if _ending(block.get(split, "")) == ".npy" and split not in block.get("label_files", {}):
            raise SidekickError(
                f"{path}.{split}: {block[split]!r} holds no labels; give a file of them as "
                f"label_files.{split}"
            )


def _check_files(path: str, block: Mapping[str, Any], seeds: list[int]) -> None:
    taken: dict[str, str] = {}
    for key, pattern, has_values in _files(block):
        if has_values and len(seeds) > 1 and "{seed}" not in pattern:
            raise SidekickError(
                f"{path}.{key}: {pattern!r} is one file for seeds {seeds}; put {{seed}} into the "
                "name of one file per seed, or keep one seed"
            )
        if _ending(pattern) not in ENDINGS:
            raise SidekickError(
                f"{path}.{key}: {pattern!r} ends in {_ending(pattern)!r}. Allowed: "
                f"{', '.join(ENDINGS)}"
            )
        if has_values and pattern in taken:
            raise SidekickError(f"{path}.{key}: {pattern!r} is the file of `{taken[pattern]}`, too")
        taken[pattern] = key
        for seed in seeds:
            if not Path(file := pattern.replace("{seed}", str(seed))).is_file():
                raise SidekickError(
                    f"{path}.{key}: {file!r} does not exist; give a file, from the folder that "
                    f"snakemake works in ({Path.cwd()})"
                )


def _files(block: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Give all files of an entry: key, name, and whether it holds values."""
    for split in _SPLITS:
        if split in block:
            yield split, block[split], True
    for split, pattern in block.get("label_files", {}).items():
        yield f"label_files.{split}", pattern, False


def _check_shift_of_all(config: Mapping[str, Any], dataset: str) -> None:
    """Refuse a shift set that only some models have."""
    entries = {
        f"models.{model}.logits.{dataset}": entry["logits"][dataset]
        for model, entry in config["models"].items()
        if dataset in entry.get("logits", {})
    }
    having = [path for path, entry in entries.items() if "shift" in entry]
    lacking = [path for path in entries if path not in having]
    if having and lacking:
        raise SidekickError(
            f"{lacking[0]}: the key 'shift' is missing, but {having[0]} has it; give it for all "
            "models of a dataset or for none"
        )


def _ending(pattern: str) -> str:
    return Path(pattern).suffix.lower()
