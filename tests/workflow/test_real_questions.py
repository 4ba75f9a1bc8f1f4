"""The ready-made benchmarks of questions on real items, with tiny models in the hub's layout.

The models have random weights; loading, training, scoring and evaluation are as configured.
"""

import shutil

import polars as pl
import pyarrow.parquet as pq
import pytest
import yaml

from sidekick.artifacts import read_json
from sidekick.models.checkpoints import describe
from unit.models.published import publish
from workflow.project import ROOT, Project
from workflow.slices import DATA

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (DATA / "ai2_arc").exists(), reason="the real questions (shared/data) are not here"
    ),
]

SHARD = "-00000-of-00001.parquet"
ARC = DATA / "ai2_arc" / "ARC-Challenge"
SUBJECTS = ("astronomy", "college_physics", "sociology")
LARGE, SMALL = "gemma2_9b", "gemma2_2b"


@pytest.fixture(scope="module")
def gemmas(tmp_path_factory):
    """A larger and a smaller network of the family, as folders that the hub's tools wrote."""
    folder = tmp_path_factory.mktemp("models")
    texts = pq.read_table(ARC / f"train{SHARD}")["question"].to_pylist()[:300]
    return {
        LARGE: publish(folder / LARGE, "gemma2", texts, num_hidden_layers=3),
        SMALL: publish(folder / SMALL, "gemma2", texts, num_hidden_layers=1),
    }


def shrunk(name, dataset, sizes, gemmas, **pair):
    """A ready-made configuration of one dataset and one seed, with few steps of tiny networks."""
    config = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text())
    config["seeds"] = [0]
    config["compute"] = {"device": "cpu", "threads": 1}
    config["evaluation"]["replicates"] = {"test": 50, "shift": 20}
    config["datasets"] = {dataset: config["datasets"][dataset] | {"splits": sizes}}
    for model, folder in gemmas.items():
        config["models"][model]["pretrained"] = folder
    config["language"]["finetune"] |= {"steps": 3, "batch_size": 8}
    config["language"]["gatekeeper"]["training"] |= {"steps": 2}
    config["gatekeeper"] |= {"alphas": [0.5], "pairs": {SMALL: {"large": LARGE, **pair}}}
    return config


def run(config, folder):
    """Run a benchmark; give its board."""
    project = Project.create(folder, config)
    project.snakemake("--cores", "2", HF_HUB_OFFLINE="1")
    board = pl.read_parquet(project.path("results/leaderboard/leaderboard.parquet"))
    assert board.filter(pl.col("value").is_nan() & pl.col("note").is_null()).is_empty()
    return project, board


def predictors(board):
    return set(board.select("predictor", "recipe").unique().iter_rows())


def test_arc_by_the_texts_of_options(tmp_path, gemmas):
    sizes = {"train": 24, "val": 30, "test": 40}
    config = shrunk("arc", "arc_challenge", sizes, gemmas, hedges=["n"])
    config["datasets"]["arc_challenge"]["path"] = str(ARC)
    project, board = run(config, tmp_path / "project")
    assert predictors(board) >= {
        ("single", "finetune"),
        ("single", "gatekeeper_a50"),
        ("single", "ce_control"),
        ("single", "hedge_n"),
        ("duo", "finetune"),
        ("cascade", "finetune+gatekeeper_chosen"),
    }
    card = read_json(project.path("results/datasets/arc_challenge/dataset.json"))
    assert card["classes"] == list("ABCDE")
    assert card["sizes"] == sizes
    scored = pl.read_parquet(
        project.path(f"results/logits/arc_challenge/{SMALL}/finetune/seed0/test.parquet")
    )
    # Items with four options have no fifth.
    assert scored["logits"].arr.get(4).is_infinite().any()
    assert scored["answer_tokens"].max() > 1
    # An adapter names what it belongs to, and holds nothing else.
    path = project.path(f"results/checkpoints/arc_challenge/{LARGE}/finetune/seed0.safetensors")
    assert describe(path).entry["pretrained"] == gemmas[LARGE]
    assert describe(path).recipe["lora"]["rank"] == 16


