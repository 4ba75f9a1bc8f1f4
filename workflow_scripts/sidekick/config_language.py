"""Check the parts of a configuration that are about text.

Used while Snakemake parses the workflow, so it imports nothing heavy.
"""

from collections.abc import Mapping
from typing import Any

from sidekick import recipes
from sidekick.datasets import get_dataset
from sidekick.errors import SidekickError
from sidekick.modalities import (
    TEXT,
    dataset_modality,
    datasets_of,
    is_generated,
    model_modality,
    models_of,
)
from sidekick.prompts import load_prompt
from sidekick.training.language.settings import LanguageGatekeeperSettings

_SCRATCH_ONLY = ("options", "tokenizer")
_PUBLISHED_ONLY = ("revision", "dtype")


def check_modalities(config: Mapping[str, Any]) -> None:
    """Refuse models without a dataset, datasets without a model, and settings that are missing.

    Raises
    ------
    SidekickError
        Naming the key's path, its value and what is allowed.
    """
    for model in config["models"]:
        if not datasets_of(config, model):
            modality = model_modality(config, model)
            others = {name: dataset_modality(config, name) for name in config["datasets"]}
            raise SidekickError(
                f"models.{model}: is of modality '{modality}', but no dataset is; there are: "
                + ", ".join(f"{name} ({kind})" for name, kind in others.items())
            )
    for dataset in config["datasets"]:
        if not models_of(config, dataset):
            raise SidekickError(
                f"datasets.{dataset}: is of modality '{dataset_modality(config, dataset)}', but no "
                "model is"
            )
    trained = [
        model
        for model in config["models"]
        if not recipes.is_imported(config, model) and model_modality(config, model) == TEXT
    ]
    for key in ("language", "compute") if trained else ():
        if key not in config:
            raise SidekickError(
                f"the top level: the key '{key}' is missing, and models.{trained[0]} is trained"
            )


def check_language_model(path: str, entry: Mapping[str, Any]) -> None:
    """Refuse the entry of a language model that nothing can be built from.

    Raises
    ------
    SidekickError
        As `check_modalities`.
    """
    if ("architecture" in entry) == ("pretrained" in entry):
        found = "both" if "architecture" in entry else "neither"
        raise SidekickError(
            f"{path}: {found} of the keys 'architecture' and 'pretrained' stand there; give the "
            "family of a model that is trained from scratch, or the name or folder of a published "
            "one"
        )
    useless = _PUBLISHED_ONLY if "architecture" in entry else _SCRATCH_ONLY
    for key in useless:
        if key in entry:
            other = "pretrained" if "architecture" in entry else "architecture"
            raise SidekickError(
                f"{path}.{key}: {entry[key]!r} is of no use without `{other}`; leave it out"
            )
    for key in _SCRATCH_ONLY if "architecture" in entry else ():
        if key not in entry:
            raise SidekickError(
                f"{path}: the key '{key}' is missing; a model from scratch needs it"
            )


def check_language_training(path: str, config: Mapping[str, Any], model: str) -> None:
    """Refuse settings of a fine-tuning that do not go together.

    Raises
    ------
    SidekickError
        As `check_modalities`.
    """
    recipe = recipes.finetune_recipe(config, model)
    _check_recipe(path, recipe)
    _check_adapter(path, config, model, recipe)
    for dataset in datasets_of(config, model):
        if recipe["steps"] and config["datasets"][dataset]["splits"]["train"] < 2:
            raise SidekickError(
                f"datasets.{dataset}.splits.train: "
                f"{config['datasets'][dataset]['splits']['train']}, but models.{model} is trained "
                f"for {recipe['steps']} steps; set {path}.steps to 0, or give it questions"
            )
    if not recipe["steps"] and "pretrained" not in config["models"][model]:
        raise SidekickError(
            f"{path}.steps: 0 would leave models.{model}, which starts from scratch, as it was "
            "drawn; allowed are 1 and more"
        )


