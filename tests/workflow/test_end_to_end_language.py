"""The whole pipeline on two tiny language models: what it leaves behind, and that it repeats."""

import json

import polars as pl
import pyarrow.parquet as pq
import pytest

from sidekick.models.checkpoints import describe
from workflow.configs import mixed
from workflow.project import Project

pytestmark = pytest.mark.slow

LOGITS = "results/logits/questions"


def two_models():
    """The language models of the mixed configuration but one, with one seed."""
    config = mixed()
    config["seeds"] = [0]
    del config["datasets"]["digits"], config["finetune"], config["models"]["middle"]
    del config["gatekeeper"]["pairs"]["beta"], config["gatekeeper"]["training"]
    config["gatekeeper"]["alphas"] = [0.5]
    for model in ("alpha", "beta"):
        del config["models"][model]
    return config


@pytest.fixture
def text_run(build_once) -> Project:
    """A finished benchmark, really computed. To be read only."""

    def build(folder):
        project = Project.create(folder, two_models())
        project.snakemake("--cores", "2")

    return Project(build_once("text_run", build))


@pytest.fixture
def board(text_run) -> pl.DataFrame:
    return pl.read_parquet(text_run.path("results/leaderboard/leaderboard.parquet"))


def test_every_declared_artifact_is_there_and_no_other(text_run):
    lines = text_run.snakemake("--summary").output.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("output_file"))
    rows = [line.split("\t") for line in lines[start + 1 :] if "\t" in line]
    assert {row[4] for row in rows} == {"ok"}
    declared = {row[0] for row in rows}
    assert {
        "results/checkpoints/questions/wide/finetune/seed0.safetensors",
        "results/checkpoints/questions/narrow/gatekeeper_a50/seed0.safetensors",
        "results/flops/questions/narrow.json",
        f"{LOGITS}/narrow/ce_control/seed0/test.parquet",
        f"{LOGITS}/narrow/hedge_n/seed0/val.parquet",
        "results/evaluation/gatekeeper/questions/narrow/parts.parquet",
        "results/leaderboard/parts.csv",
        "results/leaderboard/figures/questions/accuracy_by_level.svg",
    } < declared
    found = {
        str(path.relative_to(text_run.folder))
        for path in text_run.path("results").rglob("*")
        if path.is_file() and not {"logs", "benchmarks"} & set(path.parts)
    }
    assert found - declared == {"results/evaluation/pairs/models.json"}
    assert not declared - found


def test_caches_hold_choice_logits_and_what_language_models_say_besides(text_run):
    for recipe in ("finetune", "gatekeeper_a50", "ce_control", "hedge_n"):
        path = text_run.path(f"{LOGITS}/narrow/{recipe}/seed0/test.parquet")
        schema = pq.read_schema(path)
        assert {"sample_id", "label", "logits", "subject", "level"} <= set(schema.names)
        assert {"entropy", "answer_nll", "answer_tokens"} <= set(schema.names), schema.names
        facts = {key.decode(): value.decode() for key, value in schema.metadata.items()}
        assert facts["recipe"] == recipe
        assert facts["model"] == "narrow"
        assert facts["architecture"] == "llama"
        assert len(pq.read_table(path)) == 90
    software = json.loads(facts["software"])
    assert {"sidekick", "python", "torch", "transformers"} <= set(software)


def test_a_hedge_is_another_question_to_the_same_weights(text_run):
    plain, hedged = (
        pl.read_parquet(text_run.path(f"{LOGITS}/narrow/{recipe}/seed0/test.parquet"))
        for recipe in ("finetune", "hedge_n")
    )
    assert plain["sample_id"].equals(hedged["sample_id"])
    assert not plain["logit_max"].equals(hedged["logit_max"])


def test_checkpoints_stand_alone(text_run):
    path = text_run.path("results/checkpoints/questions/narrow/gatekeeper_a50/seed0.safetensors")
    description = describe(path)
    assert description.language is not None
    assert description.recipe["steps"] == 2
    curve = pl.read_parquet(path.with_suffix("").with_suffix(".curve.parquet"))
    assert len(curve)


def test_all_methods_are_on_the_board(board):
    found = set(board.select("predictor", "recipe").unique().iter_rows())
    assert {
        ("single", "finetune"),
        ("temperature", "finetune"),
        ("duo", "finetune"),
        ("cascade", "finetune"),
        ("duo_cascade", "finetune"),
        ("single", "gatekeeper_a50"),
        ("single", "ce_control"),
        ("single", "hedge_n"),
        ("cascade", "finetune+gatekeeper_chosen"),
        ("cascade", "finetune+hedge_n"),
    } <= found
    assert set(board["split"]) == {"test"}
    assert board.filter(pl.col("value").is_nan() & pl.col("note").is_null()).is_empty()
    wide, narrow = (
        board.filter(large=m, predictor="single")["gmacs"][0] for m in ("wide", "narrow")
    )
    assert wide > narrow > 0


def test_parts_are_on_the_board(text_run, board):
    parts = pl.read_parquet(text_run.path("results/leaderboard/parts.parquet"))
    samples = pl.read_parquet(text_run.path("results/datasets/questions/samples.parquet"))
    for grouping in ("subject", "level"):
        groups = set(parts.filter(grouping=grouping)["group"])
        assert groups <= set(samples[grouping])
        assert len(groups) > 1
        one = parts.filter(
            grouping=grouping, predictor="single", large="wide", metric="accuracy",
            recipe="finetune",
        )  # fmt: skip
        assert one["samples"].sum() == 90
        whole = board.filter(
            predictor="single", large="wide", metric="accuracy", recipe="finetune"
        )["value"].item()
        assert (one["value"] * one["samples"]).sum() / 90 == pytest.approx(whole)
    wide = pl.read_csv(
        text_run.path("results/leaderboard/parts.csv"), schema_overrides={"group": pl.String}
    )
    assert {"accuracy", "nll", "aurc"} < set(wide.columns)


def test_a_run_from_scratch_on_one_core_gives_the_same_bytes(text_run, tmp_path):
    repeat = Project.create(tmp_path / "repeat", two_models())
    caches = [f"{LOGITS}/narrow/{name}/seed0/test.parquet" for name in ("finetune", "ce_control")]
    repeat.snakemake("--cores", "1", *caches)
    folder = "results/checkpoints/questions/narrow"
    for name in (*caches, f"{folder}/gatekeeper_a50/seed0.safetensors"):
        assert repeat.path(name).read_bytes() == text_run.path(name).read_bytes(), name
