from dataclasses import fields

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sidekick.artifacts import read_facts, read_table, write_table
from sidekick.errors import SidekickError
from sidekick.logit_cache import CachedLogits, ShiftCell, read_logits, storage, write_logits
from sidekick.logit_cache.storage import _centre
from unit.logit_cache.samples import FACTS, make_cache, make_columns, write


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results" / "logits" / "test.parquet"


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("features", [None, 5])
def test_round_trip(path, shift, features):
    columns = make_columns(shift=shift, features=features)
    cache = read_logits(write(path, **columns))
    assert cache.source == str(path)
    assert len(cache) == 6
    assert cache.classes == 4
    assert cache.sample_ids.tolist() == columns["sample_ids"].tolist()
    assert all(isinstance(one, str) for one in cache.sample_ids)
    np.testing.assert_array_equal(cache.labels, columns["labels"])
    highest = columns["logits"].max(axis=1)
    np.testing.assert_array_equal(cache.logit_max, highest)
    np.testing.assert_array_equal(
        cache.logits, (columns["logits"] - highest[:, None]).astype(np.float16)
    )
    assert (cache.labels.dtype, cache.logits.dtype, cache.logit_max.dtype) == (
        np.int32,
        np.float16,
        np.float32,
    )
    for name in ("corruption", "severity", "features"):
        expected, found = columns.get(name), getattr(cache, name)
        if expected is None:
            assert found is None
        else:
            np.testing.assert_array_equal(found, expected)
            assert found.dtype == expected.dtype


def test_the_files_columns_are_those_of_the_contract(path):
    write(path, **make_columns(shift=True, features=5))
    schema = pq.read_schema(path)
    assert {field.name: str(field.type) for field in schema} == {
        "sample_id": "string",
        "label": "int32",
        "logits": "fixed_size_list<element: halffloat>[4]",
        "logit_max": "float",
        "corruption": "string",
        "severity": "int8",
        "features": "fixed_size_list<element: float>[5]",
    }
    chunks = pq.ParquetFile(path).metadata.row_group(0)
    columns = [chunks.column(index) for index in range(chunks.num_columns)]
    encodings = {column.path_in_schema: column.encodings for column in columns}
    assert {column.compression for column in columns} == {"ZSTD"}
    for name in ("logits.list.element", "logit_max", "features.list.element"):
        assert "BYTE_STREAM_SPLIT" in encodings[name]
        assert not any("DICTIONARY" in encoding for encoding in encodings[name])


def test_other_software_reads_the_file(path):
    columns = make_columns()
    table = pl.read_parquet(write(path, **columns))
    assert table["sample_id"].to_list() == columns["sample_ids"].tolist()
    assert np.isclose(
        table["logits"].to_numpy().max(axis=1) + table["logit_max"].to_numpy(),
        columns["logits"].max(axis=1),
    ).all()


def test_metadata(path):
    facts = read_facts(write(path, **make_columns()))
    for key, value in FACTS.items():
        assert facts[key] == str(value)
    assert facts["classes"] == "4"
    assert facts["centring"] == "row maximum"
    assert "numpy" in facts["software"]
    assert facts["git_revision"]


# ----------------------------------------------------------------------------------- centring

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)


@settings(deadline=None)
@given(hnp.arrays(np.float32, (8, 4), elements=finite))
def test_centring_changes_no_answer_whatever_the_logits(logits):
    centred = _centre(logits, logits.max(axis=1))
    assert centred.dtype == np.float16
    np.testing.assert_array_equal(centred.argmax(axis=1), logits.argmax(axis=1))
    assert np.isfinite(centred).all()
    assert (centred.max(axis=1) == 0).all()
    # What was below the maximum stays below it, what was equal to it stays equal.
    np.testing.assert_array_equal(centred == 0, logits == logits.max(axis=1, keepdims=True))


