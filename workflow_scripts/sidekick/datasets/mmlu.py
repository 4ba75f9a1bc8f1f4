"""MMLU: questions on 57 subjects with four options.

The hub's columns are `question`, `subject`, `choices` and `answer`, the position of the right
option. Some options are the text "None"; some occur twice in a question; whole questions recur.

Questions have no id. Ours is made of part, subject and a hash of what is asked, options and answer
included, so that it does not depend on the order of the rows; questions that agree in all of this
cannot be told apart and are numbered. The auxiliary training set, which comes from other
benchmarks, names no subjects: its ids have "auxiliary" there.
"""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from sidekick.datasets.question_files import (
    BadRow,
    ContentIds,
    is_text,
    is_texts,
    limited,
    options,
    read_files,
    text,
)
from sidekick.datasets.questions import Question


def read(files: Mapping[str, Path]) -> list[Question]:
    """Read the questions of each part's file."""
    columns = {
        "question": is_text,
        "subject": is_text,
        "choices": is_texts,
        "answer": pa.types.is_integer,
    }
    new_id = ContentIds()

    def parse(row: dict, part: str) -> Question:
        texts, label = options(row["choices"]), row["answer"]
        if label is None or not 0 <= label < len(texts):
            raise BadRow(f"its answer is {label}; it has {len(texts)} options, counted from 0")
        subject = limited(row["subject"] or "", "subject")
        question = text(row["question"], "question")
        return Question(
            sample_id=new_id(f"{part}_{subject or 'auxiliary'}", question, texts, label),
            question=question,
            choices=texts,
            label=label,
            answer=texts[label],
            subject=subject,
            level="",
            part=part,
        )

    return read_files(files, columns, parse)
