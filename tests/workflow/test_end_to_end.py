"""The whole pipeline on two tiny models: what it leaves behind, and that it repeats."""

import json
import re

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from workflow.configs import small_config
from workflow.project import Project, jobs_of

pytestmark = pytest.mark.slow

COLUMNS = [
    "benchmark", "dataset", "split", "corruption", "severity", "predictor", "variant", "large",
    "small", "recipe", "seeds", "samples", "gmacs", "flops_balance", "metric", "value", "low",
    "high", "baseline", "delta", "delta_low", "delta_high", "higher_is_better", "note",
]  # fmt: skip

# Each method with the control that it must beat. `30 passes` are 3 here, `defer50` is the config's.
CONTROLS = {
    ("temperature", "scaled"): "single:raw",
    ("ensemble", "mean_softmax"): "temperature:scaled",
    ("duo", "weighted"): "temperature:scaled",
    ("duo", "unweighted"): "temperature:scaled",
    ("duo", "uq_only"): "temperature:scaled",
    ("duo", "weighted_as_released"): "temperature:scaled",
    ("duo", "noise_sidekick"): "temperature:scaled",
    ("cascade", "max_softmax"): "cascade:random",
    ("cascade", "max_softmax_defer50"): "cascade:random_defer50",
    ("duo_cascade", "max_softmax"): "cascade:max_softmax",
    ("duo_cascade", "max_softmax_defer50"): "cascade:max_softmax_defer50",
    ("mc_dropout", "mean_3"): "mc_dropout:deterministic",
    ("mc_dropout", "interval80_3"): "mc_dropout:deterministic_at_interval80_3",
    ("mc_dropout", "interval80_closed"): "mc_dropout:deterministic_at_interval80_closed",
    ("mc_dropout", "score_closed"): "mc_dropout:deterministic",
    ("mc_dropout", "mean_full_3"): "single:raw",
    ("mc_dropout", "interval80_full_3"): "mc_dropout:deterministic_at_interval80_full_3",
}
OF_SWEEP = pl.col("recipe").str.contains("gatekeeper_|ce_control")
METRICS = {
    "accuracy", "macro_f1", "nll", "brier", "ece", "auroc", "aurc", "e_aurc", "augrc", "overlap",
    "s_d", "deferral_area", "accuracy_budget_50", *(f"sac_{level}" for level in range(90, 100)),
}  # fmt: skip


@pytest.fixture
def board(real_run) -> pl.DataFrame:
    return pl.read_parquet(real_run.path("results/leaderboard/leaderboard.parquet"))


def test_every_declared_artifact_is_there_and_no_other(real_run):
    lines = real_run.snakemake("--summary").output.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("output_file"))
    rows = [line.split("\t") for line in lines[start + 1 :] if "\t" in line]
    assert {row[4] for row in rows} == {"ok"}
    declared = {row[0] for row in rows}
    assert len(declared) > 60
    found = {
        str(path.relative_to(real_run.folder))
        for path in real_run.path("results").rglob("*")
        if path.is_file() and not {"logs", "benchmarks"} & set(path.parts)
    }
    # Kept by the workflow itself: the order in which models came.
    assert found - declared == {"results/evaluation/pairs/models.json"}
    assert not declared - found


def test_the_layout_is_the_documented_one(real_run):
    expected = [
        "datasets/digits/samples.parquet",
        "datasets/digits/shift.parquet",
        "datasets/digits/splits/seed1.parquet",
        "checkpoints/digits/alpha/finetune/seed0.safetensors",
        "checkpoints/digits/beta/mc_dropout/seed1.safetensors",
        "checkpoints/digits/beta/gatekeeper_a30/seed0.safetensors",
        "checkpoints/digits/beta/ce_control/seed1.curve.parquet",
        "flops/digits/alpha.json",
        "logits/digits/alpha/finetune/seed0/val.parquet",
        "logits/digits/alpha/finetune/seed0/test.parquet",
        "quantised/digits/beta/seed1.int8.onnx",
        "logits/digits/beta/mc_dropout/seed1/shift.parquet",
        "logits/digits/beta/mc_dropout_int8/seed0/val.parquet",
        "logits/digits/beta/gatekeeper_a70/seed1/test.parquet",
        "evaluation/gatekeeper/digits/beta/metrics.parquet",
        "leaderboard/leaderboard.parquet",
        "leaderboard/leaderboard.csv",
        "leaderboard/figures/digits/aurc_vs_gmacs.svg",
        "leaderboard/figures/digits/aurc_vs_gmacs.png",
        "leaderboard/figures/digits/mc_dropout_examples/beta.svg",
    ]
    missing = [name for name in expected if not real_run.path(f"results/{name}").stat().st_size]
    assert not missing


