import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

LIBRARY = Path(workflow.basedir) / "workflow_scripts" / "sidekick"
sys.path.insert(0, str(LIBRARY.parent))

from sidekick import config as settings
from sidekick import leaderboard, run_lock
from sidekick.errors import SidekickError

# Large CPU steps of PyTorch spend most of their time on page faults when every tensor is returned
# to the system at once; jobs inherit these.
os.environ.setdefault("MALLOC_MMAP_MAX_", "0")
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(16 * 2**30))

try:
    for path in workflow.overwrite_configfiles or ["config.yaml"]:
        settings.check_file(path)
    settings.validate(
        config, Path(workflow.basedir) / "rules/schemas/config.schema.yaml"
    )
except SidekickError as error:
    raise WorkflowError(f"Configuration: {error}") from None

if workflow.is_main_process:
    run_lock.clear_stale(Path(".snakemake"))

DATASETS = list(config["datasets"])
MODELS = list(config["models"])
SEEDS = config["seeds"]
MC_DROPOUT_MODELS = config.get("mc_dropout", {}).get("models", [])
REVISIONS = settings.REVISIONS
FIGURES = leaderboard.FIGURES
GPUS = int(config["compute"]["device"] == "cuda")


# The id pattern stands in rules/schemas/config.schema.yaml, too.
wildcard_constraints:
    dataset="[a-z][a-z0-9_]*",
    model="[a-z][a-z0-9_]*",
    recipe="[a-z][a-z0-9_]*",
    seed="[0-9]+",


def library_code(*rooms):
    """The files of the library's rooms that a cheap rule depends on, to list as its input.

    Snakemake does not track what a script imports. Costly rules carry a `revision` instead.
    """
    shared = [LIBRARY / "artifacts.py", LIBRARY / "errors.py"]
    files = [
        path for room in rooms for path in sorted((LIBRARY / room).glob("**/*.py"))
    ]
    return [str(path) for path in shared + files]


def facts(wildcards):
    """What every artifact of a job records about its origin."""
    return {"benchmark": config["benchmark"], **dict(sorted(wildcards.items()))}


def dataset_recipe(wildcards):
    return settings.dataset_recipe(config, wildcards.dataset)


def split_sizes(wildcards):
    return dataset_recipe(wildcards)["splits"]


def architecture(wildcards):
    return settings.architecture(config, wildcards.model)


def finetune_recipe(wildcards):
    return settings.finetune_recipe(config, wildcards.model)


def mc_dropout_recipe(wildcards):
    return settings.mc_dropout_recipe(config)


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


def single_logits(wildcards):
    return logits(wildcards.dataset, wildcards.model, "finetune")


def mc_dropout_logits(wildcards):
    return logits(wildcards.dataset, wildcards.model, "mc_dropout")


def pair_models(wildcards):
    """A model and its partners: the models that are listed before it.

    So a model that is appended brings one pair job and leaves the others as they are.
    """
    return MODELS[: MODELS.index(wildcards.model) + 1]


def pair_inputs(wildcards):
    models = pair_models(wildcards)
    flops = expand(
        "results/flops/{dataset}/{model}.json", model=models, allow_missing=True
    )
    return {
        **logits(wildcards.dataset, models, "finetune"),
        "flops": expand(flops, dataset=wildcards.dataset),
    }


def evaluation_tables(name):
    """One kind of table of every evaluation job on the board."""
    folder = "results/evaluation"
    return (
        expand(
            f"{folder}/single/{{dataset}}/{{model}}/{name}",
            dataset=DATASETS,
            model=MODELS,
        )
        + expand(
            f"{folder}/pairs/{{dataset}}/{{model}}/{name}",
            dataset=DATASETS,
            model=MODELS[1:],
        )
        + expand(
            f"{folder}/mc_dropout/{{dataset}}/{{model}}/{name}",
            dataset=DATASETS,
            model=MC_DROPOUT_MODELS,
        )
    )


def hold_run_lock():
    run_lock.hold(Path(".snakemake"))


def print_summary():
    summary = Path("results/leaderboard/summary.txt")
    if summary.exists():
        print(summary.read_text())
