"""Which jobs a change schedules where models of images and of text share a benchmark.

As in `test_dag`, the jobs are stubs.
"""

import pytest
import yaml

from workflow.configs import llama, mixed, small_cnn
from workflow.project import ROOT, Project

SEEDS = (0, 1)
IMAGE_MODELS = ("alpha", "beta")
TEXT_MODELS = ("wide", "middle", "narrow")
DATA = "questions"
SHARED = {"collect_leaderboard", "plot_leaderboard", "render_page"}
BOARD = SHARED | {"pick_examples digits", f"pick_examples {DATA}"}
SINGLES = {f"evaluate_single {DATA} {model}" for model in TEXT_MODELS}
PAIRS = {f"evaluate_pairs {DATA} {model}" for model in TEXT_MODELS[1:]}
SWEPT = {f"evaluate_gatekeeper {DATA} narrow"}
HEDGED = {f"cache_hedge {DATA} narrow n {seed}" for seed in SEEDS}


def seeded(rules, model, dataset=DATA):
    """The jobs of some rules for each seed."""
    return {f"{rule} {dataset} {model} {seed}" for rule in rules for seed in SEEDS}


def weights(model):
    """The jobs that train a model and score its options."""
    return seeded(["finetune_language", "cache_choices"], model)


def sweep(model):
    """The jobs that tune a small model and score its options."""
    return seeded(["gatekeeper_language", "cache_choice_sweep"], model)


def counted(models=TEXT_MODELS):
    return {f"count_language_flops {DATA} {model}" for model in models}


def newcomer(model):
    """All jobs of a language model that is appended."""
    return (
        weights(model)
        | counted([model])
        | {f"evaluate_single {DATA} {model}", f"evaluate_pairs {DATA} {model}"}
        | BOARD
    )


def of_text():
    """All jobs of the dataset of questions from nothing, the board left out."""
    jobs = {f"prepare_dataset {DATA}"} | {f"draw_splits {DATA} {seed}" for seed in SEEDS}
    for model in TEXT_MODELS:
        jobs |= weights(model)
    return jobs | counted() | sweep("narrow") | HEDGED | SINGLES | PAIRS | SWEPT


def of_images():
    """All jobs of the dataset of images from nothing, the board left out."""
    jobs = {"prepare_dataset digits"} | {f"draw_splits digits {seed}" for seed in SEEDS}
    for model in IMAGE_MODELS:
        jobs |= {f"finetune digits {model} finetune {seed}" for seed in SEEDS}
        jobs |= {f"cache_logits digits {model} finetune {seed}" for seed in SEEDS}
        jobs |= {f"count_flops digits {model}", f"evaluate_single digits {model}"}
    jobs |= seeded(["gatekeeper", "cache_sweep"], "beta", "digits")
    return jobs | {"evaluate_pairs digits beta", "evaluate_gatekeeper digits beta"}


def test_no_model_meets_a_dataset_of_the_other_modality(tmp_path):
    project = Project.create(tmp_path / "project", mixed())
    assert project.plan() == of_images() | of_text() | BOARD
    figures = project.snakemake("--dry-run").output
    for dataset, figure, is_there in (
        ("digits", "severity", True),
        ("digits", "accuracy_by_level", False),
        (DATA, "severity", False),
        (DATA, "accuracy_by_level", True),
        (DATA, "gatekeeper_alpha", True),
    ):
        assert (f"figures/{dataset}/{figure}.svg" in figures) == is_there, (dataset, figure)


def test_questions_alone_make_a_benchmark(tmp_path):
    config = mixed()
    del config["datasets"]["digits"], config["finetune"]
    del config["gatekeeper"]["pairs"]["beta"], config["gatekeeper"]["training"]
    for model in IMAGE_MODELS:
        del config["models"][model]
    expected = of_text() | SHARED | {f"pick_examples {DATA}"}
    assert Project.create(tmp_path / "project", config).plan() == expected


def test_an_appended_model_brings_only_its_own_jobs(finished_mixed):
    assert finished_mixed.plan() == set()
    with finished_mixed.edit() as config:
        config["models"]["another"] = llama(10)
    assert finished_mixed.plan() == newcomer("another")
    with finished_mixed.edit() as config:
        config["models"] = {"another": llama(10), **config["models"]}
    assert finished_mixed.plan() == newcomer("another"), "the place of a new model does not matter"

    finished_mixed.snakemake("--cores", "2")
    with finished_mixed.edit() as config:
        config["models"]["gamma"] = small_cnn(5)
    jobs = finished_mixed.plan()
    assert not {job for job in jobs - BOARD if DATA in job}
    assert "evaluate_pairs digits gamma" in jobs