@settings(deadline=None)
@given(
    hnp.arrays(np.float64, (8, 4), elements=st.floats(-20, 20)),
    st.floats(-1e4, 1e4),
)
def test_centring_is_precise_and_blind_to_the_level(logits, level):
    centred = _centre(logits, logits.max(axis=1)).astype(np.float64)
    exact = logits - logits.max(axis=1, keepdims=True)
    np.testing.assert_allclose(centred, exact, rtol=2**-11, atol=2**-24)
    shifted = logits + level
    np.testing.assert_allclose(
        _centre(shifted, shifted.max(axis=1)).astype(np.float64), exact, rtol=2**-10, atol=2**-23
    )


def test_what_float16_cannot_reach_is_unlikely_but_not_absent(path):
    logits = np.array([[1e6, 0, -np.inf], [3e38, -3e38, 0], [0, -65519, -70000]], dtype=np.float32)
    columns = make_columns(n=3, classes=3) | {"logits": logits, "labels": np.array([1, 1, 2])}
    cache = read_logits(write(path, **columns))
    lowest = np.finfo(np.float16).min
    assert cache.logits.tolist() == [
        [0, lowest, -np.inf],
        [0, lowest, lowest],
        [0, lowest, lowest],
    ]


def test_absent_options_stay_absent(path):
    columns = make_columns()
    columns["logits"][2, :3] = -np.inf
    columns["labels"][2] = 3
    cache = read_logits(write(path, **columns))
    assert np.isneginf(cache.logits[2]).tolist() == [True, True, True, False]
    assert np.isfinite(np.delete(cache.logits, 2, axis=0)).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_float_type_can_be_written(path, dtype):
    columns = make_columns()
    columns["logits"] = columns["logits"].astype(dtype)
    cache = read_logits(write(path, **columns))
    np.testing.assert_array_equal(cache.logits.argmax(axis=1), columns["logits"].argmax(axis=1))
    assert cache.logits.dtype == np.float16
    assert cache.logit_max.dtype == np.float32


def test_differences_below_float32_still_decide_the_answer(path):
    columns = make_columns(n=1, classes=2) | {"logits": np.array([[1.0, 1.0 + 1e-12]])}
    assert read_logits(write(path, **columns)).logits.argmax() == 1


# ----------------------------------------------------------------------------------- refusals


def spoil(name, row, value):
    def change(columns):
        columns[name][row] = value

    return change


def shorten(name):
    def change(columns):
        columns[name] = columns[name][:-1]

    return change


def absent_label(columns):
    columns["labels"][1] = 2
    columns["logits"][1, 2] = -np.inf


WRITING = {
    "NaN": (spoil("logits", (4, 1), np.nan), "a NaN logit in row 4 .sample img_004"),
    "+inf": (spoil("logits", (4, 1), np.inf), "an infinite logit in row 4 .sample img_004"),
    "all absent": (spoil("logits", 3, -np.inf), "no finite logit in row 3 .sample img_003"),
    "label above": (spoil("labels", 2, 4), "a label out of range in row 2 .*label 4, 4 classes"),
    "label below": (spoil("labels", 2, -1), "a label out of range in row 2 .*label -1"),
    "label absent": (absent_label, "an absent option as label in row 1 .sample img_001, label 2"),
    "duplicate": (spoil("sample_ids", 5, "img_001"), "sample img_001 occurs again in row 5"),
    "ids": (shorten("sample_ids"), "columns of different length: .*'sample_id': 5"),
    "labels": (shorten("labels"), "columns of different length: .*'label': 5"),
    "features": (shorten("features"), "columns of different length: .*'features': 5"),
    "NaN feature": (spoil("features", (3, 0), np.nan), "a feature that is not finite in row 3"),
    "infinite feature": (spoil("features", (3, 0), -np.inf), "not finite in row 3"),
    "one dimension": (lambda c: c.update(logits=c["logits"][:, 0]), r"logits of shape \(6,\)"),
    "no classes": (lambda c: c.update(logits=c["logits"][:, :0]), r"shape \(6, 0\)"),
}


