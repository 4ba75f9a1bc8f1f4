import json

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from sidekick.artifacts import read_facts, read_table
from sidekick.errors import SidekickError
from unit.datasets.small import SEEDS, SHIFT, SIZES

FILES = (
    "samples.parquet",
    "shift.parquet",
    "splits/seed0.parquet",
    "splits/seed1.parquet",
    "dataset.json",
)


def test_two_runs_write_the_same_bytes(prepared, prepare, tmp_path):
    again = prepare(tmp_path)
    for name in FILES:
        assert (again / name).read_bytes() == (prepared / name).read_bytes(), name


def test_order_in_the_config_does_not_matter(prepared, prepare, tmp_path):
    turned = {key: values[::-1] for key, values in SHIFT.items() if key != "samples"}
    again = prepare(tmp_path, shift={**SHIFT, **turned}, seeds=SEEDS[::-1])
    for name in FILES:
        assert (again / name).read_bytes() == (prepared / name).read_bytes(), name


def test_columns_and_metadata(prepared):
    expected = {
        "samples.parquet": ["sample_id", "image", "label", "part"],
        "shift.parquet": ["sample_id", "image", "label", "corruption", "severity"],
        "splits/seed0.parquet": ["seed", "sample_id", "split"],
    }
    types = {
        "sample_id": pa.string(),
        "image": pa.binary(),
        "label": pa.int32(),
        "part": pa.string(),
        "corruption": pa.string(),
        "severity": pa.int8(),
        "seed": pa.int64(),
        "split": pa.string(),
    }
    for name, columns in expected.items():
        schema = read_table(prepared / name).schema
        assert schema.names == columns
        assert [field.type for field in schema] == [types[column] for column in columns]
        facts = read_facts(prepared / name)
        assert facts["benchmark"] == "unit-test"
        assert facts["dataset"] == "digits"
        if not name.startswith("splits"):
            assert facts["revision"]
            assert facts["classes"] == "10"


def test_all_samples_are_stored_once(prepared, all_digits):
    table = read_table(prepared / "samples.parquet")
    assert table["sample_id"].to_pylist() == all_digits.sample_ids.tolist()
    assert table["label"].to_pylist() == all_digits.labels.tolist()
    assert table["image"][5].as_py() == all_digits.images[5].tobytes()
    assert set(table["part"].to_pylist()) == {"all"}


def test_shift_is_a_stratified_part_of_the_test_set_in_every_cell(prepared):
    shift = pl.from_arrow(read_table(prepared / "shift.parquet"))
    ids = set(shift["sample_id"])
    assert len(ids) == SHIFT["samples"]
    for seed in SEEDS:
        splits = pl.from_arrow(read_table(prepared / f"splits/seed{seed}.parquet"))
        assert ids <= set(splits.filter(seed=seed, split="test")["sample_id"])
    cells = shift.group_by("corruption", "severity").len()
    assert set(cells.iter_rows()) == {
        (corruption, severity, SHIFT["samples"])
        for corruption in SHIFT["corruptions"]
        for severity in SHIFT["severities"]
    }
    labels = shift.unique("sample_id")["label"].to_list()
    assert np.bincount(labels).tolist() == [2] * 10


def test_card(prepared):
    card = json.loads((prepared / "dataset.json").read_text())
    assert card["name"] == "digits"
    assert card["classes"] == list("0123456789")
    assert card["image_shape"] == [32, 32, 3]
    assert card["image_format"] == "raw"
    assert card["sizes"] == SIZES
    assert card["has_shift"] is True
    assert card["shift_samples"] == 20
    assert card["corruptions"] == ["gaussian_noise", "pixelate"]
    assert card["severities"] == [1, 5]
    for key in ("title", "revision", "modality", "licence", "citation", "homepage", "main_metric"):
        assert card[key], key
    assert card["files"] == []
    assert card["shift_shape"] == [32, 32, 3]
    assert card["shift_source"] == "generated"
    assert "reader" not in card


def test_main_metric_of_the_config_goes_before_the_registry(prepared, prepare, tmp_path):
    card = json.loads((prepare(tmp_path, main_metric="macro_f1") / "dataset.json").read_text())
    assert card["main_metric"] == "macro_f1"
    assert json.loads((prepared / "dataset.json").read_text())["main_metric"] == "accuracy"


def test_without_shift_the_shift_table_is_empty(prepare, tmp_path):
    folder = prepare(tmp_path, shift=None)
    table = read_table(folder / "shift.parquet")
    assert len(table) == 0
    assert table.schema.names == ["sample_id", "image", "label", "corruption", "severity"]
    card = json.loads((folder / "dataset.json").read_text())
    assert card["has_shift"] is False
    assert card["corruptions"] == card["severities"] == []
    assert card["shift_shape"] is card["shift_source"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"corruptions": ["fog_of_war"]}, r"digits: shift\.corruptions .*fog_of_war.*pixelate"),
        ({"corruptions": []}, r"shift\.corruptions is \[\]"),
        ({"severities": [0, 1]}, r"shift\.severities is \[0, 1\].*\[1, 2, 3, 4, 5\]"),
        ({"severities": [2, 2]}, r"shift\.severities .*each once"),
        ({"samples": 101}, r"shift\.samples is 101; expected 1 to 100"),
        ({"samples": 0}, r"shift\.samples is 0"),
        ({"severity": [1]}, r"shift has the keys .*severity"),
    ],
)
def test_bad_shift_is_refused_before_anything_is_written(change, message, prepare, tmp_path):
    with pytest.raises(SidekickError, match=message):
        prepare(tmp_path, shift={**SHIFT, **change})
    assert list(tmp_path.iterdir()) == []


def test_impossible_sizes_are_refused(prepare, tmp_path):
    with pytest.raises(SidekickError, match=r"dataset digits: splits .*there are 1797"):
        prepare(tmp_path, sizes={"train": 1000, "val": 500, "test": 500})
