"""Derive from a configuration what each job depends on.

Used while Snakemake parses the workflow, so it imports nothing heavy. Snakemake compares params by
their representation: everything here has sorted keys, so that a mere re-ordering repeats nothing,
and leaves out what does not change results, such as labels.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from sidekick.datasets import get_dataset, source_files
from sidekick.datasets.origins import downloads
from sidekick.modalities import TEXT, model_modality
from sidekick.prompts import load_prompt
from sidekick.recipe_names import HEDGE
from sidekick.training.gatekeeper_settings import GatekeeperSettings
from sidekick.training.search import draw_trial
from sidekick.training.sweep import sweep_recipes

# A costly rule re-runs when its number here changes, not when its code does: bump a number by
# hand when results would differ, and say so in CHANGELOG.md.
REVISIONS = {
    "download_dataset": 1,
    "prepare_dataset": 2,
    "draw_splits": 2,
    "linear_probe": 1,
    "finetune": 2,
    "select_trial": 1,
    "make_soup": 1,
    "distill": 1,
    "gatekeeper": 1,
    "train_mc_dropout": 2,
    "finetune_language": 1,
    "gatekeeper_language": 1,
    "cache_logits": 2,
    "cache_sweep": 1,
    "quantise": 1,
    "cache_int8_logits": 1,
    "cache_passes": 1,
    "cache_choices": 1,
    "cache_choice_sweep": 1,
    "cache_hedge": 1,
    "cache_generations": 1,
    "cache_generation_sweep": 1,
}

_ARCHITECTURE_KEYS = (
    "architecture", "dtype", "input", "modality", "options", "pretrained", "revision", "tokenizer",
)  # fmt: skip
_DATASET_KEYS = ("checksum", "main_metric", "shift", "source", "splits")
# Of the `finetune` block: jobs of their own.
_STAGES = ("linear_probe", "search")
# Of a Gatekeeper sweep: the paper's.
_ALPHAS = (0.1, 0.3, 0.5, 0.7, 0.9)
# Images that set the ranges of a quantised network's activations: as many as the paper's.
_CALIBRATION_IMAGES = 100
# Where a file comes from: its checksum says what is in it.
_ORIGINS = ("mirror", "path")
# Of an entry under `logits:`, in which any may be missing but the first.
_IMPORTED_SPLITS = ("test", "val", "shift")


def is_imported(config: Mapping[str, Any], model: str) -> bool:
    """Say whether a model brings its logits instead of being trained."""
    return "logits" in config["models"][model]


def base_recipe(config: Mapping[str, Any], model: str) -> str:
    """Name the recipe that a model comes with; its others are compared with this one."""
    return "imported" if is_imported(config, model) else "finetune"


def architecture(config: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Give the part of a model's entry that says what network it is."""
    entry = config["models"][model]
    return _sorted({key: entry[key] for key in _ARCHITECTURE_KEYS if key in entry})


