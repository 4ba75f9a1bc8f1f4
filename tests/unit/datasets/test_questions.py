import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sidekick.artifacts import read_json, read_table, write_table
from sidekick.datasets.questions import (
    QUESTION_SCHEMA,
    Question,
    question_table,
    read_questions,
    read_shots,
)
from sidekick.datasets.reading import load_split
from sidekick.errors import SidekickError
from unit.datasets.asked import arc_folder, prepare, question

SIZES = {"train": 8, "val": 6, "test": 10}


@pytest.fixture
def folder(tmp_path):
    return prepare(tmp_path / "made", "arc_easy", arc_folder(tmp_path / "hub"), SIZES)


def rewritten(folder, change):
    """Replace the samples by changed ones."""
    path = folder / "samples.parquet"
    rows = read_table(path).to_pylist()
    change(rows)
    write_table(pa.Table.from_pylist(rows, QUESTION_SCHEMA), path, {})


def test_a_table_gives_back_its_questions():
    asked = [question("a"), question("b", choices=(), answer="long\n#### 4", level="2")]
    rows = question_table(asked).to_pylist()
    assert [Question(**{**row, "choices": tuple(row["choices"])}) for row in rows] == asked
    assert len(question_table([])) == 0


def test_splits_are_read_by_id(folder):
    for split, size in SIZES.items():
        questions = read_questions(folder, split, 0)
        ids = [q.sample_id for q in questions]
        assert ids == sorted(ids)
        assert len(ids) == size
        assert {q.part for q in questions} == {split}
        assert all(q.choices[q.label] == q.answer for q in questions)
    assert read_questions(folder, "shift", 0) == []


def test_shots_come_in_the_order_of_the_source(folder):
    assert [q.sample_id for q in read_shots(folder)] == [f"Q_{number}" for number in range(25)]


@pytest.mark.parametrize("split", ["dev", "validation", ""])
def test_other_splits_are_refused(folder, split):
    with pytest.raises(SidekickError, match=rf"split '{split}'; expected one of train, val, test"):
        read_questions(folder, split, 0)


def test_missing_files_are_named(folder):
    with pytest.raises(SidekickError, match=r"splits/seed7\.parquet: no such file"):
        read_questions(folder, "test", 7)
    (folder / "samples.parquet").unlink()
    with pytest.raises(SidekickError, match=r"samples\.parquet: no such file"):
        read_shots(folder)


def test_a_dataset_of_images_has_no_questions(prepared):
    with pytest.raises(SidekickError, match="a dataset of images, without questions"):
        read_questions(prepared, "test", 0)


def test_a_dataset_of_text_has_no_images(folder):
    with pytest.raises(SidekickError, match="a dataset of text, without images"):
        load_split(folder, "test", 0)


def test_another_modality_is_refused(folder):
    path = folder / "dataset.json"
    card = read_json(path)
    path.write_text(json.dumps({**card, "modality": "sound"}))
    with pytest.raises(SidekickError, match="modality 'sound'; expected one of image, text"):
        read_shots(folder)
    del card["task"]
    path.write_text(json.dumps(card))
    with pytest.raises(SidekickError, match=r"it lacks \['task'\]"):
        read_shots(folder)


def test_a_label_that_no_option_has_is_refused(folder):
    rewritten(folder, lambda rows: rows[3].update(label=4))
    with pytest.raises(SidekickError, match="label 4 in row 3, which has 4 choices"):
        read_shots(folder)


def test_an_id_that_occurs_twice_is_refused(folder):
    rewritten(folder, lambda rows: rows[3].update(sample_id="Q_0"))
    with pytest.raises(SidekickError, match="sample Q_0 occurs more than once"):
        read_shots(folder)


def test_a_question_that_a_split_names_but_nobody_has_is_refused(folder):
    rewritten(folder, lambda rows: [row.update(sample_id=f"x{row['sample_id']}") for row in rows])
    with pytest.raises(
        SidekickError, match=r"no sample Q_\d+, which .*seed0\.parquet puts in test"
    ):
        read_questions(folder, "test", 0)


def test_columns_of_other_types_are_refused(folder):
    path = folder / "samples.parquet"
    table = read_table(path)
    place = table.schema.get_field_index("label")
    pq.write_table(table.set_column(place, "label", table["label"].cast(pa.int64())), path)
    with pytest.raises(SidekickError, match=r"its columns are .*label int64.*; expected"):
        read_shots(folder)
