"""Which jobs a benchmark of generated answers schedules, and what a change of it repeats.

As in `test_dag`, the jobs are stubs.
"""

import pytest
import yaml

from workflow.configs import llama, small_config
from workflow.project import ROOT, Project

SEEDS = (0, 1)
DATA = "gsm8k"
MODELS = ("wide", "narrow")
BOARD = {"collect_leaderboard", "plot_leaderboard", f"pick_examples {DATA}", "render_page"}


def open_questions():
    """Two language models and a sweep on problems whose files are downloaded."""
    settings = {"steps": 3, "batch_size": 4, "learning_rate": 0.01, "weight_decay": 0.01}
    config = small_config()
    return {
        "benchmark": "maths",
        "seeds": list(SEEDS),
        "datasets": {
            DATA: {
                "source": "gsm8k",
                "main_metric": "accuracy",
                "task": {"prompt": "gsm8k", "shots": 1, "max_new_tokens": 4},
                "splits": {"train": 20, "val": 6, "test": 8},
            }
        },
        "models": {"wide": llama(16), "narrow": llama(8)},
        "language": {
            "finetune": settings,
            "gatekeeper": {"training": {"steps": 2, "learning_rate": 0.001}},
        },
        "gatekeeper": {"pairs": {"narrow": {"large": "wide"}}, "alphas": [0.3, 0.7]},
        **{key: config[key] for key in ("cascade", "evaluation", "compute")},
    }


def seeded(rules, model):
    return {f"{rule} {DATA} {model} {seed}" for rule in rules for seed in SEEDS}


def newcomer(model):
    """All jobs of a model that is appended."""
    return (
        seeded(["finetune_language", "cache_generations"], model)
        | {f"count_language_flops {DATA} {model}", f"evaluate_generations {DATA} {model}"}
        | BOARD
    )


def whole():
    """All jobs from nothing but for the downloads."""
    jobs = {f"prepare_dataset {DATA}"} | {f"draw_splits {DATA} {seed}" for seed in SEEDS}
    for model in MODELS:
        jobs |= newcomer(model)
    return jobs | seeded(["gatekeeper_language", "cache_generation_sweep"], "narrow")


def without_downloads(jobs):
    return {job for job in jobs if not job.startswith("download_dataset")}


@pytest.fixture(scope="module")
def finished_once(build_once):
    def build(folder):
        project = Project.create(folder, open_questions())
        project.use_stubs()
        project.snakemake("--cores", "2")

    return Project(build_once("finished_generations_stubs", build))


@pytest.fixture
def project(finished_once, tmp_path):
    return finished_once.copy(tmp_path / "project")


def test_a_fresh_folder_needs_every_job_once(tmp_path):
    project = Project.create(tmp_path / "project", open_questions())
    output = project.snakemake("--dry-run").output
    assert without_downloads(project.plan()) == whole()
    # Nothing is said about distributions over classes.
    for figure, is_there in (
        ("deferral", True),
        ("gatekeeper_alpha", True),
        ("reliability", False),
    ):
        assert (f"figures/{DATA}/{figure}.svg" in output) == is_there, figure


def test_nothing_is_left_to_do(project):
    assert project.plan() == set()


def test_a_model_is_appended(project):
    with project.edit() as config:
        config["models"]["middle"] = llama(12)
    assert project.plan() == newcomer("middle")


def test_a_model_is_removed(project):
    with project.edit() as config:
        del config["models"]["wide"], config["gatekeeper"]
    # The sweep is what `narrow` is no longer evaluated with.
    assert project.plan() == BOARD | {f"evaluate_generations {DATA} narrow"}


def test_a_partner_is_removed(project):
    with project.edit() as config:
        config["models"]["middle"] = llama(12)
    project.snakemake("--cores", "2")
    with project.edit() as config:
        del config["models"]["middle"]
    assert project.plan() == BOARD


def test_longer_answers_are_generated_again(project):
    with project.edit() as config:
        config["datasets"][DATA]["task"]["max_new_tokens"] = 5
    plan = project.plan()
    for model in MODELS:
        assert plan >= seeded(["cache_generations"], model) | {
            f"evaluate_generations {DATA} {model}"
        }
    assert plan >= seeded(["cache_generation_sweep"], "narrow")


def test_other_thresholds_evaluate_again_and_generate_nothing(project):
    with project.edit() as config:
        config["cascade"]["deferral_ratios"] = [0.25]
    assert project.plan() == BOARD | {f"evaluate_generations {DATA} {model}" for model in MODELS}


def test_the_ready_made_benchmark_is_planned(tmp_path):
    config = yaml.safe_load((ROOT / "configs" / "gsm8k.yaml").read_text())
    project = Project.create(tmp_path / "project", config)
    rules = [job.split()[0] for job in project.plan()]
    counts = {rule: rules.count(rule) for rule in set(rules)}
    assert counts == {
        "download_dataset": 2,
        "prepare_dataset": 1,
        "draw_splits": 1,
        "count_language_flops": 2,
        "finetune_language": 2,
        "gatekeeper_language": 1,
        "cache_generations": 2,
        "cache_generation_sweep": 1,
        "evaluate_generations": 2,
        "collect_leaderboard": 1,
        "plot_leaderboard": 1,
        "pick_examples": 1,
        "render_page": 1,
    }
