import hashlib
import json
import os
import sys
from pathlib import Path

from snakemake.logging import logger

from sidekick import leaderboard, recipes, run_lock
from sidekick.datasets import get_dataset, source_files

# Large CPU steps of PyTorch spend most of their time on page faults when every tensor is returned
# to the system at once; jobs inherit these.
os.environ.setdefault("MALLOC_MMAP_MAX_", "0")
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(16 * 2**30))
# Jobs end when this process is killed.
os.environ.update(SIDEKICK_RUN=str(os.getpid()))

STATE = Path(".snakemake")
if workflow.is_main_process:
    if run_lock.claim(STATE) and run_lock.clear_stale(STATE):
        logger.info("Removing what a killed run left: its lock and temporary files")
        run_lock.clear_temporary(Path("results"))
    if workflow.output_settings.dryrun:
        run_lock.release()


def known_models():
    """All models that ever were in this folder, the oldest first."""
    return json.loads(KNOWN_MODELS.read_text()) if KNOWN_MODELS.exists() else []


def one_of(values):
    """A pattern that matches these words only; none at all if there are none."""
    return "|".join(values) or "(?!)"


def sorted_keys(block):
    """Snakemake compares params by their representation: re-ordered keys are no change."""
    if isinstance(block, dict):
        return {key: sorted_keys(block[key]) for key in sorted(block)}
    return block


KNOWN_MODELS = Path("results/evaluation/pairs/models.json")
DATASETS = sorted(config["datasets"])
# By age, not by place in the config: the order decides which job holds a pair, and a model that
# is moved would be in pairs that were evaluated twice or never.
MODELS = sorted(config["models"], key=(known_models() + list(config["models"])).index)
IMPORTED_MODELS = [model for model in MODELS if recipes.is_imported(config, model)]
TRAINED_MODELS = [model for model in MODELS if model not in IMPORTED_MODELS]
SEEDS = sorted(config["seeds"])
MC_DROPOUT_MODELS = sorted(config.get("mc_dropout", {}).get("models", []))
QUANTISED_MODELS = recipes.quantised_models(config)
FULL_NETWORK = recipes.full_network(config)
GATEKEPT_MODELS = recipes.gatekept_models(config)
SWEEP = recipes.sweep(config)
SEARCHED_MODELS = [model for model in MODELS if recipes.search(config, model)]
EVALUATION = sorted_keys(config["evaluation"])
CASCADE = sorted_keys(config["cascade"])
REVISIONS = recipes.REVISIONS
DOWNLOADS = config.get("downloads", {}).get("folder", "resources")
FIGURES = leaderboard.FIGURES
if GATEKEPT_MODELS:
    FIGURES += leaderboard.GATEKEEPER_FIGURES
if MC_DROPOUT_MODELS:
    FIGURES += leaderboard.MC_DROPOUT_FIGURES
# Where nothing is trained there may be no such block.
COMPUTE = config.get("compute", {"device": "cpu", "threads": 1})
GPUS = int(COMPUTE["device"] == "cuda")
THREADS = COMPUTE["threads"]
DEPLOYED = [
    f"results/deployment/{entry['dataset']}/{name}.json"
    for name, entry in sorted(config.get("deployment", {}).items())
]


# The id pattern stands in rules/schemas/config.schema.yaml, too.
wildcard_constraints:
    dataset="[a-z][a-z0-9_]*",
    model="[a-z][a-z0-9_]*",
    recipe="[a-z][a-z0-9_]*",
    seed="[0-9]+",
    source="[a-z][a-z0-9_]*",
    deployment="[a-z][a-z0-9_]*",
    file="[^/]+",