def mmlu_slice(folder):
    """Make all four files of MMLU of the two that are here: the others of the test's rows."""
    folder.mkdir()
    source = DATA / "mmlu/all"
    rows = pl.read_parquet(source / f"test{SHARD}").filter(pl.col("subject").is_in(SUBJECTS))
    rows = rows.unique("question", keep="first", maintain_order=True)
    place = pl.int_range(pl.len()).over("subject")
    for split, first, last in (
        ("test", 0, 16), ("validation", 16, 28), ("auxiliary_train", 28, 40),
    ):  # fmt: skip
        own = rows.filter((place >= first) & (place < last))
        if split == "auxiliary_train":
            own = own.with_columns(subject=pl.lit(""))
        pq.write_table(own.to_arrow(), folder / f"{split}{SHARD}")
    shutil.copy(source / f"dev{SHARD}", folder)
    return folder


def test_mmlu_by_letters_with_worked_examples(tmp_path, gemmas):
    sizes = {"train": 30, "val": 30, "test": 48}
    config = shrunk("mmlu", "mmlu", sizes, gemmas)
    entry = config["datasets"]["mmlu"]
    entry["path"] = str(mmlu_slice(tmp_path / "mmlu"))
    entry["task"]["shots"] = 1
    project, board = run(config, tmp_path / "project")
    assert predictors(board) >= {("single", "finetune"), ("cascade", "finetune+gatekeeper_a50")}
    parts = pl.read_parquet(project.path("results/leaderboard/parts.parquet"))
    assert set(parts["grouping"]) == {"subject"}
    assert set(parts["group"]) == set(SUBJECTS)
    own = parts.filter(
        predictor="single", large=LARGE, recipe="finetune", metric="accuracy", variant="raw"
    )
    assert own["samples"].to_list() == [16, 16, 16]
    scored = pl.read_parquet(
        project.path(f"results/logits/mmlu/{LARGE}/finetune/seed0/test.parquet")
    )
    assert scored["logits"].dtype.size == 4
    # A letter with the space before it, by so small a tokenizer.
    assert scored["answer_tokens"].max() <= 2
    assert project.path("results/leaderboard/figures/mmlu/accuracy_by_level.png").exists()


def test_a_model_or_file_that_is_not_here_is_named_with_the_way_to_place_it(tmp_path, gemmas):
    sizes = {"train": 24, "val": 30, "test": 40}
    config = shrunk("arc", "arc_challenge", sizes, gemmas)
    config["datasets"]["arc_challenge"]["path"] = str(ARC)
    published = "google/gemma-2-2b-it"
    config["models"][SMALL]["pretrained"] = published
    broken = shutil.copytree(gemmas[LARGE], tmp_path / "broken")
    (broken / "model.safetensors").unlink()
    config["models"][LARGE]["pretrained"] = str(broken)
    project = Project.create(tmp_path / "project", config)

    def told(target):
        away = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
        outcome = project.snakemake("--cores", "1", target, succeeds=False, **away)
        assert "Traceback" not in outcome.output
        return outcome.output

    text = told(f"results/flops/arc_challenge/{SMALL}.json")
    assert f"pretrained: '{published}' cannot be loaded; the local cache lacks config.json" in text
    assert f"hf download {published}" in text
    text = told(f"results/checkpoints/arc_challenge/{LARGE}/finetune/seed0.safetensors")
    assert f"{broken}/model.safetensors: no such file" in text

    partial = shutil.copytree(ARC, tmp_path / "partial")
    (partial / f"validation{SHARD}").unlink()
    with project.edit() as config:
        config["datasets"]["arc_challenge"]["path"] = str(partial)
    text = told("results/datasets/arc_challenge/splits/seed0.parquet")
    assert f"validation{SHARD} is missing" in text
    assert "https://huggingface.co/datasets/allenai/ai2_arc" in text
