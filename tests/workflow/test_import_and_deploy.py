"""Models that bring their logits, and predictors that are written to be served."""

import os
import shutil
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import sidekick
from sidekick.artifacts import read_facts, read_json
from sidekick.leaderboard import FIGURES
from sidekick.logit_cache import read_logits, require_same_samples, write_logits
from workflow.configs import imported, small_cnn
from workflow.foreign import save_foreign, save_npz, save_parquet
from workflow.project import ROOT, Project, jobs_of
from workflow.slices import DATA

SHARED = {"collect_leaderboard", "plot_leaderboard", "render_page"}
BOARD = SHARED | {"pick_examples cifar"}
OF_DIGITS = SHARED | {"pick_examples digits"}
PROBABILITIES = DATA / "softmax_cifar100"
DUO = {
    "dataset": "cifar",
    "kind": "duo",
    "models": ["large", "little"],
    "seed": 0,
    "accuracies": [0.8],
}


def own_jobs(model, dataset="cifar", seeds=(0,)):
    """The jobs that only one imported model has, without its pairs."""
    return {
        f"state_flops {dataset} {model}",
        f"evaluate_single {dataset} {model}",
        *(f"import_logits {dataset} {model} imported {seed}" for seed in seeds),
    }


@pytest.fixture
def project(tmp_path):
    """A benchmark of imported models only, with one deployed predictor."""
    project = Project.create(tmp_path / "project", {**imported(), "deployment": {"duo": DUO}})
    save_foreign(project.folder)
    return project


@pytest.fixture
def done(project):
    """The same, finished by stubs."""
    project.use_stubs()
    project.snakemake("--cores", "2")
    assert project.plan() == set()
    return project


@pytest.fixture
def without_torch(tmp_path):
    """An environment in which importing PyTorch or timm fails."""
    folder = tmp_path / "without_torch"
    folder.mkdir()
    for name in ("torch", "timm"):
        (folder / f"{name}.py").write_text("raise ImportError('this must not be imported')\n")
    environment = {"PYTHONPATH": str(folder)}
    probe = [sys.executable, "-c", "import torch"]
    done = subprocess.run(probe, env=os.environ | environment, capture_output=True, text=True)
    assert "this must not be imported" in done.stderr
    return environment


# ------------------------------------------------------------------------------------ which jobs


def test_nothing_is_downloaded_prepared_or_trained(project):
    assert project.plan() == (
        own_jobs("large")
        | own_jobs("little")
        | {"evaluate_pairs cifar little", "deploy cifar duo"}
        | BOARD
    )


def test_an_appended_import_brings_only_its_own_jobs(done):
    save_npz(done.path("logits/third.npz"), "third")
    with done.edit() as config:
        entry = {"logits": {"cifar": {"test": "logits/third.npz"}}, "gmacs": 1}
        config["models"]["third"] = entry
    assert done.plan() == own_jobs("third") | {"evaluate_pairs cifar third"} | BOARD
    with done.edit() as config:
        del config["models"]["third"], config["deployment"]
    assert done.plan() == {"render_page"}


def test_a_changed_file_repeats_what_depends_on_it(done):
    affected = {
        "import_logits cifar large imported 0",
        "evaluate_single cifar large",
        "evaluate_pairs cifar little",
        "deploy cifar duo",
    } | BOARD
    save_npz(done.path("logits/large0.npz"), "large", seed=1)
    assert done.plan() == affected
    done.snakemake("--cores", "2")

    shutil.copy2(done.path("logits/large0.npz"), done.path("logits/other.npz"))
    with done.edit() as config:
        config["models"]["large"]["logits"]["cifar"]["test"] = "logits/other.npz"
    assert done.plan() == affected, "another file, as old as the first one"


def test_gmacs_and_the_division_are_settings(done):
    with done.edit() as config:
        config["models"]["large"]["gmacs"] = 3.0
    assert (
        done.plan()
        == {
            "state_flops cifar large",
            "evaluate_single cifar large",
            "evaluate_pairs cifar little",
            "deploy cifar duo",
        }
        | BOARD
    )
    with done.edit() as config:
        config["models"]["large"]["gmacs"] = 2.0
        config["datasets"]["cifar"]["val_seed"] = 1
    jobs = done.plan()
    assert {f"import_logits cifar {model} imported 0" for model in ("large", "little")} < jobs
    assert not {job for job in jobs if job.startswith("state_flops")}


