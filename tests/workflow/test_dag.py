"""Which jobs a change of the configuration or of the code schedules, and that there are no others.

The jobs are stubs, so that the finished state costs seconds; Snakemake's records of it are real.
"""

from collections import Counter

import pytest
import yaml

from sidekick.recipes import REVISIONS
from workflow.configs import SEARCH, downloaded, small_cnn, three_models, whole_training
from workflow.project import ROOT, Project

SEEDS = (0, 1)
MODELS = ("alpha", "beta", "gamma")
BOARD = {"collect_leaderboard", "plot_leaderboard", "pick_examples digits", "render_page"}
SINGLES = {f"evaluate_single digits {model}" for model in MODELS}
PAIRS = {f"evaluate_pairs digits {model}" for model in MODELS[1:]}
CASCADES = PAIRS | {"evaluate_gatekeeper digits beta"}
HEADS = {"evaluate_mc_dropout digits beta", "plot_mc_dropout_examples digits beta"}
EVALUATIONS = SINGLES | CASCADES | HEADS


def weights(model, seeds=SEEDS, dataset="digits"):
    """The jobs that train a model and cache its logits."""
    return {
        job
        for seed in seeds
        for job in (
            f"finetune {dataset} {model} finetune {seed}",
            f"cache_logits {dataset} {model} finetune {seed}",
        )
    }


def quantised_jobs(model, seed, dataset="digits"):
    """The jobs that quantise one network and cache its answers."""
    return [f"{rule} {dataset} {model} {seed}" for rule in ("quantise", "cache_int8_logits")]


def scored_head(model, dataset="digits"):
    """The jobs that evaluate a model's heads and show what they ignore."""
    return {
        f"{rule} {dataset} {model}" for rule in ("evaluate_mc_dropout", "plot_mc_dropout_examples")
    }


def head(model, seeds=SEEDS, dataset="digits"):
    """The jobs of a model's MC-dropout head."""
    return {
        job
        for seed in seeds
        for job in (
            f"train_mc_dropout {dataset} {model} {seed}",
            f"cache_logits {dataset} {model} mc_dropout {seed}",
            *quantised_jobs(model, seed, dataset),
        )
    } | scored_head(model, dataset)


def sweep(model, seeds=SEEDS, dataset="digits"):
    """The jobs of a model's Gatekeeper sweep: one per seed and stage, whatever its alphas."""
    return {
        f"{rule} {dataset} {model} {seed}"
        for seed in seeds
        for rule in ("gatekeeper", "cache_sweep")
    } | {f"evaluate_gatekeeper {dataset} {model}"}


def newcomer(model):
    """All jobs of a model that is appended."""
    return (
        weights(model)
        | BOARD
        | {
            f"count_flops digits {model}",
            f"evaluate_single digits {model}",
            f"evaluate_pairs digits {model}",
        }
    )


def whole_dataset(dataset, models=MODELS, seeds=SEEDS):
    """All jobs of a dataset from nothing, the board left out."""
    jobs = {f"prepare_dataset {dataset}", f"pick_examples {dataset}"}
    jobs |= {f"draw_splits {dataset} {seed}" for seed in seeds}
    for model in models:
        jobs |= weights(model, seeds, dataset)
        jobs |= {f"count_flops {dataset} {model}", f"evaluate_single {dataset} {model}"}
    jobs |= {f"evaluate_pairs {dataset} {model}" for model in models[1:]}
    return jobs | head("beta", seeds, dataset) | sweep("beta", seeds, dataset)


def test_a_fresh_folder_needs_every_job_once(tmp_path):
    project = Project.create(tmp_path / "project", three_models())
    assert project.plan() == whole_dataset("digits") | BOARD


