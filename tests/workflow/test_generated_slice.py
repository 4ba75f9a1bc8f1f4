"""GSM8K's ready-made benchmark on made problems, with tiny models in the hub's own layout.

Everything is real but for the sizes: files as the hub has them, checkpoints and tokenizers that
transformers loads, training, generation, evaluation and the board.
"""

import polars as pl
import pyarrow.parquet as pq
import pytest
import yaml

from sidekick.artifacts import read_facts, read_json
from sidekick.leaderboard import GENERATION_FIGURES
from unit.datasets.asked import GSM8K, SHARD, parquet
from unit.models.published import publish
from workflow.project import ROOT, Project

pytestmark = pytest.mark.slow

SPLITS = {"train": 24, "val": 8, "test": 10}


def problem(number):
    """A problem whose answer is one of few, so that chance gets some right."""
    text = f"Tom has {number} pens and gets {number % 3} more. Is the sum odd, 1, or even, 2?"
    return {"question": text, "answer": f"So it is.\n#### {1 + (number + number % 3 + 1) % 2}"}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """The ready-made configuration with tiny models, one seed and few problems."""
    folder = tmp_path_factory.mktemp("gsm8k")
    config = yaml.safe_load((ROOT / "configs" / "gsm8k.yaml").read_text())
    for part, (first, size) in {"train": (0, 48), "test": (100, 12)}.items():
        rows = [problem(first + number) for number in range(size)]
        parquet(folder / "hub" / f"{part}{SHARD}", rows, GSM8K)
    texts = [f"Question: {p['question']}\nAnswer: {p['answer']}" for p in map(problem, range(48))]
    sizes = {"gemma2_9b": {"num_hidden_layers": 3}, "gemma2_2b": {"num_hidden_layers": 1}}
    for model, entry in config["models"].items():
        entry["pretrained"] = publish(folder / model, "gemma2", texts, **sizes[model])
        entry["dtype"] = "float32"
    config["datasets"]["gsm8k"] |= {"path": str(folder / "hub"), "splits": SPLITS}
    config["datasets"]["gsm8k"].pop("checksum", None)
    config["datasets"]["gsm8k"]["task"] |= {"shots": 2, "max_new_tokens": 12}
    training = config["language"]["finetune"]
    training |= {"steps": 40, "batch_size": 8, "accumulation": 2, "learning_rate": 0.01}
    training |= {"precision": "float32", "lora": {"rank": 4, "alpha": 8}}
    config["language"]["gatekeeper"]["training"] |= {"steps": 4}
    config["gatekeeper"]["alphas"] = [0.5]
    config["evaluation"]["replicates"] = {"test": 50, "shift": 20}
    config["compute"] = {"device": "cpu", "threads": 1}
    return config


def test_gsm8k_from_the_hubs_files_to_the_board(tmp_path, config):
    project = Project.create(tmp_path / "project", config)
    project.snakemake("--cores", "2", HF_HUB_OFFLINE="1")
    board = pl.read_parquet(project.path("results/leaderboard/leaderboard.parquet"))
    assert board.filter(pl.col("value").is_nan() & pl.col("note").is_null()).is_empty()
    assert set(board["predictor"]) == {"single", "cascade"}
    assert set(board["recipe"]) == {
        "finetune", "ce_control", "gatekeeper_a50", "gatekeeper_chosen", "finetune+ce_control",
        "finetune+gatekeeper_a50", "finetune+gatekeeper_chosen",
    }  # fmt: skip
    found = board.filter((pl.col("predictor") == "single") & (pl.col("metric") == "truncated"))
    assert found["samples"].unique().to_list() == [SPLITS["test"]]
    for model in config["models"]:
        folder = project.path(f"results/generations/gsm8k/{model}")
        for split in ("val", "test"):
            path = folder / "finetune" / "seed0" / f"{split}.parquet"
            assert pq.read_metadata(path).num_rows == SPLITS[split]
            facts = read_facts(path)
            assert (facts["recipe"], facts["shots"], facts["max_new_tokens"]) == (
                "finetune", "2", "12",
            )  # fmt: skip
            assert facts["split"] == split
    card = read_json(project.path("results/datasets/gsm8k/dataset.json"))
    assert card["task"] == "generation"
    for figure in GENERATION_FIGURES:
        assert project.path(f"results/leaderboard/figures/gsm8k/{figure}.svg").stat().st_size
    assert "gsm8k" in project.path("results/leaderboard/summary.txt").read_text()
    assert project.plan() == set()
