"""Questions and the hub's Parquet files of them, made of what a test wants, whole or spoilt."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq

from sidekick.datasets.prepare import draw_splits, prepare_dataset
from sidekick.datasets.questions import Question

SHARD = "-00000-of-00001.parquet"
TEXTS = pa.large_list(pa.large_string())
ARC = pa.schema(
    {
        "id": pa.large_string(),
        "question": pa.large_string(),
        "choices": pa.struct({"text": TEXTS, "label": TEXTS}),
        "answerKey": pa.large_string(),
    }
)
MMLU = pa.schema(
    {
        "question": pa.large_string(),
        "subject": pa.large_string(),
        "choices": TEXTS,
        "answer": pa.int64(),
    }
)
GSM8K = pa.schema({"question": pa.large_string(), "answer": pa.large_string()})

SAMPLE = Question("a", "why ?", ("x", "y"), 0, "x", "", "", "train")


def question(sample_id, text=None, part="train", **changes):
    changes = {"question": text or f"{sample_id} ?", "part": part, **changes}
    return replace(SAMPLE, sample_id=sample_id, **changes)


def arc_row(number, **changes):
    choices = {"text": ["one", "two", "three", "four"], "label": list("ABCD")}
    row = {"id": f"Q_{number}", "question": f"Question {number}?", "choices": choices}
    return {**row, "answerKey": "ABCD"[number % 4], **changes}


def mmlu_row(number, **changes):
    row = {"question": f"Question {number}?", "subject": ("law", "art")[number % 2]}
    return {**row, "choices": ["one", "two", "three", "None"], "answer": number % 4, **changes}


def gsm8k_row(number, **changes):
    return {"question": f"Problem {number}?", "answer": f"So it is.\n#### {number}", **changes}


def parquet(path, rows, schema):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    return path


def arc_folder(folder, train=40, val=12, test=16):
    sizes = {"train": train, "validation": val, "test": test}
    first = 0
    for split, size in sizes.items():
        rows = [arc_row(number) for number in range(first, first + size)]
        first += size
        parquet(folder / f"{split}{SHARD}", rows, ARC)
    return folder


def mmlu_folder(folder, **rows):
    """Write the splits that are given, as rows."""
    for split, own in rows.items():
        parquet(folder / f"{split}{SHARD}", own, MMLU)
    return folder


def prepare(folder, name, source, sizes, seeds=(0,), **changes):
    """Prepare a text dataset and draw splits; anything may be changed."""
    prepare_dataset(
        name=name,
        facts={"benchmark": "unit-test"},
        sizes=sizes,
        archives={} if source is None else {"dataset": source},
        samples_path=folder / "samples.parquet",
        shift_path=folder / "shift.parquet",
        card_path=folder / "dataset.json",
        **{"shift": None, **changes},
    )
    for seed in seeds:
        draw_splits(
            dataset_folder=folder,
            sizes=sizes,
            seed=seed,
            facts={"benchmark": "unit-test"},
            splits_path=folder / f"splits/seed{seed}.parquet",
        )
    return folder
