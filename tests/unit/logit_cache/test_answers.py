"""Reading generated answers: what is refused, and what is read."""

import numpy as np
import pyarrow as pa
import pytest

from sidekick.artifacts import write_table
from sidekick.datasets.questions import Question
from sidekick.errors import SidekickError
from sidekick.logit_cache.answers import GATES, read_answers, require_same_questions
from sidekick.logit_cache.decoding import Decoded
from sidekick.logit_cache.generation import generation_table
from sidekick.prompts import load_prompt


def table(count=3):
    """A table as `cache_generations` writes it."""
    rng = np.random.default_rng(0)
    questions = [
        Question(f"q{i}", f"{i} ?", (), 0, f"#### {i}", "", "", "test") for i in range(count)
    ]
    answers = [
        Decoded(f"#### {i}", np.log(rng.random(4 + i)), rng.random(4 + i), i == 1)
        for i in range(count)
    ]
    return generation_table(load_prompt("gsm8k"), questions, answers)


def written(path, content):
    write_table(content, path, {})
    return path


def changed(content, name, values):
    place = content.column_names.index(name)
    return content.set_column(place, name, values)


def test_what_is_written_is_read(tmp_path):
    content = table()
    found = read_answers(written(tmp_path / "a.parquet", content))
    assert len(found) == 3
    assert found.references.tolist() == ["0", "1", "2"]
    assert content["correct"].to_pylist() == [True, True, True]
    # The second was cut off.
    assert found.correct.tolist() == [True, False, True]
    assert found.correct_flexible.tolist() == [True, False, True]
    assert found.truncated.tolist() == [False, True, False]
    assert tuple(found.gates) == GATES
    assert found.gates["brevity"].tolist() == [-4, -5, -6]
    assert found.gates["sum_logprob"] == pytest.approx(
        found.gates["mean_logprob"] * -found.gates["brevity"], rel=1e-5
    )
    assert (found.gates["logprob_q00"] <= found.gates["logprob_q10"]).all()
    assert (found.gates["logprob_q10"] <= found.gates["logprob_q50"]).all()
    assert all(values.dtype == np.float64 for values in found.gates.values())


def test_rows_are_joined_by_their_ids(tmp_path):
    first = read_answers(written(tmp_path / "a.parquet", table()))
    second = first.take(np.array([2, 0, 1]))
    again = require_same_questions(first, second)
    for name in GATES:
        np.testing.assert_array_equal(again.gates[name], first.gates[name])
    for one, other, where in (
        (first, first.take(np.array([0, 2])), r"q1 \(row 1 of the first\)"),
        (first.take(np.array([0, 2])), second, r"q1 \(row 2 of the second\)"),
    ):
        with pytest.raises(SidekickError, match=f"a.parquet.*{where} is in one only"):
            require_same_questions(one, other)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("correct", pa.array(["yes", "no", "no"]), "'correct' is of type string, not bool"),
        ("correct", pa.array([True, None, False]), "'correct' has 1 nulls"),
        ("nent", pa.array([0.0, np.nan, 0.0]), r"nent is nan in row 1 \(sample q1\)"),
        ("sum_logprob", pa.array([0.0, 0.0, -np.inf]), "sum_logprob is -inf in row 2"),
        ("sample_id", pa.array(["q0", "q1", "q0"]), "sample q0 occurs more than once"),
        (
            "logprob_quantiles",
            pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(15, np.float32)), 5),
            "has 5 values per row; expected 11",
        ),
    ],
)
def test_spoilt_files_are_refused(tmp_path, name, values, message):
    path = written(tmp_path / "spoilt.parquet", changed(table(), name, values))
    with pytest.raises(SidekickError, match=f"spoilt.parquet.*{message}"):
        read_answers(path)


def test_logits_are_no_answers(tmp_path):
    path = written(tmp_path / "other.parquet", table().drop_columns(["nent"]))
    with pytest.raises(SidekickError, match=r"no column \['nent'\]"):
        read_answers(path)
