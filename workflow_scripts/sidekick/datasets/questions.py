"""Questions of a prepared text dataset: what one is, and how a split's are read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sidekick.artifacts import read_table
from sidekick.datasets.names import SAMPLES_FILE, SPLITS, SPLITS_FILE
from sidekick.datasets.reading import read_card
from sidekick.errors import SidekickError


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its options, or an open one with its solution.

    Attributes
    ----------
    sample_id
        Unique, of the characters [A-Za-z0-9_.-]; the same whatever order the questions come in.
    question
        The text that is asked.
    choices
        The options; none for an open question (gsm8k).
    label
        Position of the right option in `choices`; 0 for an open question.
    answer
        Text of the right option; for an open question the worked solution.
    subject, level
        What it is about, and how hard it is; "" where the source does not say.
    part
        "train", "val" or "test", or "dev": a worked example for prompts, which is in no split.
    """

    sample_id: str
    question: str
    choices: tuple[str, ...]
    label: int
    answer: str
    subject: str
    level: str
    part: str


#: The table of samples: a column for each attribute of `Question`.
QUESTION_SCHEMA = pa.schema(
    {
        "sample_id": pa.string(),
        "label": pa.int32(),
        "question": pa.string(),
        "choices": pa.list_(pa.string()),
        "answer": pa.string(),
        "subject": pa.string(),
        "level": pa.string(),
        "part": pa.string(),
    }
)


def question_table(questions: Sequence[Question]) -> pa.Table:
    """Give questions as a table with the columns of `QUESTION_SCHEMA`, in their order."""
    columns = {
        name: [getattr(question, name) for question in questions] for name in QUESTION_SCHEMA.names
    }
    return pa.table(columns, QUESTION_SCHEMA)


def read_questions(folder: str | Path, split: str, seed: int) -> list[Question]:
    """Read the questions of one split and seed, ascending by sample id.

    Parameters
    ----------
    folder
        Where `prepare_dataset` wrote the dataset's files.
    split
        "train", "val" or "test"; "shift" has no questions.
    seed
        A seed whose splits were drawn.

    Raises
    ------
    SidekickError
        If there is no such split, the folder holds no text dataset, or a file is missing, damaged
        or contradicts another; with file, value and what there is.
    """
    folder = Path(folder)
    if split not in SPLITS:
        raise SidekickError(f"{folder}: split {split!r}; expected one of {', '.join(SPLITS)}")
    table = _read_samples(folder)
    if split == "shift":
        return []
    splits_path = folder / SPLITS_FILE.format(seed=seed)
    splits = read_table(splits_path, ["sample_id", "split"])
    wanted = splits.filter(pc.equal(splits["split"], split))["sample_id"]
    found = table.filter(pc.is_in(table["sample_id"], value_set=wanted.combine_chunks()))
    absent = wanted.filter(
        pc.invert(pc.is_in(wanted, value_set=found["sample_id"].combine_chunks()))
    )
    if len(absent):
        raise SidekickError(
            f"{folder / SAMPLES_FILE}: no sample {absent[0]}, which {splits_path} puts in {split}"
        )
    return _questions(found.sort_by("sample_id"))


def read_shots(folder: str | Path) -> list[Question]:
    """Read the worked examples for prompts (part "dev"), in the source's order.

    Raises
    ------
    SidekickError
        If the folder holds no text dataset, or a file is missing or damaged.
    """
    table = _read_samples(Path(folder))
    return _questions(table.filter(pc.equal(table["part"], "dev")))


def _read_samples(folder: Path) -> pa.Table:
    card = read_card(folder)
    if "task" not in card:
        raise SidekickError(f"{folder}: a dataset of images, without questions")
    path = folder / SAMPLES_FILE
    table = read_table(path, QUESTION_SCHEMA.names)
    if not table.schema.equals(QUESTION_SCHEMA):
        raise SidekickError(
            f"{path}: its columns are {_types(table.schema)}; expected {_types(QUESTION_SCHEMA)}"
        )
    _check_samples(table, card["task"] == "multiple_choice", path)
    return table


def _check_samples(table: pa.Table, has_choices: bool, path: Path) -> None:
    counts = pc.value_counts(table["sample_id"])
    repeated = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        raise SidekickError(f"{path}: sample {repeated[0]['values']} occurs more than once")
    labels = table["label"].to_numpy()
    lengths = pc.list_value_length(table["choices"]).to_numpy(zero_copy_only=False)
    limits = lengths if has_choices else np.ones_like(lengths)
    wrong = np.flatnonzero((labels < 0) | ~(labels < limits))
    if wrong.size:
        raise SidekickError(
            f"{path}: label {labels[wrong[0]]} in row {wrong[0]}, which has {lengths[wrong[0]]} "
            "choices"
        )


def _types(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)


def _questions(table: pa.Table) -> list[Question]:
    return [Question(**{**row, "choices": tuple(row["choices"])}) for row in table.to_pylist()]