def check_text_dataset(path: str, entry: Mapping[str, Any]) -> None:
    """Refuse a dataset whose questions cannot be asked as its `task` says.

    Raises
    ------
    SidekickError
        As `check_modalities`.
    """
    dataset = get_dataset(entry["source"])
    if dataset.modality != TEXT:
        if entry["splits"]["train"] < 2:
            raise SidekickError(
                f"{path}.splits.train: {entry['splits']['train']}; allowed are 2 images and more"
            )
        if "task" in entry:
            raise SidekickError(
                f"{path}.task: {dict(entry['task'])}, but '{dataset.name}' consists of images; "
                "leave it out"
            )
        return
    if "shift" in entry:
        raise SidekickError(f"{path}.shift: there are no corruptions of text; leave it out")
    if "task" not in entry:
        raise SidekickError(
            f"{path}: the key 'task' is missing; say how questions are asked, as "
            "`task: {prompt: …}`"
        )
    task = entry["task"]
    try:
        prompt = load_prompt(task["prompt"])
    except SidekickError as error:
        raise SidekickError(f"{path}.task.prompt: {error}") from None
    generates = prompt.protocol == "generate"
    if generates != (dataset.task == "generation"):
        raise SidekickError(
            f"{path}.task.prompt: '{prompt.name}' is of protocol '{prompt.protocol}', which does "
            f"not suit '{dataset.name}', whose task is '{dataset.task}'"
        )
    if "normalise" in task and prompt.protocol != "option_text":
        raise SidekickError(
            f"{path}.task.normalise: {task['normalise']!r}, but the protocol '{prompt.protocol}' "
            "scores no texts; leave it out"
        )
    if "max_new_tokens" in task and not generates:
        raise SidekickError(
            f"{path}.task.max_new_tokens: {task['max_new_tokens']}, but nothing is generated; "
            "leave it out"
        )


def check_language_sweep(config: Mapping[str, Any], model: str) -> None:
    """Refuse a sweep of a small language model that cannot be trained.

    Raises
    ------
    SidekickError
        As `check_modalities`.
    """
    if "gatekeeper" not in config["language"]:
        raise SidekickError(
            f"language: the key 'gatekeeper' is missing, and gatekeeper.pairs.{model} is a "
            "language model"
        )
    recipe = recipes.language_gatekeeper_recipe(config, model)
    _check_recipe("language.gatekeeper.training", recipe)
    _check_adapter("language.gatekeeper.training", config, model, recipe)
    tuned = recipes.finetune_recipe(config, model)
    if recipe.get("lora") and tuned["steps"] and not tuned.get("lora"):
        raise SidekickError(
            f"language.gatekeeper.training.lora: {dict(recipe['lora'])}, but the fine-tuning of "
            f"models.{model} trains all weights, and an adapter builds on a published model only; "
            "leave it out, or give it to the fine-tuning as well"
        )
    if not recipe["steps"]:
        raise SidekickError("language.gatekeeper.training.steps: 0; allowed are 1 and more")
    try:
        LanguageGatekeeperSettings.of(recipe)
    except SidekickError as error:
        raise SidekickError(f"language.{error}") from None
    if recipes.gatekeeper_pair(config, model)["start"] != "finetune":
        raise SidekickError(
            f"gatekeeper.pairs.{model}.start: language models are not distilled; leave it out"
        )
    for dataset in datasets_of(config, model):
        if "hedges" in config["gatekeeper"]["pairs"][model] and is_generated(config, dataset):
            raise SidekickError(
                f"gatekeeper.pairs.{model}.hedges: answers of datasets.{dataset} are generated; "
                "sentences in the prompt are a baseline for choices only"
            )


def _check_adapter(
    path: str, config: Mapping[str, Any], model: str, recipe: Mapping[str, Any]
) -> None:
    if recipe.get("lora") and "architecture" in config["models"][model]:
        raise SidekickError(
            f"{path}.lora: {dict(recipe['lora'])}, but models.{model} starts from scratch and has "
            f"nothing to adapt; leave it out, or set `lora: null` under models.{model}.finetune"
        )


def _check_recipe(path: str, recipe: Mapping[str, Any]) -> None:
    needed = ("batch_size", "learning_rate", "weight_decay") if recipe["steps"] else ()
    for key in needed:
        if key not in recipe:
            raise SidekickError(f"{path}: the key '{key}' is missing, with {recipe['steps']} steps")
    parts = recipe.get("accumulation", 1)
    if recipe["steps"] and recipe["batch_size"] % parts:
        raise SidekickError(
            f"{path}.accumulation: {parts} parts of a batch of {recipe['batch_size']}; allowed are "
            "divisors of the batch size"
        )