def test_the_embedded_benchmark_needs_every_job_once(tmp_path):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    counts = Counter(job.split()[0] for job in Project.create(tmp_path / "project", config).plan())
    seeds, pairs = len(config["seeds"]), config["gatekeeper"]["pairs"]
    texts = {name for name, entry in config["models"].items() if entry.get("modality") == "text"}
    models, heads = len(config["models"]) - len(texts), len(config["mc_dropout"]["models"])
    sweeps, text_sweeps = len(pairs.keys() - texts), len(pairs.keys() & texts)
    sampled = len(config["mc_dropout"]["full_network"]["models"])
    hedges = sum(len(pair.get("hedges", [])) for pair in pairs.values())
    assert set(config["datasets"]) == {"digits", "graded_mcq"}
    expected = {
        # Of either modality.
        "prepare_dataset": 2,
        "draw_splits": 2 * seeds,
        "evaluate_single": models + len(texts),
        "evaluate_pairs": models - 1 + len(texts) - 1,
        "evaluate_gatekeeper": len(pairs),
        "collect_leaderboard": 1,
        "plot_leaderboard": 1,
        "pick_examples": 2,
        "render_page": 1,
        # Of images.
        "finetune": models * seeds,
        "train_mc_dropout": heads * seeds,
        "quantise": heads * seeds,
        "cache_int8_logits": heads * seeds,
        "gatekeeper": sweeps * seeds,
        "cache_logits": (models + heads) * seeds,
        "cache_sweep": sweeps * seeds,
        "cache_passes": sampled * seeds,
        "evaluate_passes": sampled,
        "count_flops": models,
        "evaluate_mc_dropout": heads,
        "plot_mc_dropout_examples": heads,
        "deploy": len(config["deployment"]),
        # Of text.
        "finetune_language": len(texts) * seeds,
        "count_language_flops": len(texts),
        "cache_choices": len(texts) * seeds,
        "gatekeeper_language": text_sweeps * seeds,
        "cache_choice_sweep": text_sweeps * seeds,
        "cache_hedge": hedges * seeds,
    }
    assert counts == {rule: count for rule, count in expected.items() if count}


def test_two_datasets_do_not_mix(tmp_path):
    config = three_models()
    config["datasets"]["more_digits"] = config["datasets"]["digits"]
    project = Project.create(tmp_path / "project", config)
    assert project.plan() == whole_dataset("digits") | whole_dataset("more_digits") | BOARD


def test_nothing_is_to_be_done_when_all_is_finished(finished):
    outcome = finished.snakemake("--cores", "2")
    assert "Nothing to be done" in outcome.output
    assert finished.plan() == set()


def test_an_appended_model_brings_only_its_own_jobs(finished):
    with finished.edit() as config:
        config["models"]["delta"] = small_cnn(5)
    assert finished.plan() == newcomer("delta")

    finished.snakemake("--cores", "2")
    with finished.edit() as config:
        config["models"]["epsilon"] = small_cnn(6)
    assert finished.plan() == newcomer("epsilon")


def test_an_edited_model_repeats_only_its_own_chain(finished):
    with finished.edit() as config:
        config["models"]["gamma"]["finetune"] = {"epochs": 3}
    # Gamma stands last: no other model's pair job includes it.
    assert finished.plan() == (newcomer("gamma") - {"count_flops digits gamma"})

    with finished.edit() as config:
        del config["models"]["gamma"]["finetune"]
        config["models"]["beta"]["finetune"] = {"learning_rate": 0.02}
    assert finished.plan() == (
        weights("beta")
        | head("beta")
        | sweep("beta")
        | PAIRS
        | {"evaluate_single digits beta"}
        | BOARD
    )


def test_a_partners_cache_that_was_deleted_is_made_anew(finished):
    # A pair job depends on the list of its partners' caches, not on the caches.
    finished.path("results/logits/digits/alpha/finetune/seed0/test.parquet").unlink()
    assert finished.plan() == set(), "nobody needs it"
    finished.path("results/evaluation/pairs/digits/gamma/metrics.parquet").unlink()
    gamma = "results/evaluation/pairs/digits/gamma/metrics.parquet"
    expected = {"cache_logits digits alpha finetune 0", "evaluate_pairs digits gamma"}
    assert expected <= finished.plan(gamma)


def test_shared_training_settings_repeat_the_models_that_use_them(finished):
    with finished.edit() as config:
        config["models"]["alpha"]["finetune"] = {"epochs": 2}
        config["finetune"]["epochs"] = 3
    jobs = finished.plan()
    assert not jobs & weights("alpha"), "alpha overrides the setting that changed"
    assert weights("beta") | weights("gamma") <= jobs