@pytest.mark.parametrize("model", TEXT_MODELS)
def test_a_removed_model_leaves_the_others_and_comes_back_for_free(finished_mixed, model):
    config = finished_mixed.config
    remaining = {key: entry for key, entry in config["models"].items() if key != model}
    without = {**config, "models": remaining}
    if model != "middle":
        without["gatekeeper"] = {**config["gatekeeper"], "pairs": {"beta": {"large": "alpha"}}}
    finished_mixed.config = without
    assert finished_mixed.plan() == BOARD
    if model == "middle":
        finished_mixed.snakemake("--cores", "2")
        returned = {"middle": config["models"]["middle"], **remaining}
        finished_mixed.config = {**config, "models": returned}
        assert finished_mixed.plan() == BOARD


def test_text_may_leave_the_benchmark_and_come_back(finished_mixed):
    config = finished_mixed.config
    with finished_mixed.edit() as without:
        del without["datasets"][DATA], without["language"], without["gatekeeper"]["pairs"]["narrow"]
        for model in TEXT_MODELS:
            del without["models"][model]
    assert finished_mixed.plan() == BOARD - {f"pick_examples {DATA}"}
    finished_mixed.snakemake("--cores", "2")
    finished_mixed.config = config
    assert finished_mixed.plan() == BOARD


def test_another_prompt_repeats_what_depends_on_it(finished_mixed):
    with finished_mixed.edit() as config:
        config["datasets"][DATA]["task"]["prompt"] = "arc_option_text"
    trained = set().union(*(weights(model) for model in TEXT_MODELS))
    expected = trained | sweep("narrow") | HEDGED | counted() | SINGLES | PAIRS | SWEPT | BOARD
    # The questions themselves are the same.
    assert finished_mixed.plan() == expected


def test_other_scoring_retrains_nothing_of_images(finished_mixed):
    with finished_mixed.edit() as config:
        config["datasets"][DATA]["task"]["normalise"] = "bytes"
    jobs = finished_mixed.plan()
    assert set().union(*(seeded(["cache_choices"], model) for model in TEXT_MODELS)) < jobs
    assert not {job for job in jobs - BOARD if "digits" in job.split()}


def test_an_edited_model_repeats_only_its_own_chain(finished_mixed):
    with finished_mixed.edit() as config:
        config["models"]["middle"]["finetune"] = {"steps": 4}
    expected = weights("middle") | PAIRS | {f"evaluate_single {DATA} middle"} | BOARD
    assert finished_mixed.plan() == expected
    with finished_mixed.edit() as config:
        del config["models"]["middle"]["finetune"]
        config["models"]["middle"]["options"]["hidden_size"] = 14
    assert finished_mixed.plan() == expected | counted(["middle"])


def test_training_settings_of_one_modality_leave_the_other_alone(finished_mixed):
    with finished_mixed.edit() as config:
        config["language"]["finetune"]["steps"] = 4
    jobs = finished_mixed.plan()
    assert set().union(*map(weights, TEXT_MODELS)) | sweep("narrow") < jobs
    assert not {job for job in jobs - BOARD if "digits" in job.split()}
    with finished_mixed.edit() as config:
        config["language"]["finetune"]["steps"] = 3
        config["finetune"]["epochs"] = 3
    jobs = finished_mixed.plan()
    assert jobs > BOARD
    assert not {job for job in jobs - BOARD if DATA in job.split()}


def test_settings_of_a_sweep_repeat_only_it(finished_mixed):
    with finished_mixed.edit() as config:
        config["language"]["gatekeeper"]["anchor"] = 0.5
    assert finished_mixed.plan() == sweep("narrow") | SWEPT | BOARD
    with finished_mixed.edit() as config:
        del config["language"]["gatekeeper"]["anchor"]
        config["gatekeeper"]["pairs"]["narrow"]["large"] = "middle"
    assert finished_mixed.plan() == SWEPT | BOARD, "the large model takes no part in the training"


def test_other_alphas_repeat_the_sweeps_of_both_modalities(finished_mixed):
    with finished_mixed.edit() as config:
        config["gatekeeper"]["alphas"] = [0.7]
    of_image = seeded(["gatekeeper", "cache_sweep"], "beta", "digits")
    of_image |= {"evaluate_gatekeeper digits beta"}
    assert finished_mixed.plan() == sweep("narrow") | SWEPT | of_image | BOARD


