import json
import os
import signal
import stat
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sidekick.artifacts import (
    atomic_path,
    read_facts,
    read_json,
    read_table,
    software,
    write_json,
    write_table,
)
from sidekick.errors import SidekickError

TABLE = pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"], "c": [0.5, 1.5, 2.5]})


def files(folder):
    return sorted(path.name for path in folder.iterdir())


# -------------------------------------------------------------------------------- atomic_path


def test_a_file_appears_when_it_is_complete(tmp_path):
    target = tmp_path / "deep" / "er" / "a.txt"
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.name.startswith(".")
        temporary.write_text("half")
        assert not target.exists()
        temporary.write_text("whole")
    assert target.read_text() == "whole"
    assert files(target.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write_half():
        with atomic_path(target) as temporary:
            temporary.write_text("half of the new")
            raise error

    with pytest.raises(error):
        write_half()
    assert target.read_text() == "old"
    assert files(tmp_path) == ["a.txt"]


def test_two_writers_do_not_disturb_each_other(tmp_path):
    target = tmp_path / "a.txt"
    with atomic_path(target) as first, atomic_path(target) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert target.read_text() == "first"
    assert files(tmp_path) == ["a.txt"]


def test_a_killed_writer_leaves_no_target_and_does_not_hinder_the_next(tmp_path):
    target = tmp_path / "a.txt"
    code = f"""
import sys, time
from sidekick.artifacts import atomic_path
with atomic_path({str(target)!r}) as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not target.exists()
    assert all(name.startswith(".a.txt.") for name in files(tmp_path))
    with atomic_path(target) as temporary:
        temporary.write_text("whole")
    assert target.read_text() == "whole"


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_permissions_that_the_umask_leaves(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_json({}, tmp_path / "a.json")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == mode


# --------------------------------------------------------------------------------------- JSON


def test_json_is_indented_and_sorted(tmp_path):
    path = tmp_path / "a.json"
    write_json({"b": 1, "a": [1, 2], "ä": "é"}, path)
    assert read_json(path) == {"b": 1, "a": [1, 2], "ä": "é"}
    text = path.read_text(encoding="utf-8")
    assert text.index('"a"') < text.index('"b"')
    assert text.endswith("}\n")
    write_json({"ä": "é", "a": [1, 2], "b": 1}, tmp_path / "b.json")
    assert (tmp_path / "b.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"a": 1'])
def test_what_is_not_json_is_refused_by_name(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(SidekickError, match=r"a\.json: not a JSON file"):
        read_json(path)


def test_a_json_file_that_cannot_be_read_is_refused_by_name(tmp_path):
    with pytest.raises(SidekickError, match=r"a\.json: no such file"):
        read_json(tmp_path / "a.json")
    with pytest.raises(SidekickError, match=r"cannot be read"):
        read_json(tmp_path)


def test_a_value_that_is_no_json_leaves_no_file(tmp_path):
    with pytest.raises(TypeError):
        write_json({"a": object()}, tmp_path / "a.json")
    assert files(tmp_path) == []


# ------------------------------------------------------------------------------------- tables


def test_table_round_trip(tmp_path):
    path = tmp_path / "a.parquet"
    write_table(TABLE, path, {}, dictionary=["b"], byte_stream_split=["c"])
    assert read_table(path).equals(TABLE)
    assert read_table(path, ["c", "a"]).column_names == ["c", "a"]


def test_facts_are_texts_and_carry_the_software(tmp_path):
    path = tmp_path / "a.parquet"
    write_table(TABLE, path, {"model": "mine", "seed": 3, "sizes": {"b": 1, "a": [2]}, "ü": "ß"})
    facts = read_facts(path)
    expected = {"model": "mine", "seed": "3", "sizes": '{"a": [2], "b": 1}', "ü": "ß"}
    assert {key: facts[key] for key in expected} == expected
    assert set(facts) - set(expected) == {"software", "git_revision"}
    versions = json.loads(facts["software"])
    assert versions["pyarrow"] == pa.__version__
    assert {"sidekick", "python", "numpy"} <= set(versions)
    assert facts["git_revision"] == software()["git_revision"] != ""


def test_equal_tables_give_equal_files(tmp_path):
    for name in ("a", "b"):
        write_table(TABLE, tmp_path / name, {"x": 1}, dictionary=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_tables_own_metadata_are_replaced(tmp_path):
    path = tmp_path / "a.parquet"
    write_table(TABLE.replace_schema_metadata({"secret": "1"}), path, {"model": "mine"})
    assert "secret" not in read_facts(path)


def test_a_missing_column_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    write_table(TABLE, path, {})
    with pytest.raises(SidekickError, match=r"a\.parquet: no column \['d'\]; it has \['a', 'b'"):
        read_table(path, ["a", "d"])


@pytest.mark.parametrize("read", [read_table, read_facts])
def test_files_that_cannot_be_read_are_refused_by_name(tmp_path, read):
    with pytest.raises(SidekickError, match=r"gone\.parquet: no such file"):
        read(tmp_path / "gone.parquet")
    for content in (b"", b"PAR1", b"no table, but a longer text" * 10, b"\xff" * 40):
        path = tmp_path / "a.parquet"
        path.write_bytes(content)
        with pytest.raises(SidekickError, match=r"a\.parquet: not a readable Parquet file.*Delete"):
            read(path)
    with pytest.raises(SidekickError, match="not a readable Parquet file"):
        read(tmp_path)


def test_a_flipped_bit_in_a_page_is_noticed(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.table({"a": list(range(1000))})
    write_table(table, path, {})
    content = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(SidekickError, match=r"a\.parquet: not a readable Parquet file"):
        read_table(path)


def footer_start(content):
    return len(content) - 8 - int.from_bytes(content[-8:-4], "little")


@pytest.mark.parametrize("read", [read_table, read_facts])
def test_every_flipped_bit_in_the_footer_is_noticed(tmp_path, read):
    """The footer says how many rows there are and where the data came from."""
    path = tmp_path / "a.parquet"
    write_table(TABLE, path, {"seed": 1})
    content = path.read_bytes()
    for position in range(footer_start(content), len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        with pytest.raises(SidekickError, match=r"a\.parquet"):
            read(path)


def test_files_of_other_software_have_no_seal_and_are_read(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(TABLE, path)
    assert read_table(path).equals(TABLE)
    assert read_facts(path) == {}


def test_a_failing_write_leaves_nothing(tmp_path):
    with pytest.raises((pa.ArrowException, OSError)):
        write_table(TABLE, tmp_path / "a.parquet", {}, byte_stream_split=["b"])
    with pytest.raises(TypeError):
        write_table(TABLE, tmp_path / "a.parquet", {"x": object()})
    assert files(tmp_path) == []