def test_a_deployment_comes_changes_and_goes_alone(done):
    with done.edit() as config:
        config["deployment"]["other"] = {**DUO, "kind": "temperature", "models": ["large"]}
    # The page links deployable files.
    assert done.plan() == {"deploy cifar other", "render_page"}
    with done.edit() as config:
        del config["deployment"]["other"]
        config["deployment"]["duo"]["accuracies"] = [0.7]
    assert done.plan() == {"deploy cifar duo", "render_page"}
    with done.edit() as config:
        config["deployment"]["duo"] = {**DUO, "models": ["little", "large"]}
        config["models"]["large"]["labels"] = {"family": "new"}
    assert done.plan() <= {"deploy cifar duo", "render_page"}
    with done.edit() as config:
        del config["deployment"]
    assert done.plan() == {"render_page"}


def test_an_import_beside_trained_models_trains_nothing(finished):
    files = {split: f"theirs/{{seed}}{split}.parquet" for split in ("val", "test", "shift")}
    for split in files:
        for seed in (0, 1):
            save_parquet(finished.path(f"theirs/{seed}{split}.parquet"), "x", split, 8, seed)
    with finished.edit() as config:
        config["models"]["theirs"] = {"logits": {"digits": files}, "gmacs": 1}
    imports = own_jobs("theirs", "digits", (0, 1)) | {"evaluate_pairs digits theirs"}
    assert finished.plan() == imports | OF_DIGITS


def test_a_trained_model_may_become_an_imported_one(finished):
    files = {split: f"theirs/{{seed}}{split}.parquet" for split in ("val", "test", "shift")}
    for split in files:
        for seed in (0, 1):
            save_parquet(finished.path(f"theirs/{seed}{split}.parquet"), "x", split, 8, seed)
    with finished.edit() as config:
        config["models"]["gamma"] = {"logits": {"digits": files}, "gmacs": 1}
    imports = own_jobs("gamma", "digits", (0, 1)) | {"evaluate_pairs digits gamma"}
    assert finished.plan() == imports | OF_DIGITS
    with finished.edit() as config:
        config["models"]["gamma"] = small_cnn(3)
    assert finished.plan() == set()


def test_a_missing_file_stops_before_any_job(project):
    project.path("logits/large0.npz").unlink()
    outcome = project.snakemake("--cores", "1", succeeds=False)
    assert "models.large.logits.cifar.test: 'logits/large0.npz' does not exist" in outcome.output
    assert "Traceback" not in outcome.output
    assert not project.path("results").exists()


# --------------------------------------------------------------------------------- really run


@pytest.mark.slow
def test_one_file_per_model_makes_a_board_and_a_predictor(project, without_torch):
    with project.edit() as config:
        config["datasets"]["cifar"]["classes"] = ["ant", "bee", "cat", "dog"]
        config["deployment"]["scaled"] = {**DUO, "kind": "temperature", "models": ["large"]}
        config["deployment"]["saving"] = {**DUO, "kind": "cascade", "gmacs_budgets": [1.5]}
    outcome = project.snakemake("--cores", "2", **without_torch)
    summary = project.path("results/leaderboard/summary.txt").read_text()
    assert summary in outcome.output
    board = read_board(project)
    assert set(board["split"]) == {"test"}
    assert set(board["recipe"]) == {"imported"}
    assert set(board["samples"]) == {200}
    assert {"single", "temperature", "duo", "cascade", "duo_cascade"} <= set(board["predictor"])
    costs = board.filter(pl.col("predictor") == "single").select("large", "gmacs").unique()
    assert dict(costs.iter_rows()) == {"large": 2.0, "little": 0.2}
    duos = board.filter((pl.col("predictor") == "duo") & (pl.col("small") == "little"))
    np.testing.assert_allclose(duos["flops_balance"].to_numpy(), 0.1)
    figures = project.path("results/leaderboard/figures/cifar").glob("*.png")
    assert {path.stem for path in figures} >= set(FIGURES)

    large, little = (cached(project, model, "test") for model in ("large", "little"))
    folder = project.path("results/deployment/cifar")
    duo = sidekick.load(folder / "duo.json")
    assert duo.class_names == ["ant", "bee", "cat", "dog"]
    assert duo.document["provenance"]["benchmark"] == "imported"
    assert duo.document["provenance"]["models"][0]["imported_from"] == "large0.npz"
    right = (duo(large.logits, little.logits).prediction == large.labels).mean()
    assert right == pytest.approx(value(board, "duo", "weighted", "accuracy"), abs=0.02)
    assert sidekick.load(folder / "scaled.json")(large.logits).accepted.all()
    saving = sidekick.load(folder / "saving.json")
    assert 0 < saving.defer(little.logits).mean() < 0.65 < 0.7


