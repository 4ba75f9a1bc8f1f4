"""Check the `deployment` block of a configuration.

Used while Snakemake parses the workflow, so it imports nothing heavy.
"""

from collections.abc import Mapping
from typing import Any

from sidekick import modalities, recipes
from sidekick.config_form import suggest
from sidekick.errors import SidekickError

# Kind to the least and the largest number of models.
_COUNTS = {"temperature": (1, 1), "duo": (2, None), "cascade": (2, 2), "duo_cascade": (2, 2)}
_CASCADES = ("cascade", "duo_cascade")
_BUDGETS = ("deferral_ratios", "gmacs_budgets")
# Key to the kinds that it means something for.
_ONLY_OF = {"variant": ("duo",), "gate": _CASCADES, **dict.fromkeys(_BUDGETS, _CASCADES)}
# It has no weights of its own that could be run.
_NOT_DEPLOYABLE = "trial_ensemble"


def check_deployment(config: Mapping[str, Any]) -> None:
    """Refuse predictors that cannot be made of this benchmark's models.

    Raises
    ------
    SidekickError
        Naming the key's path, its value and what is allowed.
    """
    for name, entry in config.get("deployment", {}).items():
        path = f"deployment.{name}"
        for key, allowed in (("dataset", config["datasets"]), ("seed", config["seeds"])):
            if entry[key] not in allowed:
                hint = suggest(str(entry[key]), map(str, allowed))
                raise SidekickError(f"{path}.{key}: {entry[key]!r} is not under {key}s{hint}")
        if modalities.is_generated(config, entry["dataset"]):
            raise SidekickError(
                f"{path}.dataset: the answers of '{entry['dataset']}' are generated; only models "
                "that choose among classes or options can be deployed"
            )
        _check_kind(path, entry)
        _check_models(f"{path}.models", config, name)


def _check_kind(path: str, entry: Mapping[str, Any]) -> None:
    kind, count = entry["kind"], len(entry["models"])
    least, most = _COUNTS[kind]
    if count < least or (most is not None and count > most):
        wanted = f"{least} or more" if most is None else str(least)
        raise SidekickError(
            f"{path}.models: {entry['models']} are {count} for a {kind}; allowed are {wanted}"
        )
    for key, kinds in _ONLY_OF.items():
        if key in entry and kind not in kinds:
            raise SidekickError(
                f"{path}.{key}: {entry[key]!r} means nothing for a {kind}; it is for "
                f"{' and '.join(kinds)} only"
            )
    if kind in _CASCADES and not any(key in entry for key in _BUDGETS):
        raise SidekickError(f"{path}: a {kind} needs {' or '.join(_BUDGETS)}, or both")


def _check_models(path: str, config: Mapping[str, Any], name: str) -> None:
    entry = config["deployment"][name]
    kind = {"image": "images", "text": "questions"}[
        modalities.dataset_modality(config, entry["dataset"])
    ]
    for text in entry["models"]:
        if (model := text.partition("@")[0]) not in config["models"]:
            hint = suggest(model, config["models"])
            raise SidekickError(f"{path}: '{model}' is not under models{hint}")
        if model not in (own := modalities.models_of(config, entry["dataset"])):
            raise SidekickError(
                f"{path}: '{model}' is no model for the {kind} of '{entry['dataset']}'; allowed "
                f"are {', '.join(own)}"
            )
    seen: list[str] = []
    for model, recipe in recipes.deployed_models(config, name):
        allowed = recipes.evaluated_recipes(config, model)
        if model in recipes.gatekept_models(config):
            allowed += recipes.sweep(config)
        if recipe not in allowed or recipe == _NOT_DEPLOYABLE:
            hint = suggest(recipe, [own for own in allowed if own != _NOT_DEPLOYABLE])
            raise SidekickError(f"{path}: '{model}' has no recipe '{recipe}'{hint}")
        if model in seen:
            raise SidekickError(f"{path}: '{model}' occurs twice; allowed are different models")
        seen.append(model)
