"""Check the `gatekeeper` block of a configuration.

Used while Snakemake parses the workflow, so it imports nothing heavy.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sidekick import recipes
from sidekick.config_form import check_parts, suggest
from sidekick.config_language import check_language_sweep
from sidekick.errors import SidekickError
from sidekick.modalities import IMAGE, TEXT, dataset_modality, model_modality
from sidekick.training.gatekeeper_settings import GatekeeperSettings

# Parts of fine-tuning that a sweep, which goes on from its end, does not have.
_NOT_OF_SWEEPS = ("linear_probe", "search")
# Option to what makes it mean something.
_ONLY_WITH = {"folds": "correctness: cross_fitted", "anchor_targets": "an anchor above 0"}


def check_gatekeeper(config: Mapping[str, Any]) -> None:
    """Refuse sweeps that cannot be trained.

    Raises
    ------
    SidekickError
        Naming the key's path, its value and what is allowed.
    """
    block = config.get("gatekeeper")
    if block is None:
        return
    recipes.sweep(config)
    for model in block["pairs"]:
        _check_pair(f"gatekeeper.pairs.{model}", config, model)
        if model_modality(config, model) == TEXT:
            check_language_sweep(config, model)
    of_images = [model for model in block["pairs"] if model_modality(config, model) == IMAGE]
    if of_images:
        _check_image_sweeps(config, block, of_images)


def _check_image_sweeps(
    config: Mapping[str, Any], block: Mapping[str, Any], models: Sequence[str]
) -> None:
    if "training" not in block:
        raise SidekickError(
            f"gatekeeper: the key 'training' is missing, and pairs.{models[0]} reads images"
        )
    for key in _NOT_OF_SWEEPS:
        if block["training"].get(key) is not None:
            raise SidekickError(
                f"gatekeeper.training.{key}: {block['training'][key]!r}, but a sweep goes on from "
                "a trained model; leave it out"
            )
    for model in models:
        if "hedges" in block["pairs"][model]:
            raise SidekickError(
                f"gatekeeper.pairs.{model}.hedges: {block['pairs'][model]['hedges']}, but the "
                "model reads images; leave it out"
            )
        recipe = recipes.gatekeeper_recipe(config, model)
        settings = GatekeeperSettings.of(recipe)
        check_parts("gatekeeper.training", recipe)
        _check_partner(f"gatekeeper.pairs.{model}", config, model)
    _check_use(block, settings)
    if settings.correctness == "cross_fitted":
        _check_folds(config, settings.folds)


def _check_pair(path: str, config: Mapping[str, Any], model: str) -> None:
    trained = [one for one in config["models"] if not recipes.is_imported(config, one)]
    if model not in trained:
        why = "brings its logits" if model in config["models"] else "is not under models"
        raise SidekickError(
            f"gatekeeper.pairs: '{model}' {why}; only a model that is trained here can be tuned"
            + suggest(model, trained)
        )
    pair = recipes.gatekeeper_pair(config, model)
    modality = model_modality(config, model)
    others = [
        one for one in config["models"] if one != model and model_modality(config, one) == modality
    ]
    if pair["large"] not in others:
        raise SidekickError(
            f"{path}.large: '{pair['large']}' is no other model of this benchmark "
            f"and of modality '{modality}'" + suggest(pair["large"], others)
        )
    if pair["start"] == "distill" and "distill" not in config["models"][model]:
        raise SidekickError(
            f"{path}.start: 'distill', but models.{model} has no block `distill`; add one, or "
            "start from 'finetune'"
        )


def _check_partner(path: str, config: Mapping[str, Any], model: str) -> None:
    """Refuse a large model that takes part in the training and cannot."""
    partner = recipes.gatekeeper_partner(config, model)
    if partner is None:
        return
    if recipes.is_imported(config, partner):
        raise SidekickError(
            f"{path}.large: '{partner}' brings its logits; these settings ask it about training "
            "images, so it must be trained here"
        )
    pair = recipes.gatekeeper_pair(config, model)
    settings = GatekeeperSettings.of(recipes.gatekeeper_recipe(config, model))
    if pair["start"] != "distill" or settings.correctness != "cross_fitted":
        return
    teacher = config["models"][model]["distill"]["teacher"]
    if partner != teacher:
        raise SidekickError(
            f"{path}.large: '{partner}', but cross-fitting repeats the distillation, whose teacher "
            f"is '{teacher}'; let both be the same, or set correctness to 'live'"
        )


def _check_use(block: Mapping[str, Any], settings: GatekeeperSettings) -> None:
    """Refuse options that would be without effect."""
    is_used = {
        "folds": settings.correctness == "cross_fitted",
        "anchor_targets": settings.anchor > 0,
    }
    for key, is_of_use in is_used.items():
        if key in block and not is_of_use:
            raise SidekickError(
                f"gatekeeper.{key}: {block[key]!r} is of no use without {_ONLY_WITH[key]}; leave "
                "it out"
            )


def _check_folds(config: Mapping[str, Any], folds: int) -> None:
    for dataset, entry in config["datasets"].items():
        if dataset_modality(config, dataset) != IMAGE:
            continue
        samples = entry["splits"]["train"]
        if folds > samples:
            raise SidekickError(
                f"gatekeeper.folds: {folds} of the {samples} training images of "
                f"datasets.{dataset}; allowed are 2 to {samples}"
            )