@pytest.mark.slow
def test_files_of_every_split_and_seed_make_a_board_with_shift(tmp_path, without_torch):
    config = imported()
    config["seeds"] = [0, 1]
    config["datasets"]["cifar"] = {}
    for model, entry in config["models"].items():
        files = {split: f"{model}/{split}{{seed}}.parquet" for split in ("val", "test", "shift")}
        entry["logits"]["cifar"] = files
    project = Project.create(tmp_path / "project", config)
    for model in config["models"]:
        for split, rows in (("val", 120), ("test", 160), ("shift", 160)):
            for seed in (0, 1):
                path = project.path(f"{model}/{split}{seed}.parquet")
                save_parquet(path, model, split, rows, seed)
    project.snakemake("--cores", "2", **without_torch)
    board = read_board(project)
    assert set(board["split"]) == {"test", "shift"}
    assert set(board["corruption"].drop_nulls()) == {"fog", "snow", "mean"}
    assert set(board["seeds"]) == {2}
    assert "ensemble" in set(board["predictor"])


@pytest.mark.slow
@pytest.mark.skipif(not PROBABILITIES.exists(), reason="shared/data/softmax_cifar100 is not here")
def test_real_probabilities_give_the_known_numbers(tmp_path, without_torch):
    project = Project.create(tmp_path / "project", {})
    shutil.copytree(ROOT / "configs", project.path("configs"))
    project.path("logits").symlink_to(PROBABILITIES)
    arguments = ("--cores", "2", "--configfile", "configs/import_logits.yaml")
    outcome = project.snakemake(*arguments, **without_torch)
    rules = [job.split()[0] for job in jobs_of(outcome.output)]
    assert {rule: rules.count(rule) for rule in set(rules)} == {
        "all": 1,
        "import_logits": 3,
        "state_flops": 3,
        "evaluate_single": 3,
        "evaluate_pairs": 2,
        "deploy": 2,
        "collect_leaderboard": 1,
        "plot_leaderboard": 1,
        "pick_examples": 1,
        "render_page": 1,
    } | ({"evaluate_committees": 1} if "evaluate_committees" in rules else {})

    for model, expected in (("wrn_16_4", 75.43), ("densenet_bc_100", 75.41), ("lenet_5", 12.46)):
        right = [
            cache.logits.argmax(axis=1) == cache.labels
            for cache in (cached(project, model, split, "cifar100") for split in ("val", "test"))
        ]
        assert len(np.concatenate(right)) == 10_000
        assert 100 * np.concatenate(right).mean() == pytest.approx(expected, abs=1e-9)

    fits = pl.read_csv(project.path("results/leaderboard/fits.csv"))
    scaled = fits.filter(pl.col("predictor") == "temperature")
    temperatures = dict(scaled.select("large", "divisor_large").iter_rows())
    assert temperatures["wrn_16_4"] == pytest.approx(1.11, abs=0.03)
    assert temperatures["densenet_bc_100"] == pytest.approx(2.12, abs=0.06)

    # A useless sidekick changes nothing that its interval would show; plain averaging harms.
    board = read_board(project)
    pair = (pl.col("large") == "wrn_16_4") & (pl.col("small") == "lenet_5")
    duo = board.filter(pair & (pl.col("predictor") == "duo"))
    rows = {(row["variant"], row["metric"]): row for row in duo.iter_rows(named=True)}
    for metric in ("accuracy", "aurc", "ece"):
        weighted = rows["weighted", metric]
        assert weighted["delta_low"] <= 0 <= weighted["delta_high"], metric
    assert rows["unweighted", "accuracy"]["delta_high"] < 0
    assert rows["unweighted", "ece"]["delta_low"] > 0

    # What was promised on val holds on test, which no threshold has seen.
    large, small = (
        cached(project, model, "test", "cifar100") for model in ("wrn_16_4", "densenet_bc_100")
    )
    small = require_same_samples(large, small)
    for name in ("cifar100_duo", "cifar100_cascade"):
        predictor = sidekick.load(project.path(f"results/deployment/cifar100/{name}.json"))
        for entry in predictor.document["targets"]:
            decision = predictor(
                large.logits, small.logits, target=entry["name"], budget=entry["budget"]
            )
            right = decision.prediction == large.labels
            assert right[decision.accepted].mean() >= entry["accuracy"], entry["name"]
            assert decision.accepted.mean() > 0.4


