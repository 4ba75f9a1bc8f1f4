import gc
import hashlib
import json
import os
import sys
from functools import cache
from pathlib import Path

from snakemake.logging import logger

from sidekick import leaderboard, modalities, recipes, run_lock, run_marks
from sidekick.datasets import get_dataset, source_files
from sidekick.disk import full_disk_named, require_writable

# Large CPU steps of PyTorch spend most of their time on page faults when every tensor is returned
# to the system at once; jobs inherit these.
os.environ.setdefault("MALLOC_MMAP_MAX_", "0")
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(16 * 2**30))
# Jobs end when this process is killed. On a cluster it is the one that runs the job there.
os.environ.update(SIDEKICK_RUN=str(os.getpid()))

# Planning makes many objects that all stay: looking through them for garbage would be a tenth of the
# time of a large benchmark.
gc.set_threshold(200_000, 50, 50)

STATE = Path(".snakemake")


def require(step, *arguments):
    """As `check`, where the configuration is not to blame."""
    try:
        return step(*arguments)
    except SidekickError as error:
        sys.exit(f"Error: {error}")


if workflow.is_main_process:
    # Snakemake itself would stop with a traceback, in the middle of the run.
    for path in (
        [STATE] if workflow.output_settings.dryrun else [STATE, Path("results")]
    ):
        require(require_writable, path)
if not workflow.is_main_process:
    # Before Snakemake removes the results that this job would replace.
    if run_marks.is_superseded():
        sys.exit(f"Error: {run_marks.SUPERSEDED}")
elif not workflow.output_settings.dryrun:
    if run_lock.claim(STATE) and run_lock.clear_stale(STATE):
        logger.info("Removing what a killed run left: its lock and temporary files")
        run_marks.remove_marks(STATE)
        run_lock.clear_temporary(Path("results"))

# One GPU job at a time on a workstation; profiles say where there are more.
if "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", 1)


def memory(megabytes):
    """A job's memory in MB, Snakemake's own included; twice as much with every retry.

    With `runtime`, the most minutes that a job takes on its largest published benchmark, it is
    asked for wherever jobs are queued. On one machine it bounds nothing unless
    `--resources mem_mb=…` says how much there is.
    """

    def request(wildcards, attempt):
        return megabytes * 2 ** (attempt - 1)

    return request


def known_models():
    """All models that ever were in this folder, the oldest first."""
    try:
        models = json.loads(KNOWN_MODELS.read_text()) if KNOWN_MODELS.exists() else []
        if all(isinstance(model, str) for model in models):
            return models
    except (ValueError, TypeError):
        pass
    raise SidekickError(
        f"{KNOWN_MODELS}: damaged; it lists the models that were in this folder. Delete it: their "
        "order is then that of the configuration, and pairs that it divides otherwise are "
        "evaluated again"
    )


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
MODELS = sorted(
    config["models"], key=(require(known_models) + list(config["models"])).index
)
IMPORTED_MODELS = [model for model in MODELS if recipes.is_imported(config, model)]
TRAINED_MODELS = [model for model in MODELS if model not in IMPORTED_MODELS]
TEXT_MODELS = [
    model
    for model in TRAINED_MODELS
    if modalities.model_modality(config, model) == modalities.TEXT
]
IMAGE_MODELS = [model for model in TRAINED_MODELS if model not in TEXT_MODELS]
GENERATED = [
    dataset for dataset in DATASETS if modalities.is_generated(config, dataset)
]
CLASSIFIED = [dataset for dataset in DATASETS if dataset not in GENERATED]
SEEDS = sorted(config["seeds"])
MC_DROPOUT_MODELS = sorted(config.get("mc_dropout", {}).get("models", []))
QUANTISED_MODELS = recipes.quantised_models(config)
FULL_NETWORK = recipes.full_network(config)
GATEKEPT_MODELS = recipes.gatekept_models(config)
GATEKEPT_IMAGE_MODELS = [model for model in GATEKEPT_MODELS if model in IMAGE_MODELS]
GATEKEPT_TEXT_MODELS = [model for model in GATEKEPT_MODELS if model in TEXT_MODELS]
SWEEP = recipes.sweep(config)
SEARCHED_MODELS = [model for model in MODELS if recipes.search(config, model)]
EVALUATION = sorted_keys(config["evaluation"])
CASCADE = sorted_keys(config["cascade"])
REVISIONS = recipes.REVISIONS
DOWNLOADS = config.get("downloads", {}).get("folder", "resources")
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
        if path.suffix in (".py", ".mplstyle", ".html", ".css", ".js"):
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
        entry = config["models"][wildcards.model]
        known["architecture"] = entry.get("architecture") or entry["pretrained"]
    return dict(sorted({**known, **wildcards}.items()))


def models_of(dataset, models=None):
    """Those models, of all unless some are given, that a dataset is for, the oldest first."""
    own = modalities.models_of(config, dataset)
    return [model for model in (MODELS if models is None else models) if model in own]


