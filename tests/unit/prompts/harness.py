"""lm-evaluation-harness' own tasks on local rows, and the same rows as our questions."""

import zlib
from pathlib import Path

import datasets
import lm_eval
import polars as pl
import pyarrow as pa
import pytest
import yaml
from lm_eval.api.task import ConfigurableTask

from sidekick.datasets.questions import Question

REAL = Path(__file__).parents[4] / "shared" / "data"
needs_real = pytest.mark.skipif(
    not (REAL / "mmlu").exists(), reason="needs the real questions in ../shared/data"
)
TASKS = Path(lm_eval.__file__).parent / "tasks"

GSM8K = [
    {
        "question": "Ann has 3 boxes of 12 eggs. She sells 10 eggs. How many are left?",
        "answer": "She has 3*12 = <<3*12=36>>36 eggs.\nThen 36-10 = <<36-10=26>>26.\n#### 26",
    },
    {"question": "A car costs $2,000 a year. {Ten} years?", "answer": "2000*10\n#### 20,000"},
    {"question": "How many legs have 4 cats?", "answer": "4*4=<<4*4=16>>16\n#### 16"},
]


def task_config(path):
    """Read one of the harness' task files with those that it includes."""
    own = yaml.safe_load(path.read_text())
    included = own.pop("include", None)
    return own if included is None else task_config(path.parent / included) | own


def harness_task(path, rows, shots):
    """Build a task of the harness that asks `rows` after the first of `shots`."""
    config = task_config(TASKS / path)
    for key in ("dataset_name", "tag", "task_alias", "validation_split", "training_split"):
        config.pop(key, None)
    tables = {
        "test": datasets.Dataset(pa.Table.from_pylist(rows)),
        "shots": datasets.Dataset(pa.Table.from_pylist(shots)),
    }
    return ConfigurableTask(
        config=config
        | {
            "test_split": "test",
            "fewshot_split": "shots",
            "fewshot_config": {"sampler": "first_n"},
            "custom_dataset": lambda **_: datasets.DatasetDict(tables),
        }
    )


def arc_rows(name="ARC-Challenge", part="train"):
    """Give rows of ARC in the hub's schema, the odd ones first: 3 or 5 options, numbered ones."""
    table = pl.concat(map(pl.read_parquet, sorted((REAL / "ai2_arc" / name).glob(f"{part}-*"))))
    rows = table.to_dicts()
    return sorted(rows, key=lambda row: row["choices"]["label"] == ["A", "B", "C", "D"])


def arc_question(row):
    texts, answer = row["choices"]["text"], row["choices"]["label"].index(row["answerKey"])
    return Question(row["id"], row["question"], tuple(texts), answer, texts[answer], "", "", "test")


def mmlu_rows(subject, part="test"):
    table = pl.read_parquet(REAL / "mmlu" / "all" / f"{part}-00000-of-00001.parquet")
    rows = table.filter(pl.col("subject") == subject).to_dicts()
    return sorted(rows, key=lambda row: "None" not in row["choices"])


def mmlu_question(row):
    answer = row["answer"]
    return Question(
        f"q_{zlib.crc32(row['question'].encode())}",
        row["question"],
        tuple(row["choices"]),
        answer,
        row["choices"][answer],
        row["subject"],
        "",
        "test",
    )


def gsm8k_question(row):
    return Question("open", row["question"], (), 0, row["answer"], "", "", "test")
