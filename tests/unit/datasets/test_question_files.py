import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sidekick.datasets import get_dataset, question_files
from sidekick.datasets.question_files import ContentIds, find_files, is_text, read_files
from sidekick.errors import SidekickError
from unit.datasets.asked import SHARD, arc_folder, question

ARC = get_dataset("arc_easy")
NAMES = sorted(file.name for file in ARC.files)
COLUMNS = {"question": is_text}


def ask(row, part):
    return question(row["question"], part=part)


def write(path, texts, **options):
    pq.write_table(pa.table({"question": pa.array(texts, pa.string())}), path, **options)
    return path


def test_a_folder_may_be_the_configuration_or_hold_it(tmp_path):
    folder = arc_folder(tmp_path / "ARC-Easy")
    expected = {name: folder / name for name in NAMES}
    assert find_files(ARC, [folder]) == expected
    assert find_files(ARC, [tmp_path]) == expected


def test_a_folder_may_lack_files(tmp_path):
    folder = arc_folder(tmp_path)
    (folder / f"train{SHARD}").unlink()
    assert sorted(find_files(ARC, [folder])) == [f"test{SHARD}", f"validation{SHARD}"]


def test_a_folder_without_any_is_refused(tmp_path):
    with pytest.raises(SidekickError, match=rf"none of the files of arc_easy .*test{SHARD}"):
        find_files(ARC, [tmp_path])


def test_downloads_must_be_complete(tmp_path):
    folder = arc_folder(tmp_path)
    paths = [folder / name for name in NAMES]
    assert sorted(find_files(ARC, paths)) == NAMES
    for wrong in (paths[1:], [], [*paths, paths[0]], [paths[0]]):
        with pytest.raises(SidekickError, match=r"arc_easy: the files .* are given; expected"):
            find_files(ARC, wrong)


def test_rows_come_in_the_order_of_files_and_rows(tmp_path):
    many = [f"q{number}" for number in range(3000)]
    files = {
        "val": write(tmp_path / "b", ["x"]),
        "train": write(tmp_path / "a", many, row_group_size=700),
    }
    questions = read_files(files, COLUMNS, ask)
    assert [q.sample_id for q in questions] == ["x", *many]
    assert [q.part for q in questions] == ["val"] + ["train"] * 3000


def test_the_row_is_counted_over_row_groups_and_batches(tmp_path):
    def parse(row, part):
        if row["question"] == "bad":
            raise question_files.BadRow("no good")
        return ask(row, part)

    texts = ["fine"] * 2500 + ["bad"]
    path = write(tmp_path / "a", texts, row_group_size=100)
    with pytest.raises(SidekickError, match=r"a: row 2500: no good"):
        read_files({"train": path}, COLUMNS, parse)


def test_other_columns_do_not_matter_but_missing_ones_do(tmp_path):
    path = tmp_path / "a"
    pq.write_table(pa.table({"question": ["x"], "more": [1]}), path)
    assert len(read_files({"train": path}, COLUMNS, ask)) == 1
    with pytest.raises(SidekickError, match="a: no column answer; it has question, more"):
        read_files({"train": path}, {**COLUMNS, "answer": is_text}, ask)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda b: b[:-1],
        lambda b: b[:400],
        lambda b: b"",
        lambda b: b"PAR1" + b[4:-40] + b"?" * 36 + b"PAR1",
    ],
)
def test_a_damaged_file_is_refused(tmp_path, spoil):
    path = write(tmp_path / "a", [f"question {number}" for number in range(500)])
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(SidekickError, match=r"a: not a readable Parquet file, in or after row 0"):
        read_files({"train": path}, COLUMNS, ask)


def test_what_is_no_parquet_file_is_refused(tmp_path):
    path = tmp_path / "a"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(SidekickError, match="not a readable Parquet file"):
        read_files({"train": path}, COLUMNS, ask)


def test_text_that_is_not_utf8_is_refused(tmp_path):
    raw = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
    )
    pq.write_table(pa.table({"question": raw}), tmp_path / "a")
    with pytest.raises(SidekickError, match=r"a: not a readable Parquet file.*UTF"):
        read_files({"train": tmp_path / "a"}, COLUMNS, ask)


def test_a_file_that_unpacks_to_too_much_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(question_files, "LARGEST_FILE", 10_000)
    path = write(tmp_path / "a", ["x" * 100_000], use_dictionary=False, compression="zstd")
    assert path.stat().st_size < 10_000
    with pytest.raises(SidekickError, match="bytes when unpacked; refused above 10000"):
        read_files({"train": path}, COLUMNS, ask)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SidekickError, match="nowhere"):
        read_files({"train": tmp_path / "nowhere"}, COLUMNS, ask)


def test_ids_of_contents_are_fixed_for_good():
    new_id = ContentIds()
    assert new_id("test_law", "Why?", ("a", "b"), 1) == "test_law_75b609dc1c3ef58e"
    assert new_id("a b", "x").startswith("a-b_")