def fingerprint(script, *rooms):
    """A fingerprint of a cheap rule's script and of the library's rooms, or modules, that it depends on.

    Snakemake does not track what a script imports. Unlike modules listed as inputs, a fingerprint
    does not mind touched files or a moved folder, and keeps the list of jobs readable. Costly
    rules carry a `revision` instead.
    """
    scripts = LIBRARY.parent
    files = [scripts / f"{script}.py"]
    files += [
        LIBRARY / f"{name}.py" for name in ("artifacts", "errors", "recipe_names")
    ]
    for room in rooms:
        path = LIBRARY / room
        files += sorted(path.rglob("*")) if path.is_dir() else [path.with_suffix(".py")]
    digest = hashlib.sha256()
    for path in files:
        if path.suffix in (".py", ".mplstyle"):
            digest.update(f"{path.relative_to(scripts)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def has_source(dataset):
    """Whether a dataset's samples are here, and not only logits from elsewhere."""
    return "source" in config["datasets"][dataset]


def facts(wildcards):
    """What every artifact of a job records about its origin."""
    known = {"benchmark": config["benchmark"]}
    if has_source(wildcards.dataset):
        source = config["datasets"][wildcards.dataset]["source"]
        known["dataset_revision"] = get_dataset(source).revision
    if "model" in wildcards.keys() and wildcards.model in TRAINED_MODELS:
        known["architecture"] = config["models"][wildcards.model]["architecture"]
    return dict(sorted({**known, **wildcards}.items()))


def remote_file(wildcards):
    return recipes.remote_file(config, wildcards.source, wildcards.file)


def downloads_of(block):
    """The files behind one block of a dataset: downloads, or what the user has already."""
    if "path" in block:
        return [block["path"]]
    source = block["source"]
    return [f"{DOWNLOADS}/{source}/{file}" for file in source_files(source)]


def dataset_sources(wildcards):
    entry = config["datasets"][wildcards.dataset]
    shift = entry.get("shift") or {}
    sources = {"dataset": downloads_of(entry)}
    if "source" in shift:
        sources["shift"] = downloads_of(shift)
    elif "frost" in shift.get("corruptions", []):
        sources["frost"] = downloads_of({"source": "frost"})
    return sources


def dataset_recipe(wildcards):
    return recipes.dataset_recipe(config, wildcards.dataset)


def split_sizes(wildcards):
    return dataset_recipe(wildcards)["splits"]


def architecture(wildcards):
    return recipes.architecture(config, wildcards.model)


def stated_gmacs(wildcards):
    return config["models"][wildcards.model]["gmacs"]


def import_request(wildcards):
    seed = int(wildcards.seed)
    return recipes.import_request(config, wildcards.dataset, wildcards.model, seed)


def foreign_files(wildcards):
    request = import_request(wildcards)
    return sorted({*request["files"].values(), *request["labels_files"].values()})


def linear_probe_recipe(wildcards):
    return recipes.linear_probe_recipe(config, wildcards.model)


def finetune_recipe(wildcards):
    if wildcards.recipe == "finetune":
        return recipes.finetune_recipe(config, wildcards.model)
    return recipes.trial_recipe(
        config, wildcards.model, int(wildcards.seed), wildcards.recipe
    )


def distill_recipe(wildcards):
    return recipes.distill_recipe(config, wildcards.model)


def gatekeeper_sweep(wildcards):
    return {
        "alphas": recipes.alphas(config),
        "entry": recipes.architecture(config, wildcards.model),
        "recipe": recipes.gatekeeper_recipe(config, wildcards.model),
    }


def gatekeeper_pair(wildcards):
    return recipes.gatekeeper_pair(config, wildcards.model)


def gatekeeper_start(wildcards):
    return gatekeeper_pair(wildcards)["start"]


def gatekeeper_partner(wildcards):
    return recipes.gatekeeper_partner(config, wildcards.model)


def mc_dropout_recipe(wildcards):
    return recipes.mc_dropout_recipe(config, wildcards.model)


def training_data(wildcards):
    folder = f"results/datasets/{wildcards.dataset}"
    return {
        "samples": f"{folder}/samples.parquet",
        "splits": f"{folder}/splits/seed{wildcards.seed}.parquet",
        "card": f"{folder}/dataset.json",
    }


def checkpoint(wildcards, recipe, model=None):
    """Where a recipe's weights of the job's dataset, model and seed lie."""
    folder = f"results/checkpoints/{wildcards.dataset}/{model or wildcards.model}"
    return f"{folder}/{recipe}/seed{wildcards.seed}.safetensors"


def probe(wildcards):
    """The linear probe that a model's training starts from, if it has one."""
    if recipes.linear_probe_recipe(config, wildcards.model) is None:
        return []
    return checkpoint(wildcards, "linear_probe")


def teacher(wildcards):
    entry = config["models"][wildcards.model]
    return checkpoint(wildcards, "finetune", entry["distill"]["teacher"])


def mc_dropout_backbone(wildcards):
    """The fine-tuned network below a head, unless heads start from the network as it came."""
    if not recipes.has_finetuned_backbone(config):
        return []
    return checkpoint(wildcards, "finetune")


def gatekeeper_checkpoints(wildcards):
    """What a sweep starts from, and what its settings ask for besides."""
    found = {"start": checkpoint(wildcards, gatekeeper_start(wildcards))}
    if large := gatekeeper_partner(wildcards):
        found["large"] = checkpoint(wildcards, "finetune", large)
    if recipes.gatekeeper_probe(config, wildcards.model):
        found["probe"] = checkpoint(wildcards, "linear_probe")
    return found


def of_sweep(pattern):
    """The paths of all recipes of a sweep, in the order of SWEEP."""
    return expand(pattern, recipe=SWEEP, allow_missing=True)


def trials(wildcards):
    names = recipes.trials(config, wildcards.model)
    return [checkpoint(wildcards, name) for name in names]


def logits(dataset, models, recipe):
    """The cached logits of all seeds of some models, by split."""
    pattern = "results/logits/{dataset}/{model}/{recipe}/seed{seed}/{split}.parquet"
    return {
        split: expand(
            pattern,
            dataset=dataset,
            model=models,
            recipe=recipe,
            seed=SEEDS,
            split=split,
        )
        for split in ("val", "test", "shift")
    }


def logits_of(dataset, recipes_by_model):
    """The cached logits of all seeds of some recipes of each model, by split."""
    found = [logits(dataset, model, own) for model, own in recipes_by_model.items()]
    return {split: sum((own[split] for own in found), []) for split in found[0]}


def evaluated_recipes(wildcards):
    return recipes.evaluated_recipes(config, wildcards.model)


def single_logits(wildcards):
    return logits(wildcards.dataset, wildcards.model, evaluated_recipes(wildcards))


def trial_names(wildcards):
    return recipes.trials(config, wildcards.model)


def trial_logits(wildcards):
    pattern = "results/logits/{dataset}/{model}/{recipe}/seed{seed}/{split}.parquet"
    return {
        split: expand(pattern, recipe=trial_names(wildcards), split=split, **wildcards)
        for split in ("val", "test", "shift")
    }


def trial_ensemble(wildcards):
    return recipes.trial_ensemble(config, wildcards.dataset, wildcards.model)


def mc_dropout_recipes(wildcards):
    is_quantised = wildcards.model in QUANTISED_MODELS
    return ["mc_dropout"] + ["mc_dropout_int8"] * is_quantised


def mc_dropout_logits(wildcards):
    return logits(wildcards.dataset, wildcards.model, mc_dropout_recipes(wildcards))


def passes_logits(wildcards):
    found = logits(wildcards.dataset, wildcards.model, ["finetune", "passes"])
    return {split: found[split] for split in FULL_NETWORK["splits"]}


def pair_models(wildcards):
    """A model and its partners: the models that came before it.

    So a new model brings one pair job and leaves the others as they are.
    """
    return MODELS[: MODELS.index(wildcards.model) + 1]


def pair_recipes(wildcards):
    return {
        model: recipes.evaluated_recipes(config, model)
        for model in pair_models(wildcards)
    }


def flops_of(dataset, models):
    return expand("results/flops/{dataset}/{model}.json", dataset=dataset, model=models)


def pair_inputs(wildcards):
    found = pair_recipes(wildcards)
    return {
        **logits_of(wildcards.dataset, found),
        "flops": flops_of(wildcards.dataset, found),
    }


def gatekeeper_inputs(wildcards):
    pair = gatekeeper_pair(wildcards)
    found = {
        pair["large"]: recipes.base_recipe(config, pair["large"]),
        wildcards.model: [pair["start"], *SWEEP],
    }
    return {
        **logits_of(wildcards.dataset, found),
        "flops": flops_of(wildcards.dataset, found),
    }


def evaluation_tables(name):
    """One kind of table of every evaluation job on the board."""
    evaluated = {
        "single": MODELS,
        "pairs": MODELS[1:],
        "mc_dropout": MC_DROPOUT_MODELS,
        "passes": FULL_NETWORK["models"],
        "gatekeeper": GATEKEPT_MODELS,
    }
    return [
        f"results/evaluation/{kind}/{dataset}/{model}/{name}"
        for kind, models in evaluated.items()
        for dataset in DATASETS
        for model in models
    ]


def quantised(pattern):
    """One kind of file of every quantised network."""
    return expand(pattern, dataset=DATASETS, model=QUANTISED_MODELS, seed=SEEDS)


def deployment_settings(wildcards):
    settings = recipes.deployment(config, wildcards.deployment)
    return {k: v for k, v in settings.items() if k not in ("dataset", "models")}


def deployed_recipes(wildcards):
    return recipes.deployed_models(config, wildcards.deployment)


def deployed_logits(wildcards):
    seed = config["deployment"][wildcards.deployment]["seed"]
    folder = f"results/logits/{wildcards.dataset}"
    return [
        f"{folder}/{model}/{recipe}/seed{seed}/val.parquet"
        for model, recipe in deployed_recipes(wildcards)
    ]


def deployed_flops(wildcards):
    models = [model for model, _ in deployed_recipes(wildcards)]
    return flops_of(wildcards.dataset, models)


def deployed_card(wildcards):
    """The card that names a dataset's classes, if it has one."""
    if not has_source(wildcards.dataset):
        return {}
    return {"card": f"results/datasets/{wildcards.dataset}/dataset.json"}


def class_names(wildcards):
    return config["datasets"][wildcards.dataset].get("classes")


def start_run():
    """Refuse a second run in this folder; remember the order of the models."""
    if workflow.execution_settings.lock and not run_lock.claim(STATE, patience=3):
        sys.exit(
            f"Error: another run (process {run_lock.holder(STATE)}) is at work in this folder. "
            "Wait for it to end, or work in another folder with --directory"
        )
    known = known_models()
    if new := [model for model in MODELS if model not in known]:
        KNOWN_MODELS.parent.mkdir(parents=True, exist_ok=True)
        temporary = KNOWN_MODELS.with_name(f".{KNOWN_MODELS.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(known + new))
        temporary.replace(KNOWN_MODELS)


def print_summary():
    summary = Path("results/leaderboard/summary.txt")
    if summary.exists():
        print(summary.read_text())