def test_a_removed_model_leaves_the_others_and_comes_back_for_free(finished):
    config = finished.config
    for model in MODELS:
        remaining = {key: entry for key, entry in config["models"].items() if key != model}
        heads = {**config["mc_dropout"], "models": ["alpha" if model == "beta" else "beta"]}
        without = {**config, "models": remaining, "mc_dropout": heads}
        if model != "gamma":
            del without["gatekeeper"]
        finished.config = without
        new_head = head("alpha") if model == "beta" else set()
        assert finished.plan() == BOARD | new_head, f"{model} was removed"

    finished.snakemake("--cores", "2")  # without gamma, the last one
    returned = {"gamma": config["models"]["gamma"], **without["models"]}
    finished.config = {**config, "models": returned}
    assert finished.plan() == BOARD, "a model that comes back at another place"


def test_mere_form_schedules_nothing(finished):
    def reversed_keys(value):
        if isinstance(value, dict):
            return {key: reversed_keys(value[key]) for key in reversed(value)}
        return value

    config = reversed_keys(finished.config)
    config["seeds"] = list(reversed(config["seeds"]))
    assert list(config["models"]) == list(reversed(MODELS)), "the models are re-ordered, too"
    for model in config["models"].values():
        model["labels"] = {"family": "new"}
    config["compute"]["threads"] = 2
    text = yaml.safe_dump(config, sort_keys=False, default_flow_style=None)
    finished.path("config.yaml").write_text(f"# a comment\n{text}# another one\n")
    assert finished.plan() == set()

    with finished.edit() as config:
        config["models"] = {"delta": small_cnn(5), **config["models"]}
    assert finished.plan() == newcomer("delta"), "the place of a new model does not matter"


def test_intervals_change_only_evaluations(finished):
    with finished.edit() as config:
        config["evaluation"]["level"] = 0.95
    assert finished.plan() == EVALUATIONS | BOARD


def test_deferral_ratios_change_only_cascades(finished):
    with finished.edit() as config:
        config["cascade"]["deferral_ratios"] = [0.25]
    assert finished.plan() == CASCADES | BOARD


def test_mc_dropout_settings_change_only_heads(finished):
    with finished.edit() as config:
        config["mc_dropout"]["levels"] = [0.7]
    assert finished.plan() == HEADS | BOARD
    with finished.edit() as config:
        config["mc_dropout"]["training"]["hidden"] = 9
    assert finished.plan() == head("beta") | BOARD


def test_heads_are_trained_anew_if_what_they_are_put_on_changes(finished):
    with finished.edit() as config:
        config["mc_dropout"]["training"]["backbone"] = "frozen"
        config["mc_dropout"]["start"] = "finetune"
    assert finished.plan() == set(), "said or not, it is the same"
    with finished.edit() as config:
        config["mc_dropout"]["training"]["backbone"] = "tuned"
    assert finished.plan() == head("beta") | BOARD
    finished.snakemake("--cores", "2")
    with finished.edit() as config:
        config["mc_dropout"]["start"] = "pretrained"
    assert finished.plan() == head("beta") | BOARD
    finished.snakemake("--cores", "2")
    with finished.edit() as config:
        config["models"]["beta"]["finetune"] = {"epochs": 3}
    again = finished.plan()
    assert weights("beta") < again
    assert not again & head("beta"), "the heads are not put on what was fine-tuned"
    with finished.edit() as config:
        del config["models"]["beta"]["finetune"]
        config["models"]["beta"]["options"]["width"] = 5
    assert weights("beta") | head("beta") < finished.plan()
    with finished.edit() as config:
        config["models"]["beta"]["options"]["width"] = 2
        del config["mc_dropout"]["start"], config["mc_dropout"]["training"]["backbone"]
    assert finished.plan() == head("beta") | BOARD


def test_a_head_on_a_network_as_it_came_does_not_wait_for_its_fine_tuning(tmp_path):
    config = three_models()
    config["mc_dropout"]["start"] = "pretrained"
    config["mc_dropout"]["training"]["backbone"] = "tuned"
    project = Project.create(tmp_path / "project", config)
    assert project.plan() == whole_dataset("digits") | BOARD
    trained = "results/checkpoints/digits/beta/mc_dropout/seed0.safetensors"
    assert project.plan("--", trained) == {
        "prepare_dataset digits", "draw_splits digits 0", "train_mc_dropout digits beta 0",
    }  # fmt: skip


