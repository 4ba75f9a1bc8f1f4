import random
import re

import pyarrow as pa
import pytest

from sidekick.datasets import mmlu
from sidekick.errors import SidekickError
from unit.datasets.asked import MMLU, SHARD, mmlu_row, parquet
from unit.datasets.made import REAL

real = pytest.mark.skipif(not REAL.exists(), reason="needs the real sets in ../shared/data")


def read(tmp_path, *rows, schema=MMLU, part="test"):
    return mmlu.read({part: parquet(tmp_path / "test.parquet", rows, schema)})


def test_the_text_none_is_an_option(tmp_path):
    (question,) = read(tmp_path, mmlu_row(3))
    assert question.answer == "None"
    assert question.choices == ("one", "two", "three", "None")


def test_ids_do_not_depend_on_the_order_of_rows(tmp_path):
    rows = [mmlu_row(number) for number in range(20)] + [mmlu_row(3)]
    ids = {(q.question, q.sample_id) for q in read(tmp_path, *rows)}
    random.Random(0).shuffle(rows)
    assert {(q.question, q.sample_id) for q in read(tmp_path, *rows)} == ids


def test_questions_that_agree_in_all_are_numbered(tmp_path):
    first, second, third = read(tmp_path, mmlu_row(0), mmlu_row(0), mmlu_row(0, answer=1))
    assert second.sample_id == f"{first.sample_id}-2"
    assert third.sample_id not in (first.sample_id, second.sample_id)
    assert re.fullmatch(r"test_law_[0-9a-f]{16}", third.sample_id)


def test_questions_without_a_subject_are_named_auxiliary(tmp_path):
    (question,) = read(tmp_path, mmlu_row(0, subject=""), part="train")
    assert question.subject == ""
    assert question.sample_id.startswith("train_auxiliary_")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question": None}, "row 1: its question is null"),
        ({"question": ""}, "row 1: its question is empty"),
        ({"choices": ["a", None, "c", "d"]}, "row 1: an option, or the list of them, is null"),
        ({"choices": []}, "row 1: it has 0 options"),
        ({"answer": 4}, "row 1: its answer is 4; it has 4 options"),
        ({"answer": -1}, "row 1: its answer is -1"),
        ({"answer": None}, "row 1: its answer is None"),
        ({"subject": "x" * 100_001}, "row 1: its subject has 100001"),
    ],
)
def test_a_bad_row_is_refused_with_file_and_row(tmp_path, changes, message):
    with pytest.raises(SidekickError, match=rf"test\.parquet: {message}"):
        read(tmp_path, mmlu_row(0), mmlu_row(1, **changes))


@pytest.mark.parametrize(
    ("column", "kind"),
    [("answer", pa.string()), ("answer", pa.float64()), ("choices", pa.string())],
)
def test_a_column_of_another_type_is_refused(tmp_path, column, kind):
    schema = MMLU.set(MMLU.get_field_index(column), pa.field(column, kind))
    with pytest.raises(SidekickError, match=rf"column {column} is of type"):
        read(tmp_path, {**mmlu_row(0), column: None}, schema=schema)


@real
def test_the_real_sets_are_read_whole():
    questions = mmlu.read({part: REAL / f"mmlu/all/{part}{SHARD}" for part in ("test", "dev")})
    test = [q for q in questions if q.part == "test"]
    assert (len(test), len(questions) - len(test)) == (14_042, 285)
    assert len({q.subject for q in test}) == 57
    assert len({q.sample_id for q in questions}) == len(questions)
    assert sum("None" in q.choices for q in test) == 10
    assert sum(len(set(q.choices)) < 4 for q in test) == 9
    # Rows that repeat an earlier one, of the same subject, in everything.
    assert sum(re.search(r"-\d+$", q.sample_id) is not None for q in test) == 27
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", q.sample_id) for q in questions)
