"""Check a configuration before any job runs, and derive what jobs depend on.

Used while Snakemake parses the workflow, so it imports nothing heavy.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from sidekick.datasets import corruption_names, get_dataset
from sidekick.errors import SidekickError
from sidekick.models import names

# A costly rule re-runs when its number here changes, not when its code does: bump a number by
# hand when results would differ, and say so in CHANGELOG.md.
REVISIONS = {
    "prepare_dataset": 1,
    "draw_splits": 1,
    "finetune": 1,
    "train_mc_dropout": 1,
    "cache_logits": 1,
}


class _StrictLoader(yaml.SafeLoader):
    """Refuses a mapping that names a key twice, where YAML would keep the last one silently."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise SidekickError(
                    f"{key_node.start_mark.name}, line {line}: the key '{key}' stands twice in "
                    "one block; keep one of them"
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def check_file(path: str | Path) -> None:
    """Refuse a configuration file that is not YAML or repeats a key.

    Raises
    ------
    SidekickError
        Naming the file and the line.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            yaml.load(stream, _StrictLoader)
    except yaml.YAMLError as error:
        raise SidekickError(f"{path}: not a YAML file: {error}") from None


def validate(config: Mapping[str, Any], schema_path: str | Path) -> None:
    """Refuse a configuration that breaks the schema or that could only fail later.

    Raises
    ------
    SidekickError
        Naming the key's path, its value and what is allowed.
    """
    with open(schema_path, encoding="utf-8") as stream:
        schema = yaml.safe_load(stream)
    error = best_match(Draft202012Validator(schema).iter_errors(config))
    if error is not None:
        raise SidekickError(_explain(error))
    for dataset, entry in config["datasets"].items():
        _check_dataset(f"datasets.{dataset}", entry)
    for model, entry in config["models"].items():
        _check_model(f"models.{model}", entry, config)
    _check_mc_dropout(config)


def architecture(config: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Give the part of a model's entry that says what network it is, with sorted keys."""
    entry = config["models"][model]
    return _sorted({key: entry[key] for key in _ARCHITECTURE_KEYS if key in entry})


def finetune_recipe(config: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Merge the shared training settings with the model's own, with sorted keys.

    Snakemake compares params by their representation: sorting keeps a mere re-ordering of keys
    from retraining, and labels stay out because they do not change weights.
    """
    own = config["models"][model].get("finetune", {})
    return _sorted({**config["finetune"], **own})


def mc_dropout_recipe(config: Mapping[str, Any]) -> dict[str, Any]:
    """Give the training settings of the MC-dropout head, with sorted keys."""
    return _sorted(config["mc_dropout"]["training"])


def dataset_recipe(config: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """Give what a dataset's preparation depends on, with sorted keys."""
    entry = config["datasets"][dataset]
    keys = ("source", "main_metric", "splits", "shift")
    return _sorted({key: entry[key] for key in keys if key in entry})


_ARCHITECTURE_KEYS = ("architecture", "pretrained", "options")


def _check_dataset(path: str, entry: Mapping[str, Any]) -> None:
    try:
        get_dataset(entry["source"])
    except SidekickError as error:
        raise SidekickError(f"{path}.source: {error}") from None
    shift = entry.get("shift")
    if shift is None:
        return
    for name in shift["corruptions"]:
        if name not in corruption_names:
            raise SidekickError(
                f"{path}.shift.corruptions: '{name}' is not a corruption"
                + _suggest(name, corruption_names)
            )
    if shift["samples"] > entry["splits"]["test"]:
        raise SidekickError(
            f"{path}.shift.samples: {shift['samples']} images of the test split cannot be "
            f"corrupted, it has {entry['splits']['test']}"
        )


def _check_model(path: str, entry: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    name = entry["architecture"]
    if not names.is_known(name):
        similar = ", ".join(names.similar(name)) or "none"
        raise SidekickError(
            f"{path}.architecture: '{name}' is not a timm model or one of ours. "
            f"Most similar: {similar}"
        )
    for dataset, dataset_entry in config["datasets"].items():
        modality = get_dataset(dataset_entry["source"]).modality
        if modality != "image":
            raise SidekickError(
                f"{path}.architecture: '{name}' reads images, but datasets.{dataset} "
                f"is of modality '{modality}'"
            )


def _check_mc_dropout(config: Mapping[str, Any]) -> None:
    block = config.get("mc_dropout")
    if block is None:
        return
    for model in block["models"]:
        if model not in config["models"]:
            hint = _suggest(model, config["models"])
            raise SidekickError(f"mc_dropout.models: '{model}' is not under models{hint}")
    if not any(block["training"]["dropout"]):
        raise SidekickError(
            f"mc_dropout.training.dropout: {block['training']['dropout']} leaves nothing random; "
            "at least one rate must be above 0"
        )


def _explain(error: ValidationError) -> str:
    """Say in one sentence where, what and what instead."""
    path = ".".join(str(part) for part in error.absolute_path) or "the top level"
    value, allowed = error.instance, error.validator_value
    match error.validator:
        case "additionalProperties":
            known = error.schema.get("properties", {})
            unknown = next(key for key in value if key not in known)
            return f"{path}: unknown key '{unknown}'" + _suggest(str(unknown), known)
        case "required":
            missing = next(key for key in allowed if key not in value)
            return f"{path}: the key '{missing}' is missing"
        case "type":
            return f"{path}: {value!r} is not of type {allowed}"
        case "enum":
            return f"{path}: {value!r} is not allowed. Allowed: {', '.join(map(str, allowed))}"
        case "pattern" | "maxLength":
            rule = "lower-case letters, digits and _, first a letter, at most 64 characters"
            return f"{path}: {value!r} is not a legal id ({rule})"
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            sign = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤"}
            return f"{path}: {value!r} must be {sign.get(error.validator, '<')} {allowed}"
        case "minItems" | "minProperties":
            return f"{path}: {value!r} is empty or too short, at least {allowed} needed"
        case "uniqueItems":
            return f"{path}: {value!r} names something twice"
        case _:
            return f"{path}: {error.message}"


def _suggest(word: str, choices: Iterable[str]) -> str:
    choices = sorted(choices)
    close = difflib.get_close_matches(word, choices, 1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return f". Allowed: {', '.join(choices)}.{hint}"


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return list(map(_sorted, value)) if isinstance(value, list) else value