@pytest.mark.parametrize("name", WRITING)
def test_bad_values_are_refused_when_written(path, name):
    change, message = WRITING[name]
    columns = make_columns(features=2)
    change(columns)
    with pytest.raises(SidekickError, match=message) as caught:
        write(path, **columns)
    assert str(caught.value).startswith(f"{path}: ")
    assert not path.parent.exists() or not list(path.parent.iterdir())


def test_a_refused_table_leaves_the_old_file_alone(path):
    write(path, **make_columns())
    before = path.read_bytes()
    columns = make_columns(seed=1)
    columns["logits"][0, 0] = np.nan
    with pytest.raises(SidekickError):
        write(path, **columns)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_no_rows_are_refused_but_for_a_shift_set(path):
    empty = {
        "sample_ids": np.empty(0, object),
        "labels": np.empty(0, np.int32),
        "logits": np.empty((0, 4), np.float32),
        "facts": FACTS,
    }
    with pytest.raises(SidekickError, match=r"shape \(0, 4\)"):
        write(path, **empty)
    cells = {"corruption": np.empty(0, object), "severity": np.empty(0, np.int8)}
    cache = read_logits(write(path, **empty, **cells))
    assert len(cache) == 0
    assert cache.classes == 4
    assert list(cache.cells()) == []


@pytest.mark.parametrize("missing", ["corruption", "severity"])
def test_corruption_and_severity_go_together(path, missing):
    columns = make_columns(shift=True)
    del columns[missing]
    with pytest.raises(SidekickError, match="corruption and severity go together"):
        write(path, **columns)


def test_an_id_may_occur_once_per_corruption_and_severity(path):
    columns = make_columns(shift=True)
    columns["severity"][1] = 1
    with pytest.raises(SidekickError, match=r"\('img_000', 'fog', .*1.*\) occurs again in row 1"):
        write(path, **columns)


def make_table(**changes):
    """A table as the contract has it, with some columns replaced (or left out, if None)."""
    logits = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(6, np.float16)), 2)
    columns = {
        "sample_id": pa.array(["a", "b", "c"]),
        "label": pa.array([0, 1, 0], pa.int32()),
        "logits": logits,
        "logit_max": pa.array([0.0, 1.0, 2.0], pa.float32()),
        **changes,
    }
    return pa.table({name: values for name, values in columns.items() if values is not None})


def vectors(values, kind=None):
    return pa.FixedSizeListArray.from_arrays(pa.array(values, kind), 2)