@pytest.mark.slow
def test_imported_and_trained_models_are_joined_by_their_ids(real_run, tmp_path):
    project = real_run.copy(tmp_path / "project")
    # Another run's caches, in another order.
    for path in project.path("results/logits/digits/alpha/finetune").rglob("*.parquet"):
        save_shuffled(path, project.path(f"theirs/{path.parent.name}/{path.name}"))
    splits = ("val", "test", "shift")
    with project.edit() as config:
        config["models"]["theirs"] = {
            "logits": {"digits": {s: f"theirs/seed{{seed}}/{s}.parquet" for s in splits}},
            "gmacs": read_json(project.path("results/flops/digits/alpha.json"))["gmacs"],
        }
    outcome = project.snakemake("--cores", "2")
    imports = own_jobs("theirs", "digits", (0, 1)) | {"evaluate_pairs digits theirs"}
    assert set(jobs_of(outcome.output)) == imports | OF_DIGITS | {"all"}

    board = read_board(project)
    own = board.filter(pl.col("predictor").is_in(["single", "temperature"]))
    own = own.filter(pl.col("large").is_in(["alpha", "theirs"]) & (pl.col("recipe") != "distill"))
    own = own.filter(~pl.col("variant").str.contains("random"))
    parts = [
        own.filter(pl.col("large") == model).drop("large", "recipe", "baseline", "note")
        for model in ("alpha", "theirs")
    ]
    assert len(parts[0]) > 100
    assert_frame_equal(*parts, check_row_order=False)
    assert len(board.filter((pl.col("large") == "theirs") | (pl.col("small") == "theirs"))) > 500

    path = project.path("theirs/seed1/test.parquet")
    save_shuffled(path, path, spoiled=True)
    outcome = project.snakemake("--cores", "1", succeeds=False)
    assert "results/logits/digits/theirs/imported/seed1/test.parquet" in outcome.output
    assert "row" in outcome.output
    assert "Traceback" not in outcome.output


def save_shuffled(path, target, spoiled=False):
    """Write a cache's rows in another order, perhaps with one wrong label."""
    cache = read_logits(path)
    cache = cache.take(np.random.default_rng(0).permutation(len(cache)))
    labels = cache.labels.copy()
    if spoiled:
        labels[0] = (labels[0] + 1) % cache.logits.shape[1]
    logits = cache.logits.astype(np.float64) + cache.logit_max[:, None]
    own = {"corruption": cache.corruption, "severity": cache.severity}
    target.parent.mkdir(parents=True, exist_ok=True)
    write_logits(target, cache.sample_ids, labels, logits, {"model": "other"}, **own)


def read_board(project):
    return pl.read_parquet(project.path("results/leaderboard/leaderboard.parquet"))


def value(board, predictor, variant, metric):
    named = (pl.col("predictor") == predictor) & (pl.col("variant") == variant)
    return board.filter(named & (pl.col("metric") == metric))["value"].item()


def cached(project, model, split, dataset="cifar"):
    """Read an imported model's cache and check what it says of itself."""
    path = project.path(f"results/logits/{dataset}/{model}/imported/seed0/{split}.parquet")
    facts = read_facts(path)
    assert {key: facts[key] for key in ("model", "recipe", "split")} == {
        "model": model,
        "recipe": "imported",
        "split": split,
    }
    assert len(facts["imported_checksum"]) >= 64
    return read_logits(path)