def figures_of(dataset):
    """The figures that a dataset's part of the board has something to show in."""
    if dataset in GENERATED:
        is_gatekept = bool(models_of(dataset, GATEKEPT_MODELS))
        extra = leaderboard.GENERATION_GATEKEEPER_FIGURES if is_gatekept else ()
        return leaderboard.GENERATION_FIGURES + extra
    figures = leaderboard.FIGURES
    if modalities.dataset_modality(config, dataset) == modalities.TEXT:
        figures += leaderboard.TEXT_FIGURES
    else:
        figures += leaderboard.SHIFT_FIGURES
    if models_of(dataset, GATEKEPT_MODELS):
        figures += leaderboard.GATEKEEPER_FIGURES
    if models_of(dataset, MC_DROPOUT_MODELS):
        figures += leaderboard.MC_DROPOUT_FIGURES
    return figures


def in_report(dataset, figure):
    """A figure's file as it stands in the report of `snakemake --report`."""
    category, label = leaderboard.REPORT_ENTRIES[figure]
    return report(
        f"results/leaderboard/figures/{dataset}/{figure}.svg",
        caption=f"report/figures/{figure}.rst",
        category=category,
        subcategory=dataset,
        labels={"figure": label},
    )


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


def language_recipe(wildcards):
    return recipes.finetune_recipe(config, wildcards.model)


def language_sweep(wildcards):
    return {
        "alphas": recipes.alphas(config),
        "entry": recipes.architecture(config, wildcards.model),
        "recipe": recipes.language_gatekeeper_recipe(config, wildcards.model),
    }


def language_task(wildcards):
    return recipes.language_task(config, wildcards.dataset)


def prompt_version(wildcards):
    return recipes.prompt_version(config, wildcards.dataset)


def hedges(wildcards):
    return recipes.hedges(config, wildcards.model)


def gatekept_recipes(wildcards):
    """What is made of a gatekept model, and compared with what it was."""
    return [*SWEEP, *hedges(wildcards)]


def gatekeeper_pair(wildcards):
    return recipes.gatekeeper_pair(config, wildcards.model)


def gatekeeper_start(wildcards):
    return gatekeeper_pair(wildcards)["start"]


def gatekeeper_partner(wildcards):
    return recipes.gatekeeper_partner(config, wildcards.model)


def mc_dropout_recipe(wildcards):
    return recipes.mc_dropout_recipe(config, wildcards.model)


def training_data(wildcards):
    return data_of(wildcards.dataset, wildcards.seed)


def first_training_data(wildcards):
    """The first seed's, for jobs that all seeds share."""
    return data_of(wildcards.dataset, SEEDS[0])