FOREIGN = {
    "no ids": ({"sample_id": None}, r"no column \['sample_id'\]; it has \['label'"),
    "no labels": ({"label": None}, "no column"),
    "no logits": ({"logits": None}, "no column"),
    "no maxima": ({"logit_max": None}, "no column"),
    "ids are numbers": (
        {"sample_id": pa.array([1, 2, 3])},
        "'sample_id' is of type int64, not str",
    ),
    "labels are names": (
        {"label": pa.array(["a", "b", "c"])},
        "'label' is of type string, not int",
    ),
    "labels are floats": ({"label": pa.array([0.0, 1.0, 0.0])}, "'label' is of type double"),
    "a label is missing": ({"label": pa.array([0, None, 1])}, "'label' has 1 nulls"),
    "an id is missing": ({"sample_id": pa.array(["a", None, "c"])}, "'sample_id' has 1 nulls"),
    "lists of any size": ({"logits": pa.array([[0.0, 1.0]] * 3)}, "'logits' is of type list"),
    "logits are integers": ({"logits": vectors([0] * 6)}, "'logits' is of type fixed_size_list"),
    "a logit is missing": ({"logits": vectors([0.0, None] * 3)}, "'logits' has 3 nulls"),
    "a row is missing": (
        {"logits": pa.array([[0.0, 1.0], None, [1.0, 0.0]], pa.list_(pa.float16(), 2))},
        "'logits' has .* nulls",
    ),
    "a NaN logit": ({"logits": vectors([0.0, 0.0, np.nan, 0.0, 0.0, 0.0])}, "a NaN logit in row 1"),
    "label too large": ({"label": pa.array([0, 1, 2])}, "a label out of range in row 2 .sample c"),
    "label far too large": ({"label": pa.array([0, 1, 2**32])}, "a label out of range in row 2"),
    "twice": ({"sample_id": pa.array(["a", "b", "a"])}, "sample a occurs again in row 2"),
    "corruption alone": ({"corruption": pa.array(["fog"] * 3)}, "go together"),
    "severity is text": (
        {"corruption": pa.array(["fog"] * 3), "severity": pa.array(["1"] * 3)},
        "'severity' is of type string",
    ),
    "features are text": ({"features": pa.array(["1"] * 3)}, "'features' is of type string"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files_that_break_the_contract_are_refused_when_read(path, name):
    changes, message = FOREIGN[name]
    write_table(make_table(**changes), path, {})
    with pytest.raises(SidekickError, match=message) as caught:
        read_logits(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_foreign_files_that_keep_the_contract_are_read(tmp_path):
    """Float32 logits, wide integers and large strings, as polars writes them, without metadata."""
    path = tmp_path / "foreign.parquet"
    pl.DataFrame(
        {
            "sample_id": ["a", "b"],
            "label": [1, 0],
            "logits": pl.Series([[0.5, 2.0], [1.0, -1.0]], dtype=pl.Array(pl.Float32, 2)),
            "logit_max": [0.0, 0.0],
        }
    ).write_parquet(path)
    cache = read_logits(path)
    assert cache.sample_ids.tolist() == ["a", "b"]
    assert cache.labels.dtype == np.int32
    assert cache.logits.tolist() == [[0.5, 2.0], [1.0, -1.0]]


def test_a_class_count_that_is_not_the_recorded_one_is_refused(path):
    write_table(make_table(), path, {"classes": 3})
    with pytest.raises(SidekickError, match="2 logits per row, but the file records 3 classes"):
        read_logits(path)


def test_a_missing_file_is_named(path):
    with pytest.raises(SidekickError, match=r"test\.parquet: no such file"):
        read_logits(path)


# ------------------------------------------------------------------------------------- damage


def test_every_truncated_file_is_refused(path):
    content = write(path, **make_columns()).read_bytes()
    for length in [*range(0, len(content), 37), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(SidekickError, match=r"not a readable Parquet file.*Delete it"):
            read_logits(path)


def test_every_flipped_bit_is_refused_or_harmless(path):
    """Also in the footer, which Parquet itself does not protect: it holds the number of rows."""
    good = read_logits(write(path, **make_columns(shift=True, features=2)))
    facts = read_facts(path)
    content = path.read_bytes()
    refused = 0
    for position in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        try:
            cache = read_logits(path)
        except SidekickError:
            refused += 1
            continue
        for name in ("sample_ids", "labels", "logits", "logit_max", "severity", "features"):
            np.testing.assert_array_equal(getattr(cache, name), getattr(good, name))
        assert read_facts(path) == facts
    assert refused > 0.9 * len(content) / 3


def test_nothing_is_left_when_writing_fails(path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        write(path, **make_columns())
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("rows", [1, 4, 5, 6, 100])
@pytest.mark.parametrize("shift", [False, True])
def test_row_groups_do_not_show(path, monkeypatch, rows, shift):
    columns = make_columns(shift=shift, features=3)
    whole = read_logits(write(path, **columns))
    monkeypatch.setattr(storage, "_GROUP_ELEMENTS", 4 * rows)
    parts = read_logits(write(path, **columns))
    with pq.ParquetFile(path) as file:
        assert file.num_row_groups == -(-6 // rows)
    for field in fields(CachedLogits):
        np.testing.assert_array_equal(getattr(parts, field.name), getattr(whole, field.name))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_the_offending_row_is_named_whatever_its_row_group(path, monkeypatch, value):
    monkeypatch.setattr(storage, "_GROUP_ELEMENTS", 8)
    columns = make_columns()
    columns["logits"][4] = value
    with pytest.raises(SidekickError, match=f"row 4 .sample {columns['sample_ids'][4]},"):
        write(path, **columns)
    columns["logits"][4, 0] = 1.0
    with pytest.raises(SidekickError, match="row 4 "):
        write(path, **columns)


# -------------------------------------------------------------------------------------- parts


def test_take_selects_rows_of_every_column():
    cache = make_cache(n=6, shift=True, features=2)
    part = cache.take(np.array([4, 1]))
    assert isinstance(part, CachedLogits)
    assert part.source == cache.source
    for name in ("sample_ids", "labels", "logits", "corruption", "severity", "features"):
        np.testing.assert_array_equal(getattr(part, name), getattr(cache, name)[[4, 1]])
    assert make_cache().take(np.array([True] + [False] * 5)).severity is None


def test_cells_are_every_corruption_at_every_severity():
    cache = make_cache(n=9, shift=True)
    cells = dict(cache.cells())
    assert list(cells) == [ShiftCell("fog", 1), ShiftCell("fog", 2), ShiftCell("snow", 1)]
    for key, part in cells.items():
        assert part.sample_ids.tolist() == ["img_000", "img_001", "img_002"]
        assert set(part.corruption) == {key.corruption}
        assert set(part.severity) == {key.severity}
    np.testing.assert_array_equal(cells["fog", 2].logits, cache.logits[1::3])


def test_a_split_that_is_not_shifted_is_one_cell():
    cache = make_cache()
    assert list(cache.cells()) == [(None, cache)]


def test_logits_are_checked_before_they_are_written(path):
    with pytest.raises(SidekickError):
        write_logits(path, ["a", "a"], [0, 0], np.zeros((2, 2)), {})
    assert not path.exists()


def test_reading_is_lossless_with_respect_to_the_table(path):
    table = read_table(write(path, **make_columns()))
    cache = read_logits(path)
    assert table["label"].to_pylist() == cache.labels.tolist()
    assert table["logits"].to_pylist() == cache.logits.tolist()


def test_extra_columns_are_passed_over(path):
    columns = make_columns()
    extras = {
        "subject": np.array(["law", "art", "", "law", "é", "art"], dtype=object),
        "entropy": np.linspace(0, 1, 6, dtype=np.float32),
        "answer_tokens": np.arange(6, dtype=np.int32),
    }
    write(path, **columns, extras=extras)
    table = read_table(path)
    assert table.column_names[-3:] == list(extras)
    for name, values in extras.items():
        assert table[name].to_pylist() == values.tolist()
    assert (read_logits(path).labels == columns["labels"]).all()


def test_the_entropy_of_an_answer_is_kept_with_its_row(path):
    entropy = np.linspace(0, 1, 6, dtype=np.float32)
    write(path, **make_columns(), extras={"entropy": entropy})
    cache = read_logits(path)
    assert (cache.take(np.array([4, 1])).entropy == entropy[[4, 1]]).all()


def test_without_an_entropy_there_is_none(path):
    write(path, **make_columns())
    assert read_logits(path).entropy is None


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("label", np.zeros(6), "column 'label' belongs to the cache itself"),
        ("entropy", np.zeros(5), "column 'entropy' has 5 values for 6 rows"),
        (
            "entropy",
            np.array([0, 1, np.nan, 1, 0, 1], np.float32),
            "an entropy that is not finite in row 2",
        ),
    ],
)
def test_extra_columns_are_checked(path, name, values, message):
    with pytest.raises(SidekickError, match=message):
        write(path, **make_columns(), extras={name: values})
    assert not path.exists()
