"""GSM8K: grade-school maths problems with worked solutions, to be solved in free text.

The hub's columns are `question` and `answer`; the latter is the solution and ends with "#### " and
the result. Problems have no id: ours is the part and a hash of problem and solution.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from sidekick.datasets.question_files import BadRow, ContentIds, is_text, read_files, text
from sidekick.datasets.questions import Question

#: As in the benchmark's own code, and in lm-evaluation-harness.
_RESULT = re.compile(r"#### (\-?[0-9\.\,]+)")


def read(files: Mapping[str, Path]) -> list[Question]:
    """Read the problems of each part's file."""
    new_id = ContentIds()

    def parse(row: dict, part: str) -> Question:
        question = text(row["question"], "question")
        answer = text(row["answer"], "answer")
        if not _RESULT.search(answer):
            raise BadRow(f"its answer ends with {answer[-20:]!r}; expected '#### ' and a number")
        return Question(new_id(part, question, answer), question, (), 0, answer, "", "", part)

    return read_files(files, {"question": is_text, "answer": is_text}, parse)