def test_quantisation_settings_change_only_what_is_quantised(finished):
    with finished.edit() as config:
        config["mc_dropout"]["calibration_images"] = 20
    quantised = {job for seed in SEEDS for job in quantised_jobs("beta", seed)}
    assert finished.plan() == quantised | HEADS | BOARD
    with finished.edit() as config:
        config["mc_dropout"] |= {"calibration_images": 10, "quantise": False}
    assert finished.plan() == HEADS | BOARD


def test_heads_come_and_go(finished):
    with finished.edit() as config:
        config["mc_dropout"]["models"].append("gamma")
    assert finished.plan() == head("gamma") | BOARD
    with finished.edit() as config:
        del config["mc_dropout"]
    assert finished.plan() == BOARD


def test_sampled_networks_come_and_go(finished):
    passes = {f"cache_passes digits gamma {seed}" for seed in SEEDS}
    with finished.edit() as config:
        config["mc_dropout"]["full_network"] = {"models": ["gamma"], "passes": 3}
    assert finished.plan() == passes | {"evaluate_passes digits gamma"} | BOARD
    shift = "results/logits/digits/gamma/passes/seed0/shift.parquet"
    assert shift in finished.snakemake("-n").output
    with finished.edit() as config:
        config["mc_dropout"]["full_network"]["shift"] = False
    assert finished.plan() == passes | {"evaluate_passes digits gamma"} | BOARD
    assert shift not in finished.snakemake("-n").output
    with finished.edit() as config:
        del config["mc_dropout"]["full_network"]
    assert finished.plan() == set()


def test_sweeps_come_and_go(finished):
    with finished.edit() as config:
        config["gatekeeper"]["pairs"]["gamma"] = {"large": "alpha"}
    assert finished.plan() == sweep("gamma") | BOARD
    with finished.edit() as config:
        del config["gatekeeper"]
    assert finished.plan() == BOARD


@pytest.mark.parametrize("alphas", [[0.3, 0.5, 0.7], [0.7]], ids=["another", "fewer"])
def test_other_alphas_repeat_only_their_sweep(finished, alphas):
    with finished.edit() as config:
        config["gatekeeper"]["alphas"] = alphas
    assert finished.plan() == sweep("beta") | BOARD
    with finished.edit() as config:
        config["gatekeeper"]["alphas"] = [0.7, 0.3]
    assert finished.plan() == set(), "the same ones in another order"


@pytest.mark.parametrize(
    "changes", [{"training": {"epochs": 2, "learning_rate": 0.001}}, {"anchor": 0.5}], ids=str
)
def test_other_settings_repeat_only_their_sweep(finished, changes):
    with finished.edit() as config:
        config["gatekeeper"] |= changes
    assert finished.plan() == sweep("beta") | BOARD


def test_another_large_model_trains_anew_only_if_it_takes_part(finished):
    with finished.edit() as config:
        config["gatekeeper"]["pairs"]["beta"]["large"] = "gamma"
    assert finished.plan() == {"evaluate_gatekeeper digits beta"} | BOARD
    with finished.edit() as config:
        config["gatekeeper"]["targets"] = "large"
    finished.snakemake("--cores", "2")
    with finished.edit() as config:
        config["gatekeeper"]["pairs"]["beta"]["large"] = "alpha"
    assert finished.plan() == sweep("beta") | BOARD
    with finished.edit() as config:
        config["models"]["alpha"]["finetune"] = {"epochs": 3}
    jobs = finished.plan()
    assert weights("alpha") | sweep("beta") <= jobs
    assert not jobs & weights("beta")


def test_a_new_seed_trains_only_itself(finished):
    with finished.edit() as config:
        config["seeds"] = [0, 1, 2]
    trained = set().union(*(weights(model, [2]) for model in MODELS))
    trained |= head("beta", [2]) | sweep("beta", [2])
    assert finished.plan() == {"draw_splits digits 2"} | trained | EVALUATIONS | BOARD


