"""ARC: grade-school science questions with 3 to 5 options, mostly 4.

The hub's columns are `id`, `question`, `choices` (two lists, `text` and `label`) and `answerKey`,
one of the labels. These are "A" to "E" or, depending on the exam that a question is from, "1" to
"4": the position in the list counts, as in lm-evaluation-harness. The source's id is ours, with
hyphens for other characters; questions have neither subject nor level.
"""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from sidekick.datasets.question_files import (
    BadRow,
    identifier,
    is_text,
    is_texts,
    options,
    read_files,
    text,
)
from sidekick.datasets.questions import Question


def read(files: Mapping[str, Path]) -> list[Question]:
    """Read the questions of each part's file."""
    columns = {"id": is_text, "question": is_text, "choices": _is_choices, "answerKey": is_text}
    return read_files(files, columns, _question)


def _is_choices(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind):
        return False
    names = [field.name for field in kind]
    return sorted(names) == ["label", "text"] and all(is_texts(field.type) for field in kind)


def _question(row: dict, part: str) -> Question:
    given = row["choices"] or {"text": None, "label": None}
    texts, labels = options(given["text"]), given["label"]
    if labels is None or len(labels) != len(texts) or len(set(labels)) < len(labels):
        raise BadRow(f"its {len(texts)} options have the labels {labels}; expected one for each")
    if row["answerKey"] not in labels:
        raise BadRow(f"its answerKey is {row['answerKey']!r}; its labels are {labels}")
    label = labels.index(row["answerKey"])
    return Question(
        sample_id=identifier(row["id"]),
        question=text(row["question"], "question"),
        choices=texts,
        label=label,
        answer=texts[label],
        subject="",
        level="",
        part=part,
    )
