import pyarrow as pa
import pytest

from sidekick.datasets import arc
from sidekick.errors import SidekickError
from unit.datasets.asked import ARC, SHARD, arc_row, parquet
from unit.datasets.made import REAL

real = pytest.mark.skipif(not REAL.exists(), reason="needs the real sets in ../shared/data")


def read(tmp_path, *rows, schema=ARC):
    return arc.read({"test": parquet(tmp_path / "test.parquet", rows, schema)})


def choices(labels, texts=None):
    return {"text": texts or [f"option {label}" for label in labels], "label": list(labels)}


@pytest.mark.parametrize(
    ("labels", "key", "place"),
    [("ABCD", "C", 2), ("1234", "4", 3), ("ABC", "A", 0), ("ABCDE", "E", 4), ("123", "2", 1)],
)
def test_labels_of_either_kind_give_the_position(tmp_path, labels, key, place):
    (question,) = read(tmp_path, arc_row(0, choices=choices(labels), answerKey=key))
    assert question.label == place
    assert question.answer == question.choices[place] == f"option {key}"
    assert len(question.choices) == len(labels)


def test_labels_out_of_order_count_by_their_place(tmp_path):
    (question,) = read(tmp_path, arc_row(0, choices=choices("BA"), answerKey="A"))
    assert (question.label, question.answer) == (1, "option A")


def test_ids_have_only_the_characters_of_ours(tmp_path):
    (question,) = read(tmp_path, arc_row(0, id="AKDE&ED_2008+4"))
    assert question.sample_id == "AKDE-ED_2008-4"


@pytest.mark.parametrize(
    "texts", [["<b>bold</b>", "a\tb\x00c", "None", "null"], [" padded ", "é", "日本", "🙂"]]
)
def test_texts_are_kept_as_they_are(tmp_path, texts):
    asked = "<script>alert(1)</script>\r\n\x1b[31mred "
    (question,) = read(tmp_path, arc_row(0, question=asked, choices=choices("ABCD", texts)))
    assert question.choices == tuple(texts)
    assert question.question == asked


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question": None}, "row 1: its question is null"),
        ({"question": " \n"}, "row 1: its question is empty"),
        ({"question": "x" * 100_001}, "row 1: its question has 100001 characters"),
        ({"id": None}, "row 1: its id is null"),
        ({"id": ""}, "row 1: its id is empty"),
        ({"choices": None}, "row 1: an option, or the list of them, is null"),
        ({"choices": {"text": None, "label": None}}, "row 1: an option, or the list"),
        ({"choices": choices("AB", ["x", None])}, "row 1: an option, or the list"),
        ({"choices": choices("A")}, "row 1: it has 1 options; expected 2 to 26"),
        ({"choices": choices("ABC", ["x"] * 27)}, "row 1: it has 27 options"),
        ({"choices": choices("ABC", ["x", "y"])}, r"row 1: its 2 options have the labels \['A"),
        ({"choices": choices("AAB")}, "row 1: its 3 options have the labels"),
        ({"choices": choices("AB", ["x", "y" * 100_001])}, "row 1: its option has 100001"),
        ({"answerKey": "E"}, "row 1: its answerKey is 'E'; its labels are"),
        ({"answerKey": "1"}, "row 1: its answerKey is '1'"),
        ({"answerKey": None}, "row 1: its answerKey is None"),
    ],
)
def test_a_bad_row_is_refused_with_file_and_row(tmp_path, changes, message):
    with pytest.raises(SidekickError, match=rf"test\.parquet: {message}"):
        read(tmp_path, arc_row(0), arc_row(1, **changes))


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("answerKey", pa.int64()),
        ("question", pa.binary()),
        ("choices", pa.list_(pa.string())),
        ("choices", pa.struct({"text": pa.string(), "label": pa.string()})),
        ("choices", pa.struct({"text": pa.list_(pa.string())})),
    ],
)
def test_a_column_of_another_type_is_refused(tmp_path, column, kind):
    schema = ARC.set(ARC.get_field_index(column), pa.field(column, kind))
    row = {**arc_row(0), column: None}
    with pytest.raises(SidekickError, match=rf"test\.parquet: column {column} is of type"):
        read(tmp_path, row, schema=schema)


@real
@pytest.mark.parametrize(
    ("config", "counts"),
    [
        ("ARC-Easy", {"train": 2251, "validation": 570, "test": 2376}),
        ("ARC-Challenge", {"train": 1119, "validation": 299, "test": 1170}),
    ],
)
def test_the_real_sets_are_read_whole(config, counts):
    files = {split: REAL / f"ai2_arc/{config}/{split}{SHARD}" for split in counts}
    questions = arc.read(files)
    assert {split: sum(q.part == split for q in questions) for split in counts} == counts
    assert len({q.sample_id for q in questions}) == len(questions)
    assert {len(q.choices) for q in questions} == {3, 4, 5}
    assert max(q.label for q in questions) == 4
    assert all(q.answer == q.choices[q.label] for q in questions)


@real
def test_known_real_questions_have_their_answers():
    path = REAL / f"ai2_arc/ARC-Challenge/test{SHARD}"
    known = {q.sample_id: q for q in arc.read({"test": path})}
    assert known["Mercury_7175875"].answer == "Planetary days will become shorter."
    assert known["AKDE-ED_2008_4_25"].question