def test_a_removed_seed_trains_nothing(finished):
    with finished.edit() as config:
        config["seeds"] = [1]
    assert finished.plan() == EVALUATIONS | BOARD


def test_a_dataset_comes_and_goes(finished):
    with finished.edit() as config:
        config["datasets"]["more_digits"] = config["datasets"]["digits"]
    assert finished.plan() == whole_dataset("more_digits") | BOARD
    finished.snakemake("--cores", "2")
    with finished.edit() as config:
        del config["datasets"]["more_digits"]
    assert finished.plan() == BOARD, "the board must lose the rows of the removed dataset"


def test_code_that_is_only_touched_schedules_nothing(finished):
    for module in finished.path("workflow_scripts").glob("**/*.py"):
        module.touch()
    assert finished.plan() == set()


def test_changed_metrics_repeat_evaluations_but_no_training(finished):
    module = finished.path("workflow_scripts/sidekick/metrics/calibration.py")
    text = module.read_text()
    module.write_text(text + "\nCHANGED = True\n")
    assert finished.plan() == EVALUATIONS | BOARD
    module.write_text(text)
    assert finished.plan() == set(), "the change was taken back"


def test_changed_scripts_and_training_code_repeat_nothing_costly(finished):
    library = finished.path("workflow_scripts/sidekick")
    scripts = list(finished.path("workflow_scripts").glob("*.py"))
    for module in [*scripts, *(library / "training").glob("*.py"), library / "jobs.py"]:
        module.write_text(module.read_text() + "\n# changed\n")
    assert not {job for job in finished.plan() if job.startswith(tuple(REVISIONS))}


def test_a_bumped_revision_repeats_its_rule(finished):
    module = finished.path("workflow_scripts/sidekick/recipes.py")
    text = module.read_text()
    assert '"cache_logits": 2' in text
    module.write_text(text.replace('"cache_logits": 2', '"cache_logits": 3'))
    jobs = finished.plan()
    assert {job for job in jobs if job.startswith("cache_logits")}
    assert not {job for job in jobs if job.startswith(("finetune", "count_flops"))}


def test_a_moved_project_is_still_finished(finished, tmp_path):
    moved = finished.folder.rename(tmp_path / "elsewhere")
    for module in (moved / "workflow_scripts").glob("**/*.py"):
        module.touch()
    assert Project(moved).plan() == set()


def test_a_given_configuration_replaces_the_default_one(finished, tmp_path):
    config = three_models()
    config["models"] = {"zeta": small_cnn(7), "eta": small_cnn(8)}
    config["mc_dropout"]["models"] = ["eta"]
    config["gatekeeper"]["pairs"] = {"eta": {"large": "zeta"}}
    other = Project(tmp_path / "other")
    other.folder.mkdir()
    other.config = config
    jobs = finished.plan("--configfile", str(other.path("config.yaml")))
    assert {job.split()[2] for job in jobs if job.startswith("finetune")} == {"zeta", "eta"}
    assert not {job for job in jobs if set(MODELS) & set(job.split())}
    beside = finished.path("configs")
    beside.mkdir()
    other.path("config.yaml").rename(beside / "other.yaml")
    assert finished.plan("--configfile", "configs/other.yaml") == jobs


def test_switching_environments_on_repeats_nothing():
    profile = yaml.safe_load((ROOT / "profiles/default/profile.yaml").read_text())
    # `--sdm conda` needs conda even for a dry run; this is what decides.
    assert sorted(profile["rerun-triggers"]) == ["mtime", "params"]
    assert "software-deployment-method" not in profile


def test_results_can_live_in_another_folder(tmp_path):
    project = Project.create(tmp_path / "project", three_models())
    other = tmp_path / "other"
    other.mkdir()
    jobs = project.plan("--directory", str(other), "--configfile", "config.yaml")
    assert jobs == whole_dataset("digits") | BOARD