def test_every_job_left_a_log_and_a_benchmark(real_run):
    jobs = [job.split() for job in jobs_of(real_run.path("output.txt").read_text())]
    assert len(jobs) == 39
    for rule, *wildcards in jobs:
        if rule == "all":
            continue
        if wildcards and wildcards[-1].isdigit():
            wildcards[-1] = f"seed{wildcards[-1]}"
        stem = "/".join([rule, *wildcards])
        assert real_run.path(f"results/logs/{stem}.log").exists(), stem
        assert real_run.path(f"results/benchmarks/{stem}.tsv").stat().st_size, stem


def test_parquet_files_say_where_they_came_from(real_run):
    revision = real_run.revision()
    everywhere = {"benchmark": "tiny", "dataset": "digits", "classes": "10"}
    model = {"model": "beta", "architecture": "small_cnn", "seed": "1"}
    expected = {
        "datasets/digits/samples": everywhere,
        "datasets/digits/shift": everywhere | {"split": "shift"},
        "datasets/digits/splits/seed1": everywhere | {"seed": "1"},
        "checkpoints/digits/beta/finetune/seed1.curve": everywhere | model | {"recipe": "finetune"},
        "checkpoints/digits/beta/mc_dropout/seed1.curve": everywhere
        | model
        | {"recipe": "mc_dropout"},
        "checkpoints/digits/beta/gatekeeper_a70/seed1.curve": everywhere
        | model
        | {"recipe": "gatekeeper_a70"},
        "evaluation/pairs/digits/beta/metrics": {"benchmark": "tiny", "dataset": "digits"},
        "evaluation/gatekeeper/digits/beta/metrics": {"benchmark": "tiny", "dataset": "digits"},
        "leaderboard/leaderboard": {"benchmark": "tiny"},
    } | {
        f"logits/digits/beta/{recipe}/seed1/{split}": everywhere
        | model
        | {"recipe": recipe, "split": split}
        for recipe in (
            "finetune",
            "mc_dropout",
            "mc_dropout_int8",
            "gatekeeper_a30",
            "ce_control",
        )
        for split in ("val", "test", "shift")
    }
    for name, facts in expected.items():
        metadata = pq.read_schema(real_run.path(f"results/{name}.parquet")).metadata
        found = {key.decode(): value.decode() for key, value in metadata.items()}
        assert found | facts == found, name
        assert found["dataset_revision"] if "classes" in facts else True, name
        # A short hash; the project's own configuration is committed, so nothing is dirty.
        assert re.fullmatch(r"[0-9a-f]{7,}", found["git_revision"]), found["git_revision"]
        assert revision.startswith(found["git_revision"]), name
        software = json.loads(found["software"])
        assert {"sidekick", "python", "numpy", "pyarrow", "torch", "timm"} <= set(software), name


def test_the_board_has_the_documented_columns_and_metrics(real_run, board):
    assert board.columns == COLUMNS
    assert set(board["metric"]) >= METRICS
    keys = [*COLUMNS[: COLUMNS.index("seeds")], "metric"]
    assert not board.select(keys).is_duplicated().any()
    assert set(board["split"]) == {"test", "shift"}
    assert set(board["corruption"].drop_nulls()) == {"gaussian_noise", "contrast", "mean"}
    assert set(board["seeds"]) == {2}
    wide = pl.read_csv(real_run.path("results/leaderboard/leaderboard.csv"))
    assert len(wide) == len(board.select(keys[:-1]).unique())


@pytest.mark.parametrize("method", CONTROLS, ids=":".join)
def test_every_method_is_on_the_board_with_its_control(board, method):
    predictor, variant = method
    rows = board.filter(
        (pl.col("predictor") == predictor) & (pl.col("variant") == variant) & ~OF_SWEEP
    )
    assert set(rows["split"]) == {"test", "shift"}
    compared = rows.filter(pl.col("baseline").is_not_null())
    assert set(compared["split"]) == {"test", "shift"}
    control = CONTROLS[method]
    models = (pl.col("large") + ("+" + pl.col("small")).fill_null("")).alias("models")
    for label, both in compared.select("baseline", models).unique().iter_rows():
        of_large = f"{control}:{both.split('+')[0]}"
        # The recipe of a control follows, unless it is the usual one.
        assert label.partition("@")[0] in {f"{control}:{both}", of_large}
    recipe = (
        pl.when(pl.col("recipe") != "finetune").then("@" + pl.col("recipe")).otherwise(pl.lit(""))
    )
    name = pl.concat_str(["predictor", "variant", models], separator=":") + recipe
    known = board.select(name.alias("name").unique()).to_series()
    assert set(compared["baseline"]) <= set(known), "a control has no rows of its own"


