import pytest

from sidekick.datasets import gsm8k
from sidekick.errors import SidekickError
from unit.datasets.asked import GSM8K, gsm8k_row, parquet


def read(tmp_path, *rows):
    return gsm8k.read({"train": parquet(tmp_path / "train.parquet", rows, GSM8K)})


def test_problems_are_open_questions(tmp_path):
    (question,) = read(tmp_path, gsm8k_row(7))
    assert (question.question, question.answer) == ("Problem 7?", "So it is.\n#### 7")
    assert (question.choices, question.label, question.part) == ((), 0, "train")


@pytest.mark.parametrize("result", ["#### 1,000", "#### -3", "#### 0.5", "#### 12 "])
def test_results_are_numbers_of_any_kind(tmp_path, result):
    assert read(tmp_path, gsm8k_row(0, answer=f"As <<1+1=2>>2.\n{result}"))


def test_ids_tell_solutions_apart_whatever_their_order(tmp_path):
    rows = [gsm8k_row(0), gsm8k_row(0, answer="#### 9"), gsm8k_row(0)]
    ids = {(q.answer, q.sample_id) for q in read(tmp_path, *rows)}
    assert len({identity for _, identity in ids}) == 3
    assert {(q.answer, q.sample_id) for q in read(tmp_path, *rows[::-1])} == ids


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer": "It is 5."}, r"row 1: its answer ends with 'It is 5\.'"),
        ({"answer": "#### five"}, "row 1: its answer ends with"),
        ({"answer": None}, "row 1: its answer is null"),
        ({"question": " "}, "row 1: its question is empty"),
    ],
)
def test_a_bad_row_is_refused_with_file_and_row(tmp_path, changes, message):
    with pytest.raises(SidekickError, match=rf"train\.parquet: {message}"):
        read(tmp_path, gsm8k_row(0), gsm8k_row(1, **changes))
