"""Check a configuration before any job runs, and derive what jobs depend on.

Used while Snakemake parses the workflow, so it imports nothing heavy.
"""

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, validators
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

    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        seen = set()
        # Before `<<: *block` is resolved, whose keys the mapping's own may override.
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                raise SidekickError(
                    f"{key.start_mark.name}, line {key.start_mark.line + 1}: the key "
                    f"'{key.value}' stands twice in one block; keep one of them"
                )
            seen.add((key.tag, key.value))
        return node


def check_file(path: str | Path) -> None:
    """Refuse a configuration file that is not YAML, has no keys or repeats one.

    Raises
    ------
    SidekickError
        Naming the file and the line.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            content = yaml.load(stream, _StrictLoader)
    except OSError as error:
        raise SidekickError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SidekickError(f"{path}: not a YAML file: {error}") from None
    if not isinstance(content, dict):
        found = "is empty" if content is None else f"holds a {type(content).__name__}"
        raise SidekickError(f"{path}: {found}; a configuration is a mapping of keys to values")


def validate(config: Mapping[str, Any], schema_path: str | Path) -> None:
    """Refuse a configuration that breaks the schema or that could only fail later.

    Raises
    ------
    SidekickError
        Naming the key's path, its value and what is allowed.
    """
    _check_plain((), config)
    with open(schema_path, encoding="utf-8") as stream:
        schema = yaml.safe_load(stream)
    error = best_match(_Validator(schema).iter_errors(config))
    if error is not None:
        raise SidekickError(_explain(error))
    for dataset, entry in config["datasets"].items():
        _check_dataset(f"datasets.{dataset}", entry)
    for model, entry in config["models"].items():
        _check_model(f"models.{model}", entry, config)
    _check_percents("cascade.deferral_ratios", config["cascade"]["deferral_ratios"])
    _check_mc_dropout(config)


def architecture(config: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Give the part of a model's entry that says what network it is, with sorted keys."""
    entry = config["models"][model]
    return _sorted({key: entry[key] for key in _ARCHITECTURE_KEYS if key in entry})


def finetune_recipe(config: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Merge the shared training settings with the model's own, block by block, with sorted keys.

    Snakemake compares params by their representation: sorting keeps a mere re-ordering of keys
    from retraining, and labels stay out because they do not change weights.
    """
    return _sorted(_merged(config["finetune"], config["models"][model].get("finetune", {})))


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
    _check_percents("mc_dropout.levels", block["levels"])
    if not any(block["training"]["dropout"]):
        raise SidekickError(
            f"mc_dropout.training.dropout: {block['training']['dropout']} leaves nothing random; "
            "at least one rate must be above 0"
        )


def _check_percents(path: str, shares: Sequence[float]) -> None:
    """Refuse shares that the leaderboard, which names predictors by percents, cannot tell apart."""
    seen: dict[int, float] = {}
    for share in shares:
        percent = round(100 * share)
        if percent in seen:
            raise SidekickError(
                f"{path}: {seen[percent]} and {share} are both {percent} % when rounded; "
                "allowed are shares that differ by whole percents"
            )
        seen[percent] = share


def _check_plain(path: tuple, value: Any) -> None:
    """Refuse what YAML can say but JSON cannot: keys that are not text, NaN and infinity."""
    place = ".".join(map(str, path)) or "the top level"
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise SidekickError(
                    f"{place}: the key {key!r} is not text but of type {type(key).__name__}; "
                    "put it in quotes"
                )
            _check_plain((*path, key), inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check_plain((*path, index), inner)
    elif isinstance(value, float) and not math.isfinite(value):
        raise SidekickError(f"{place}: {value} is not a finite number")
    elif value is not None and not isinstance(value, str | int | float):
        raise SidekickError(
            f"{place}: {value} is of type {type(value).__name__}; put it in quotes if text is meant"
        )


def _is_integer(_, value: Any) -> bool:
    """JSON Schema calls 2.0 an integer; Python's `range` does not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _pattern(_, pattern: str, value: Any, __):
    """Match to the end: `$` alone would let a trailing line break pass."""
    if isinstance(value, str) and not re.fullmatch(pattern, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


_Validator = validators.extend(
    Draft202012Validator,
    {"pattern": _pattern},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
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
            return f"{path}: {value!r} is not of type {allowed}" + _number_hint(value, allowed)
        case "enum":
            return f"{path}: {value!r} is not allowed. Allowed: {', '.join(map(str, allowed))}"
        case "pattern" | "maxLength":
            rule = "lower-case letters, digits and _, first a letter, at most 64 characters"
            return f"{path}: {value!r} is not a legal id ({rule})"
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            sign = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤"}
            return f"{path}: {value!r} must be {sign.get(error.validator, '<')} {allowed}"
        case "minItems" | "minProperties" | "minLength":
            return f"{path}: {value!r} is empty or too short, at least {allowed} needed"
        case "maxItems":
            return f"{path}: {value!r} is too long, at most {allowed} allowed"
        case "uniqueItems":
            return f"{path}: {value!r} names something twice"
        case _:
            return f"{path}: {error.message}"


def _number_hint(value: Any, allowed: str) -> str:
    """Explain YAML's reading of 1e-3, which it takes for text."""
    if allowed == "number" and isinstance(value, str):
        try:
            return f"; write {Decimal(value):f} without quotes"
        except InvalidOperation:
            pass
    return ""


def _suggest(word: str, choices: Iterable[str]) -> str:
    choices = sorted(choices)
    close = difflib.get_close_matches(word, choices, 1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return f". Allowed: {', '.join(choices)}.{hint}"


def _merged(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(shared[key], own[key])
        for key in own
        if isinstance(own[key], Mapping) and isinstance(shared.get(key), Mapping)
    }
    return {**shared, **own, **both}


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return list(map(_sorted, value)) if isinstance(value, list) else value