def searched(model, dataset="digits", trials=3):
    """The jobs of a model that is searched for, with soups and an ensemble of trials."""
    names = [f"trial{number:02d}" for number in range(trials)]
    jobs = set()
    for seed in SEEDS:
        place = f"{dataset} {model}"
        jobs |= {f"linear_probe {place} {seed}", f"select_trial {place} {seed}"}
        jobs |= {f"finetune {place} {name} {seed}" for name in names}
        cached = ("finetune", "soup_greedy", "soup_uniform", *names)
        jobs |= {f"cache_logits {place} {name} {seed}" for name in cached}
        jobs |= {f"make_soup {place} {seed}", f"ensemble_trials {place} {seed}"}
    return jobs | {f"count_flops {dataset} {model}", f"evaluate_single {dataset} {model}"}


def test_probes_trials_soups_and_distillation_are_jobs_of_their_own(tmp_path):
    project = Project.create(tmp_path / "project", whole_training())
    distilled = {
        f"{rule} digits beta {rest}{seed}"
        for seed in SEEDS
        for rule, rest in (("distill", ""), ("cache_logits", "distill "))
    }
    assert project.plan() == (
        {"prepare_dataset digits", *(f"draw_splits digits {seed}" for seed in SEEDS)}
        | searched("alpha")
        | weights("beta")
        | distilled
        | {"count_flops digits beta", "evaluate_single digits beta", "evaluate_pairs digits beta"}
        | BOARD
    )


def test_a_search_without_soups_and_ensemble_caches_only_the_best(tmp_path):
    config = whole_training()
    config["models"]["alpha"]["finetune"]["search"] = SEARCH
    jobs = Project.create(tmp_path / "project", config).plan()
    cached = {job for job in jobs if job.startswith("cache_logits digits alpha")}
    assert cached == {f"cache_logits digits alpha finetune {seed}" for seed in SEEDS}
    assert not {job for job in jobs if job.startswith("make_soup")}


def test_more_trials_keep_the_ones_that_are_done(tmp_path):
    project = Project.create(tmp_path / "project", whole_training())
    project.use_stubs()
    project.snakemake("--cores", "2")
    assert project.plan() == set()
    with project.edit() as config:
        config["models"]["alpha"]["finetune"]["search"]["trials"] = 4
    jobs = project.plan()
    trained = {job for job in jobs if job.startswith("finetune")}
    assert trained == {f"finetune digits alpha trial03 {seed}" for seed in SEEDS}
    assert {f"ensemble_trials digits alpha {seed}" for seed in SEEDS} < jobs
    with project.edit() as config:
        config["models"]["alpha"]["finetune"]["linear_probe"]["epochs"] = 9
    assert {f"linear_probe digits alpha {seed}" for seed in SEEDS} < project.plan()


def test_another_distillation_repeats_itself_and_what_it_is_part_of(tmp_path):
    config = whole_training()
    config["models"]["gamma"] = small_cnn(3)
    project = Project.create(tmp_path / "project", config)
    project.use_stubs()
    project.snakemake("--cores", "2")
    with project.edit() as config:
        config["models"]["beta"]["distill"]["weight"] = 0.2
    distilled = {
        f"{rule} digits beta {rest}{seed}"
        for seed in SEEDS
        for rule, rest in (("distill", ""), ("cache_logits", "distill "))
    }
    assert project.plan() == BOARD | PAIRS | {"evaluate_single digits beta"} | distilled

    project.snakemake("--cores", "2")
    with project.edit() as config:
        del config["models"]["beta"]["distill"]
    # The list of beta's caches, on which later models' pair jobs depend, is another.
    again = {"evaluate_single digits beta", "evaluate_pairs digits gamma"}
    assert project.plan() == BOARD | again
    project.snakemake("--cores", "2")
    with project.edit() as config:
        config["models"]["gamma"]["distill"] = {"teacher": "alpha", "temperature": 2, "weight": 1}
    jobs = project.plan()
    assert {f"distill digits gamma {seed}" for seed in SEEDS} < jobs
    assert {"evaluate_single digits gamma", "evaluate_pairs digits gamma"} < jobs
    assert "evaluate_pairs digits beta" not in jobs