def finetune_recipe(config: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Merge the shared training settings with the model's own, block by block."""
    settings = _settings(config, model)
    return {key: value for key, value in settings.items() if key not in _STAGES}


def linear_probe_recipe(config: Mapping[str, Any], model: str) -> dict[str, Any] | None:
    """Give the settings of a model's linear probe, if it has one."""
    return _settings(config, model).get("linear_probe")


def search(config: Mapping[str, Any], model: str) -> dict[str, Any] | None:
    """Give a model's search for training settings, if it has one."""
    return _settings(config, model).get("search")


def trials(config: Mapping[str, Any], model: str) -> list[str]:
    """Name the recipes of a model's trials."""
    block = search(config, model)
    return [f"trial{number:02d}" for number in range(block["trials"])] if block else []


def trial_recipe(config: Mapping[str, Any], model: str, seed: int, trial: str) -> dict[str, Any]:
    """Give the training settings of one trial: the model's own with what the search draws."""
    number = int(trial.removeprefix("trial"))
    drawn = draw_trial(search(config, model), seed, number)
    return _sorted({**finetune_recipe(config, model), **drawn})


def distill_recipe(config: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Give the training settings of a model's distillation."""
    block = config["models"][model]["distill"]
    own = {key: block[key] for key in ("temperature", "weight")}
    return _sorted({**finetune_recipe(config, model), "distill": own})


def gatekept_models(config: Mapping[str, Any]) -> list[str]:
    """Name the small models of Gatekeeper sweeps."""
    return sorted(config.get("gatekeeper", {}).get("pairs", {}))


def alphas(config: Mapping[str, Any]) -> list[float]:
    """Give the alphas of all Gatekeeper sweeps."""
    return sorted(config.get("gatekeeper", {}).get("alphas", _ALPHAS))


def sweep(config: Mapping[str, Any]) -> list[str]:
    """Name the recipes of a Gatekeeper sweep: its alphas' and its control."""
    return list(sweep_recipes(alphas(config)))


def gatekeeper_pair(config: Mapping[str, Any], model: str) -> dict[str, str]:
    """Give the `large` model that a gatekept one defers to, and the recipe that it starts from."""
    pair = config["gatekeeper"]["pairs"][model]
    return {"start": pair.get("start", "finetune"), "large": pair["large"]}


def gatekeeper_recipe(config: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Merge a model's training settings with those of its sweep, which has no early stopping."""
    block = config["gatekeeper"]
    inherited = finetune_recipe(config, model)
    inherited.pop("early_stopping", None)
    training = _merged(inherited, block["training"])
    chosen = {own.name: block[own.name] for own in fields(GatekeeperSettings) if own.name in block}
    given = {key: value for key, value in training.items() if value is not None}
    return _sorted({**given, "gatekeeper": chosen})


def gatekeeper_partner(config: Mapping[str, Any], model: str) -> str | None:
    """Name the large model if the training of a sweep asks it."""
    settings = GatekeeperSettings.of(gatekeeper_recipe(config, model))
    pair = gatekeeper_pair(config, model)
    is_teacher = settings.correctness == "cross_fitted" and pair["start"] == "distill"
    return pair["large"] if settings.asks_large or is_teacher else None


def gatekeeper_probe(config: Mapping[str, Any], model: str) -> dict[str, Any] | None:
    """Give the linear probe that the folds of a sweep start from, if there are both."""
    settings = GatekeeperSettings.of(gatekeeper_recipe(config, model))
    is_needed = settings.correctness == "cross_fitted"
    return linear_probe_recipe(config, model) if is_needed else None


def has_finetuned_backbone(config: Mapping[str, Any]) -> bool:
    """Say whether MC-dropout heads are put on fine-tuned networks."""
    return config["mc_dropout"].get("start", "finetune") == "finetune"


def mc_dropout_recipe(config: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Give the training settings of a model's MC-dropout head.

    `start` is the model's entry if its network is not the fine-tuned one.
    """
    recipe = dict(config["mc_dropout"]["training"])
    # Said or not, it is the same.
    if recipe.get("backbone") == "frozen":
        del recipe["backbone"]
    if not has_finetuned_backbone(config):
        recipe["start"] = architecture(config, model)
    return _sorted(recipe)


def full_network(config: Mapping[str, Any]) -> dict[str, Any]:
    """Say whose whole networks are sampled (`models`), how often (`passes`), on which `splits`."""
    block = config.get("mc_dropout", {}).get("full_network", {})
    splits = ["test"] + ["shift"] * block.get("shift", True)
    return {
        "models": sorted(block.get("models", [])),
        "passes": block.get("passes"),
        "splits": splits,
    }


def quantised_models(config: Mapping[str, Any]) -> list[str]:
    """Name the models whose network with an MC-dropout head is quantised, too."""
    block = config.get("mc_dropout", {})
    return sorted(block.get("models", [])) if block.get("quantise", True) else []


def calibration_images(config: Mapping[str, Any]) -> int:
    """Give how many images of `train` set the ranges of quantised activations."""
    return config.get("mc_dropout", {}).get("calibration_images", _CALIBRATION_IMAGES)


def evaluated_recipes(config: Mapping[str, Any], model: str) -> list[str]:
    """Name the recipes of a model whose logits are cached and evaluated on their own."""
    recipes = [base_recipe(config, model)]
    block = search(config, model) or {}
    if block.get("soups"):
        recipes += ["soup_uniform", "soup_greedy"]
    if block.get("ensemble"):
        recipes.append("trial_ensemble")
    if "distill" in config["models"][model]:
        recipes.append("distill")
    return recipes


def trial_ensemble(config: Mapping[str, Any], dataset: str, model: str) -> dict[str, Any] | None:
    """Give the size of an ensemble of a model's best trials, and what they are chosen by."""
    size = (search(config, model) or {}).get("ensemble")
    if size is None:
        return None
    entry = config["datasets"][dataset]
    metric = entry.get("main_metric") or get_dataset(entry["source"]).main_metric
    return {"metric": metric, "size": size}


def import_request(
    config: Mapping[str, Any], dataset: str, model: str, seed: int
) -> dict[str, Any]:
    """Give the arguments of `import_logits` that say what is imported for one seed."""
    entry = config["models"][model]["logits"][dataset]
    own = config["datasets"][dataset]
    request = {
        "files": {split: entry[split] for split in _IMPORTED_SPLITS if split in entry},
        "labels_files": entry.get("label_files", {}),
        **{key: entry[key] for key in ("kind", "fields") if key in entry},
        **{key: own[key] for key in ("val_share", "val_seed") if key in own},
    }
    for paths in ("files", "labels_files"):
        request[paths] = {k: v.replace("{seed}", str(seed)) for k, v in request[paths].items()}
    return _sorted(request)


def deployment(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Give what a deployed predictor depends on."""
    return _sorted(config["deployment"][name])


def deployed_models(config: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    """Give the models of a deployed predictor, each with its recipe."""
    pairs = [text.partition("@")[::2] for text in config["deployment"][name]["models"]]
    return [(model, recipe or base_recipe(config, model)) for model, recipe in pairs]


def remote_file(config: Mapping[str, Any], source: str, name: str) -> dict[str, Any]:
    """Give what is known of a file to download: name, URL, checksum and size."""
    # All blocks of a source agree: see `sidekick.config`.
    wanted = [block["checksum"] for block in downloads(config, source) if "checksum" in block]
    file = source_files(source, *wanted[:1])[name]
    return _sorted(asdict(file))


def dataset_recipe(config: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """Give what a dataset's preparation depends on."""
    entry = config["datasets"][dataset]
    recipe = {key: entry[key] for key in _DATASET_KEYS if key in entry}
    if "shift" in recipe:
        shift = recipe["shift"].items()
        recipe["shift"] = {key: value for key, value in shift if key not in _ORIGINS}
    return _sorted(recipe)


def language_task(config: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """Say how a dataset's questions are asked and answers scored."""
    return _sorted(config["datasets"][dataset]["task"])


def prompt_version(config: Mapping[str, Any], dataset: str) -> int:
    """Give the version of a dataset's prompt: what an older text was asked by is asked anew."""
    return load_prompt(config["datasets"][dataset]["task"]["prompt"]).version


def language_gatekeeper_recipe(config: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Merge a language model's training settings with those of its sweep."""
    block = config["language"]["gatekeeper"]
    inherited = finetune_recipe(config, model)
    inherited.pop("options_loss", None)
    training = _merged(inherited, block["training"])
    chosen = {key: value for key, value in block.items() if key != "training"}
    given = {key: value for key, value in training.items() if value is not None}
    return _sorted({**given, "gatekeeper": chosen})


def hedges(config: Mapping[str, Any], model: str) -> dict[str, str]:
    """Give the recipes that only add a sentence to a gatekept model's prompts, and which one."""
    pair = config["gatekeeper"]["pairs"][model]
    return {f"{HEDGE}{name}": name for name in sorted(pair.get("hedges", []))}


def _settings(config: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Give a model's training settings; none where it brings its logits."""
    if is_imported(config, model):
        return {}
    is_text = model_modality(config, model) == TEXT
    shared = config["language"]["finetune"] if is_text else config["finetune"]
    merged = _merged(shared, config["models"][model].get("finetune", {}))
    return _sorted({key: value for key, value in merged.items() if value is not None})


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