def data_of(dataset, seed):
    folder = f"results/datasets/{dataset}"
    return {
        "samples": f"{folder}/samples.parquet",
        "splits": f"{folder}/splits/seed{seed}.parquet",
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


@cache
def cached_logits(dataset, model, recipe, split):
    """The cached logits of all seeds; asked for by every pair of a model."""
    folder = f"results/logits/{dataset}/{model}/{recipe}"
    return [f"{folder}/seed{seed}/{split}.parquet" for seed in SEEDS]


def logits(dataset, model, recipes):
    """The cached logits of all seeds of some recipes of a model, by split."""
    return {
        split: [
            path
            for recipe in recipes
            for path in cached_logits(dataset, model, recipe, split)
        ]
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
    models = models_of(wildcards.dataset)
    return models[: models.index(wildcards.model) + 1]


def flops_of(dataset, models):
    return expand("results/flops/{dataset}/{model}.json", dataset=dataset, model=models)


def pair_inputs(wildcards):
    """A model's own caches, and for each partner the list of its caches with their checksums.

    Links to all caches of all partners would be nine tenths of a large benchmark's, and most of the
    time of its planning.
    """
    dataset = wildcards.dataset
    *partners, own = pair_models(wildcards)
    return {
        **logits(dataset, own, recipes.evaluated_recipes(config, own)),
        "flops": flops_of(dataset, [own]),
        "partners": [sources_of(dataset, partner) for partner in partners],
        "listed": [
            path for partner in partners for path in listed_by(dataset, partner)
        ],
    }


def sources_of(dataset, model):
    return f"results/evaluation/single/{dataset}/{model}/sources.json"


@cache
def listed_by(dataset, model):
    """What a model's list of caches names, and a job must be given besides.

    That is everything where jobs read copies of their inputs; elsewhere what somebody has deleted
    since, to be made anew.
    """
    is_copied = workflow.storage_settings.default_storage_provider is not None
    if not is_copied and not Path(sources_of(dataset, model)).exists():
        return []
    found = logits(dataset, model, recipes.evaluated_recipes(config, model))
    listed = [*sum(found.values(), []), *flops_of(dataset, [model])]
    return [path for path in listed if is_copied or not Path(path).exists()]


def gatekeeper_inputs(wildcards):
    pair = gatekeeper_pair(wildcards)
    found = {
        pair["large"]: [recipes.base_recipe(config, pair["large"])],
        wildcards.model: [pair["start"], *gatekept_recipes(wildcards)],
    }
    return {
        **logits_of(wildcards.dataset, found),
        "flops": flops_of(wildcards.dataset, found),
    }


def generation_sweep(wildcards):
    """What a model's Gatekeeper sweep starts from and defers to, if it has one."""
    return gatekeeper_pair(wildcards) if wildcards.model in GATEKEPT_MODELS else None


def generation_recipes(wildcards):
    """Those of a model's Gatekeeper sweep, if it has one."""
    return SWEEP if generation_sweep(wildcards) else []


def generation_inputs(wildcards):
    """The answers of a model and its partners, and, of its sweep, those of all recipes.

    Partners have a name of their own among the inputs: as a param they would repeat a job for a
    model that was removed.
    """
    models = models_of(wildcards.dataset, TEXT_MODELS)
    *partners, model = models[: models.index(wildcards.model) + 1]
    sweep = generation_sweep(wildcards)
    alone = list(dict.fromkeys([model, *([sweep["large"]] if sweep else [])]))
    made = {
        one: [recipes.base_recipe(config, one)]
        for one in dict.fromkeys([*partners, *alone])
    }
    made[model] += SWEEP if sweep else []
    answers = {
        split: sum((answers_of(wildcards, split, *own) for own in made.items()), [])
        for split in ("val", "test")
    }
    return {
        **answers,
        "flops": flops_of(wildcards.dataset, alone),
        "partners": flops_of(wildcards.dataset, partners),
    }


def answers_of(wildcards, split, model, made):
    """The generated answers of all seeds of some recipes of a model."""
    folder = "results/generations/{dataset}/{model}/{recipe}"
    return expand(
        f"{folder}/seed{{seed}}/{{split}}.parquet",
        dataset=wildcards.dataset,
        model=model,
        recipe=made,
        seed=SEEDS,
        split=split,
    )


def evaluation_tables(name, kinds=None):
    """One kind of table of every evaluation job on the board, or of some kinds of jobs."""
    evaluated = {
        "single": (CLASSIFIED, MODELS),
        "pairs": (CLASSIFIED, MODELS),
        "mc_dropout": (CLASSIFIED, MC_DROPOUT_MODELS),
        "passes": (CLASSIFIED, FULL_NETWORK["models"]),
        "gatekeeper": (CLASSIFIED, GATEKEPT_MODELS),
        "generations": (GENERATED, TEXT_MODELS),
    }
    return [
        f"results/evaluation/{kind}/{dataset}/{model}/{name}"
        for kind in kinds or evaluated
        for dataset in evaluated[kind][0]
        # The oldest model has no partner.
        for model in models_of(dataset, evaluated[kind][1])[kind == "pairs" :]
    ]


def example_inputs(wildcards):
    """What the examples of a dataset are chosen from: caches of the first seed, and the samples."""
    dataset = wildcards.dataset
    kind, folder = "logits", "results/logits"
    if dataset in GENERATED:
        kind, folder = "answers", "results/generations"
    found = {
        kind: [
            f"{folder}/{dataset}/{model}/{recipe}/seed{SEEDS[0]}/test.parquet"
            for model in models_of(dataset)
            for recipe in [recipes.base_recipe(config, model)]
        ]
    }
    if dataset in CLASSIFIED:
        found["mc_dropout"] = [
            f"results/evaluation/mc_dropout/{dataset}/{model}/examples.parquet"
            for model in models_of(dataset, MC_DROPOUT_MODELS)
        ]
    if has_source(dataset):
        prepared = f"results/datasets/{dataset}"
        found["samples"] = f"{prepared}/samples.parquet"
        found["shift"] = f"{prepared}/shift.parquet"
        found["card"] = f"{prepared}/dataset.json"
    return found


def of_models(pattern, models, **others):
    """One kind of file of some models, on each dataset that they are for."""
    return [
        path
        for dataset in DATASETS
        for path in expand(
            pattern, dataset=dataset, model=models_of(dataset, models), **others
        )
    ]


def quantised(pattern):
    """One kind of file of every quantised network."""
    return of_models(pattern, QUANTISED_MODELS, seed=SEEDS)


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
    if workflow.execution_settings.lock:
        if not run_lock.claim(STATE, patience=3):
            sys.exit(
                f"Error: another run (process {run_lock.holder(STATE)}) is at work in this "
                "folder. Wait for it to end, or work in another folder with --directory"
            )
        run_marks.leave_mark(STATE)
    require(remember_models)


def remember_models():
    known = known_models()
    if new := [model for model in MODELS if model not in known]:
        temporary = KNOWN_MODELS.with_name(f".{KNOWN_MODELS.name}.{os.getpid()}.tmp")
        with full_disk_named(KNOWN_MODELS, "Make room and start the run again"):
            KNOWN_MODELS.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(known + new))
            temporary.replace(KNOWN_MODELS)


def finish_run():
    """Remove what jobs left that were killed and retried; print the board's summary."""
    if workflow.execution_settings.lock:
        run_lock.clear_temporary(Path("results"))
    summary = Path("results/leaderboard/summary.txt")
    if summary.exists():
        print(summary.read_text())