@pytest.mark.parametrize(
    ("predictor", "variant", "models"),
    [
        ("single", "raw", "beta"),
        ("temperature", "scaled", "beta"),
        ("cascade", "max_softmax", "alpha+beta"),
        ("duo_cascade", "max_softmax", "alpha+beta"),
    ],
)
def test_a_sweep_is_on_the_board_with_both_its_controls(board, predictor, variant, models):
    large = "finetune+" if "+" in models else ""
    untuned = f"{predictor}:{variant}:{models}"
    control = f"{untuned}@{large}ce_control"

    def baselines(variant, recipe):
        place = {"predictor": predictor, "variant": variant, "recipe": f"{large}{recipe}"}
        rows = board.filter(**place)
        assert set(rows["split"]) == {"test", "shift"}
        return set(rows["baseline"].drop_nulls())

    assert baselines(variant, "ce_control") == {untuned}
    for recipe in ("gatekeeper_a30", "gatekeeper_a70", "gatekeeper_chosen"):
        assert baselines(variant, recipe) == {control}
        assert baselines(f"{variant}_vs_untuned", recipe) == {untuned}


def test_nothing_temporary_is_left(real_run):
    left = [
        str(path)
        for path in real_run.path("results").rglob("*")
        if path.suffix in (".tmp", ".pt") or ".resume" in path.name
    ]
    assert not left
    assert not list(real_run.path(".snakemake").glob("incomplete/*"))
    assert not list(real_run.path(".snakemake").glob("locks/*"))


def test_the_run_ends_with_the_top_of_the_board(real_run):
    output = real_run.path("output.txt").read_text()
    summary = real_run.path("results/leaderboard/summary.txt").read_text()
    assert summary in output
    after = output[output.index(summary) + len(summary) :]
    assert "Execute" not in after, "the table should come last"
    assert "Figures: results/leaderboard/figures" in summary


def test_a_second_run_does_nothing_within_seconds(real_run, tmp_path):
    again = real_run.copy(tmp_path / "again")
    outcome = again.snakemake("--cores", "2")
    assert "Nothing to be done" in outcome.output
    assert outcome.seconds < 10


def test_a_run_from_scratch_on_one_core_gives_the_same_values(real_run, tmp_path):
    repeat = Project.create(tmp_path / "repeat", small_config())
    repeat.snakemake("--cores", "1", "collect_leaderboard")
    assert_same_board(repeat, real_run)


def test_the_smallest_benchmark_gets_its_board(tmp_path):
    """One model, one seed, no head and no shift: nothing to pair, to average or to corrupt."""
    config = small_config()
    config["seeds"] = [3]
    del config["models"]["beta"], config["mc_dropout"], config["gatekeeper"]
    del config["datasets"]["digits"]["shift"]
    project = Project.create(tmp_path / "project", config)
    project.snakemake("--cores", "2")
    board = pl.read_parquet(project.path("results/leaderboard/leaderboard.parquet"))
    assert board.columns == COLUMNS
    assert set(board["predictor"]) == {"single", "temperature"}
    assert set(board["split"]) == {"test"}


def test_a_training_that_diverges_says_so(real_run, tmp_path):
    project = real_run.copy(tmp_path / "project")
    with project.edit() as config:
        config["models"]["beta"]["finetune"] = {"learning_rate": 1e9}
    target = "results/checkpoints/digits/beta/finetune/seed0.safetensors"
    outcome = project.snakemake("--cores", "1", target, succeeds=False)
    log = project.path("results/logs/finetune/digits/beta/finetune/seed0.log").read_text()
    for text in (outcome.output, log):
        assert "not finite" in text
        assert "learning_rate" in text
    assert "Traceback" not in outcome.output
    assert not project.path(target).exists()


def assert_same_board(project: Project, reference: Project) -> None:
    """Compare all columns of the tables exactly; NaN equals NaN."""
    for name in ("leaderboard.parquet", "curves.parquet"):
        tables = [
            pl.read_parquet(p.path(f"results/leaderboard/{name}")) for p in (project, reference)
        ]
        assert_frame_equal(*tables, check_exact=True)
    for name in ("fits.csv", "leaderboard.csv", "summary.txt"):
        texts = [p.path(f"results/leaderboard/{name}").read_text() for p in (project, reference)]
        assert texts[0] == texts[1], name