def test_hedges_come_and_go(finished_mixed):
    pair = ("gatekeeper", "pairs", "narrow")

    def hedges(config):
        for key in pair:
            config = config[key]
        return config

    with finished_mixed.edit() as config:
        hedges(config)["hedges"] = ["n", "low_confidence"]
    more = {f"cache_hedge {DATA} narrow low_confidence {seed}" for seed in SEEDS}
    assert finished_mixed.plan() == more | SWEPT | BOARD
    with finished_mixed.edit() as config:
        hedges(config)["hedges"] = ["low_confidence"]
    assert finished_mixed.plan() == more | SWEPT | BOARD
    with finished_mixed.edit() as config:
        del hedges(config)["hedges"]
    assert finished_mixed.plan() == SWEPT | BOARD


def test_a_second_dataset_of_questions_has_jobs_of_its_own(finished_mixed):
    with finished_mixed.edit() as config:
        config["datasets"]["more"] = config["datasets"][DATA]
    expected = {job.replace(f" {DATA} ", " more ") for job in of_text()}
    expected = {job.replace(f" {DATA}", " more") for job in expected}
    assert finished_mixed.plan() == expected | {"pick_examples more"} | BOARD


def test_changed_training_code_repeats_nothing_costly(finished_mixed):
    library = finished_mixed.path("workflow_scripts/sidekick")
    for module in [*(library / "training").rglob("*.py"), library / "logit_cache/scoring.py"]:
        module.write_text(module.read_text() + "\n# changed\n")
    jobs = {job.split()[0] for job in finished_mixed.plan()}
    assert not jobs & {"finetune_language", "gatekeeper_language", "cache_choices", "cache_hedge"}


def test_a_new_version_of_a_prompt_repeats_what_was_asked_by_it(finished_mixed):
    path = finished_mixed.path("workflow_scripts/sidekick/prompts/graded_mcq.yaml")
    text = path.read_text()
    path.write_text(f"# a comment\n{text}")
    assert finished_mixed.plan() == set()
    assert "version: 1" in text
    path.write_text(text.replace("version: 1", "version: 2"))
    trained = set().union(*(weights(model) for model in TEXT_MODELS))
    expected = trained | sweep("narrow") | HEDGED | counted() | SINGLES | PAIRS | SWEPT | BOARD
    assert finished_mixed.plan() == expected


def test_changed_code_of_prompts_is_seen_by_the_cheap_rule_that_uses_it(finished_mixed):
    module = finished_mixed.path("workflow_scripts/sidekick/prompts/rendering.py")
    module.write_text(module.read_text() + "\n# changed\n")
    jobs = finished_mixed.plan()
    assert counted() <= jobs
    assert not {job for job in jobs if job.startswith(("finetune_language", "cache_choices"))}


@pytest.mark.parametrize("name", ["arc", "mmlu"])
def test_a_ready_made_benchmark_can_be_planned(name, tmp_path):
    config = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text())
    jobs = Project.create(tmp_path / "project", config).plan()
    [(small, pair)] = config["gatekeeper"]["pairs"].items()
    large = pair["large"]
    assert config["models"][small]["pretrained"] == "google/gemma-2-2b-it"
    assert config["models"][large]["pretrained"] == "google/gemma-2-9b-it"
    expected = set()
    for dataset in config["datasets"]:
        expected |= {f"prepare_dataset {dataset}", f"evaluate_pairs {dataset} {small}"}
        expected |= {f"evaluate_gatekeeper {dataset} {small}", f"pick_examples {dataset}"}
        for seed in config["seeds"]:
            expected |= {f"draw_splits {dataset} {seed}"}
            tuned = ("gatekeeper_language", "cache_choice_sweep")
            expected |= {f"{rule} {dataset} {small} {seed}" for rule in tuned}
            expected |= {f"cache_hedge {dataset} {small} {h} {seed}" for h in pair["hedges"]}
        for model in (small, large):
            rules = ("count_language_flops", "evaluate_single")
            expected |= {f"{rule} {dataset} {model}" for rule in rules}
            for seed in config["seeds"]:
                rules = ("finetune_language", "cache_choices")
                expected |= {f"{rule} {dataset} {model} {seed}" for rule in rules}
    fetched = {job for job in jobs if job.startswith("download_dataset")}
    assert jobs == expected | fetched | SHARED
    # What `snakemake` names of a download is the source and the start of the file.
    assert {job.split()[1] for job in fetched} == set(config["datasets"])