def test_a_sweep_of_a_distilled_model_goes_on_from_it(tmp_path):
    config = whole_training()
    config["gatekeeper"] = {
        "pairs": {"beta": {"large": "alpha", "start": "distill"}},
        "alphas": [0.5],
        "training": {"epochs": 1, "learning_rate": 0.001},
    }
    project = Project.create(tmp_path / "project", config)
    before = project.plan()
    assert sweep("beta") < before
    project.use_stubs()
    project.snakemake("--cores", "2")
    with project.edit() as config:
        config["models"]["beta"]["distill"]["weight"] = 0.2
    assert {f"distill digits beta {seed}" for seed in SEEDS} | sweep("beta") < project.plan()
    with project.edit() as config:
        config["models"]["beta"]["distill"]["weight"] = 0.5
        config["gatekeeper"]["pairs"]["beta"]["start"] = "finetune"
    assert project.plan() == sweep("beta") | BOARD


def test_folds_of_a_sweep_start_from_the_linear_probe(tmp_path):
    config = whole_training()
    config["finetune"]["augmentation"]["mixup"] = 0
    config["models"]["beta"]["finetune"] = {
        "linear_probe": {"epochs": 2, "batch_size": 20, "learning_rate": 0.01}
    }
    config["gatekeeper"] = {
        "pairs": {"beta": {"large": "alpha"}},
        "correctness": "cross_fitted",
        "training": {"epochs": 1, "learning_rate": 0.001},
    }
    project = Project.create(tmp_path / "project", config)
    project.use_stubs()
    project.snakemake("--cores", "2")
    probe = "results/checkpoints/digits/beta/linear_probe/seed0.safetensors"
    sweep_of_seed = "results/checkpoints/digits/beta/ce_control/seed0.safetensors"
    outcome = project.snakemake("--dry-run", "--forcerun", "gatekeeper", "--", sweep_of_seed)
    assert probe in outcome.output


def test_files_are_downloaded_where_none_are_given(tmp_path):
    project = Project.create(tmp_path / "project", downloaded())
    fetched = {job for job in project.plan() if job.startswith("download")}
    overlays = {f"download_dataset frost frost{n}" for n in range(1, 6)}
    assert fetched == {"download_dataset tinyimagenet tiny", *overlays}

    with project.edit() as config:
        config["datasets"]["tiny"]["shift"]["corruptions"].remove("frost")
    assert {job for job in project.plan() if job.startswith("download")} == fetched - overlays

    archive = tmp_path / "mine.zip"
    archive.touch()
    with project.edit() as config:
        config["datasets"]["tiny"]["path"] = str(archive)
    assert not {job for job in project.plan() if job.startswith("download")}


def test_where_files_come_from_repeats_nothing(tmp_path):
    project = Project.create(tmp_path / "project", downloaded())
    project.use_stubs()
    project.snakemake("--cores", "2")
    with project.edit() as config:
        config["downloads"] = {"mirror": "https://example.org", "offline": True}
        config["datasets"]["tiny"]["mirror"] = "https://example.com"
    assert project.plan() == set()
    with project.edit() as config:
        config["datasets"]["tiny"]["checksum"] = "md5:" + "0" * 32
    assert "download_dataset tinyimagenet tiny" in project.plan()


def test_the_benchmark_of_quantisation_quantises_every_model(tmp_path):
    config = yaml.safe_load((ROOT / "configs" / "quantisation.yaml").read_text())
    jobs = Project.create(tmp_path / "project", config).plan()
    assert {job for job in jobs if job.startswith("quantise")} == {
        f"quantise digits {model} {seed}" for model in config["models"] for seed in config["seeds"]
    }
    assert not {job for job in jobs if job.startswith("download")}


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "food101", "tinyimagenet"])
def test_a_ready_made_benchmark_can_be_planned(name, tmp_path):
    config = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text())
    jobs = Project.create(tmp_path / "project", config).plan()
    trained = {job for job in jobs if job.startswith("finetune")}
    searches = sum("search" not in (m.get("finetune") or {}) for m in config["models"].values())
    others = len(config["models"]) - searches
    trials = config["finetune"]["search"]["trials"]
    assert len(trained) == len(config["seeds"]) * (searches * trials + others)
    assert {job for job in jobs if job.startswith("download")}
    assert f"evaluate_single {name} resnet50" in jobs
    [small] = config["gatekeeper"]["pairs"]
    assert config["gatekeeper"]["alphas"] == [0.1, 0.3, 0.5, 0.7, 0.9]
    assert sweep(small, config["seeds"], name) < jobs
