"""Check a configuration before any job runs.

Used while Snakemake parses the workflow, so it imports nothing heavy.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sidekick import recipes
from sidekick.config_deployment import check_deployment
from sidekick.config_form import check_file, check_form, check_parts, suggest
from sidekick.config_gatekeeper import check_gatekeeper
from sidekick.config_imports import check_imports, check_origins
from sidekick.config_language import (
    check_language_model,
    check_language_training,
    check_modalities,
    check_text_dataset,
)
from sidekick.datasets import corruption_names, get_dataset, get_shift_source, source_files
from sidekick.errors import SidekickError
from sidekick.modalities import IMAGE, TEXT, model_modality
from sidekick.models import names

__all__ = ["check_file", "validate"]


def validate(config: Mapping[str, Any], schema_path: str | Path) -> None:
    """Refuse a configuration that breaks the schema or that could only fail later.

    Raises
    ------
    SidekickError
        Naming the key's path, its value and what is allowed.
    """
    check_form(config, schema_path)
    check_origins(config)
    sources = {name: entry for name, entry in config["datasets"].items() if "source" in entry}
    for dataset, entry in sources.items():
        _check_dataset(f"datasets.{dataset}", entry)
    _check_checksums(sources)
    check_modalities(config)
    for model, entry in config["models"].items():
        if recipes.is_imported(config, model):
            continue
        path = f"models.{model}"
        if model_modality(config, model) == TEXT:
            check_language_model(path, entry)
            check_language_training(f"{path}.finetune", config, model)
        else:
            _check_model(path, entry, config)
            _check_training(f"{path}.finetune", config, model)
    check_imports(config)
    for key in ("deferral_ratios", "budgets", "accuracies"):
        _check_percents(f"cascade.{key}", config["cascade"].get(key, []))
    _check_mc_dropout(config)
    check_gatekeeper(config)
    check_deployment(config)


def _check_dataset(path: str, entry: Mapping[str, Any]) -> None:
    try:
        dataset = get_dataset(entry["source"])
    except SidekickError as error:
        raise SidekickError(f"{path}.source: {error}") from None
    _check_origin(path, entry, has_files=bool(dataset.files))
    check_text_dataset(path, entry)
    shift = entry.get("shift")
    if shift is None:
        return
    for name in shift["corruptions"]:
        if name not in corruption_names:
            raise SidekickError(
                f"{path}.shift.corruptions: '{name}' is not a corruption"
                + suggest(name, corruption_names)
            )
    if shift["samples"] > entry["splits"]["test"]:
        raise SidekickError(
            f"{path}.shift.samples: {shift['samples']} images of the test split cannot be "
            f"corrupted, it has {entry['splits']['test']}"
        )
    if "source" in shift:
        try:
            published = get_shift_source(shift["source"])
        except SidekickError as error:
            raise SidekickError(f"{path}.shift.source: {error}") from None
        if published.of != dataset.name:
            raise SidekickError(
                f"{path}.shift.source: '{published.name}' holds images of {published.of}, not of "
                f"{dataset.name}"
            )
    _check_origin(f"{path}.shift", shift, has_files="source" in shift)


def _check_origin(path: str, entry: Mapping[str, Any], *, has_files: bool) -> None:
    """Refuse a place for files that do not exist, and a place that does not exist."""
    for key in ("mirror", "path", "checksum"):
        if key in entry and not has_files:
            raise SidekickError(
                f"{path}.{key}: {entry[key]!r} is of no use, as nothing is downloaded for "
                f"{path}; leave it out"
            )
    if "path" in entry and not Path(entry["path"]).exists():
        raise SidekickError(
            f"{path}.path: {entry['path']!r} does not exist; give an archive or a folder"
        )


def _check_checksums(datasets: Mapping[str, Any]) -> None:
    """Refuse two datasets of one source that want different files under one name."""
    seen: dict[str, tuple[str, Any]] = {}
    for dataset, entry in datasets.items():
        blocks = [(f"datasets.{dataset}", entry["source"], entry)]
        if "source" in (shift := entry.get("shift") or {}):
            blocks.append((f"datasets.{dataset}.shift", shift["source"], shift))
        for path, source, block in blocks:
            if "path" in block:
                continue
            checksum = block.get("checksum")
            other, known = seen.setdefault(source, (path, checksum))
            if known != checksum:
                raise SidekickError(
                    f"{path}.checksum: {checksum!r}, but {other} downloads the same file with "
                    f"checksum {known!r}; use `path` for one of them"
                )
            _check_checksum(path, source, checksum)


def _check_checksum(path: str, source: str, checksum: Any) -> None:
    try:
        source_files(source, checksum)
    except SidekickError as error:
        raise SidekickError(f"{path}.checksum: {error}") from None


def _check_model(path: str, entry: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    name = entry["architecture"]
    if not names.is_known(name):
        similar = ", ".join(names.similar(name)) or "none"
        raise SidekickError(
            f"{path}.architecture: '{name}' is not a timm model or one of ours. "
            f"Most similar: {similar}"
        )
    weights = entry.get("pretrained")
    if isinstance(weights, str) and not Path(weights).exists():
        raise SidekickError(
            f"{path}.pretrained: {weights!r} does not exist; give true, false, a file of weights "
            "or a folder that holds one"
        )
    if "distill" in entry:
        others = [
            other
            for other in config["models"]
            if f"models.{other}" != path and not recipes.is_imported(config, other)
        ]
        teacher = entry["distill"]["teacher"]
        if teacher not in others:
            raise SidekickError(
                f"{path}.distill.teacher: '{teacher}' is no other trained model of this "
                "benchmark" + suggest(teacher, others)
            )


def _check_training(path: str, config: Mapping[str, Any], model: str) -> None:
    check_parts(path, recipes.finetune_recipe(config, model))
    search = recipes.search(config, model)
    if search is None:
        return
    for key in ("learning_rate", "weight_decay"):
        low, high = search[key]
        if low > high:
            raise SidekickError(f"{path}.search.{key}: {[low, high]} runs from high to low")
    if search.get("ensemble", 0) > search["trials"]:
        raise SidekickError(
            f"{path}.search.ensemble: {search['ensemble']} of {search['trials']} trials; allowed "
            f"are 2 to {search['trials']}"
        )


def _check_mc_dropout(config: Mapping[str, Any]) -> None:
    block = config.get("mc_dropout")
    if block is None:
        return
    for model in block["models"]:
        if model not in config["models"]:
            hint = suggest(model, config["models"])
            raise SidekickError(f"mc_dropout.models: '{model}' is not under models{hint}")
        if recipes.is_imported(config, model):
            raise SidekickError(
                f"mc_dropout.models: '{model}' brings its logits; a head needs a model that is "
                "trained here"
            )
        _require_images("mc_dropout.models", model, config)
    for model in block.get("full_network", {}).get("models", []):
        _check_sampled(model, config)
    _check_percents("mc_dropout.levels", block["levels"])
    if not any(block["training"]["dropout"]):
        raise SidekickError(
            f"mc_dropout.training.dropout: {block['training']['dropout']} leaves nothing random; "
            "at least one rate must be above 0"
        )
    _check_backbones(config)


def _check_backbones(config: Mapping[str, Any]) -> None:
    """Refuse heads on networks that nothing has trained or will train, and idle settings."""
    block = config["mc_dropout"]
    if block["training"].get("backbone") == "tuned":
        return
    if (rate := block["training"].get("backbone_learning_rate")) is not None:
        raise SidekickError(
            f"mc_dropout.training.backbone_learning_rate: {rate!r} is of no use without "
            "backbone: tuned; leave it out"
        )
    if recipes.has_finetuned_backbone(config):
        return
    for model in block["models"]:
        if not config["models"][model].get("pretrained"):
            raise SidekickError(
                f"mc_dropout.start: 'pretrained', but models.{model} has no `pretrained` weights, "
                "and its random network would stay frozen; allowed are models with weights, "
                "start: finetune, or mc_dropout.training.backbone: tuned"
            )


def _check_sampled(model: str, config: Mapping[str, Any]) -> None:
    """Refuse to sample the whole network of what is no network here."""
    path = "mc_dropout.full_network.models"
    if model not in config["models"]:
        raise SidekickError(
            f"{path}: '{model}' is not under models{suggest(model, config['models'])}"
        )
    if recipes.is_imported(config, model):
        raise SidekickError(
            f"{path}: '{model}' brings its logits; passes need a model that is trained here"
        )
    _require_images(path, model, config)


def _require_images(path: str, model: str, config: Mapping[str, Any]) -> None:
    if model_modality(config, model) != IMAGE:
        raise SidekickError(
            f"{path}: '{model}' is a language model; MC dropout is for models of images"
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
