import json
import shutil

import numpy as np
import pyarrow as pa
import pytest

from sidekick.artifacts import read_table, write_table
from sidekick.datasets.corruptions import corrupt
from sidekick.datasets.reading import load_split, read_card
from sidekick.datasets.samples import decode_images, encode_images
from sidekick.errors import SidekickError
from unit.datasets.small import SEEDS, SHIFT, SIZES


@pytest.fixture
def copy(prepared, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(prepared, tmp_path / "copy")


@pytest.fixture(scope="module")
def source(all_digits):
    return {name: row for row, name in enumerate(all_digits.sample_ids)}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("split", SIZES)
def test_round_trip(split, seed, prepared, all_digits, source):
    loaded = load_split(prepared, split, seed)
    assert len(loaded) == SIZES[split]
    assert loaded.images.shape == (SIZES[split], 32, 32, 3)
    assert loaded.images.dtype == np.uint8
    assert loaded.images.flags.writeable
    assert loaded.labels.dtype == np.int32
    assert loaded.sample_ids.dtype == object
    assert loaded.sample_ids.tolist() == sorted(set(loaded.sample_ids))
    rows = [source[name] for name in loaded.sample_ids]
    np.testing.assert_array_equal(loaded.images, all_digits.images[rows])
    np.testing.assert_array_equal(loaded.labels, all_digits.labels[rows])
    assert loaded.corruption is None
    assert loaded.severity is None


def test_round_trip_of_shift(prepared, all_digits, source):
    loaded = load_split(prepared, "shift", 0)
    assert len(loaded) == SHIFT["samples"] * 4
    assert loaded.severity.dtype == np.int8
    assert loaded.corruption.dtype == object
    keys = list(zip(loaded.sample_ids, loaded.corruption, loaded.severity, strict=True))
    assert keys == sorted(set(keys))
    for row, (name, corruption, severity) in enumerate(keys):
        expected = corrupt(all_digits.images[source[name]], corruption, int(severity), name)
        np.testing.assert_array_equal(loaded.images[row], expected)
        assert loaded.labels[row] == all_digits.labels[source[name]]


def test_test_and_shift_are_the_same_for_all_seeds(prepared):
    for split in ("test", "shift"):
        first, second = (load_split(prepared, split, seed) for seed in SEEDS)
        assert first.sample_ids.tolist() == second.sample_ids.tolist()
        np.testing.assert_array_equal(first.images, second.images)


def test_rows_of_the_files_may_be_in_any_order(prepared, copy):
    for name in ("samples.parquet", "shift.parquet", "splits/seed1.parquet"):
        table = read_table(copy / name)
        order = np.random.default_rng(0).permutation(len(table))
        write_table(table.take(order), copy / name, {})
    for split in ("train", "shift"):
        expected, loaded = load_split(prepared, split, 1), load_split(copy, split, 1)
        assert expected.sample_ids.tolist() == loaded.sample_ids.tolist()
        np.testing.assert_array_equal(expected.images, loaded.images)


def test_decoding_copes_with_chunks_and_slices():
    images = np.random.default_rng(0).integers(0, 256, (9, 4, 5, 3), dtype=np.uint8)
    column = encode_images(images)
    chunks = pa.chunked_array([column[1:4], column[4:4], column[4:9]])
    np.testing.assert_array_equal(decode_images(chunks, (4, 5, 3), "file"), images[1:9])


def test_decoding_refuses_images_of_another_size():
    chunks = pa.chunked_array([[b"123456", b"123456"], [b"123456", b"12345"]], pa.binary())
    with pytest.raises(SidekickError, match=r"file: the image in row 3 has 5 bytes.*\(1, 2, 3\)"):
        decode_images(chunks, (1, 2, 3), "file")


def test_unknown_split_is_refused(prepared):
    message = r"split 'validation'.*train, val, test, shift"
    with pytest.raises(SidekickError, match=message):
        load_split(prepared, "validation", 0)


def test_unknown_seed_is_refused(prepared):
    with pytest.raises(SidekickError, match=r"seed7\.parquet: no such file"):
        load_split(prepared, "train", 7)


def test_a_dataset_without_shift_has_an_empty_shift_split(prepare, tmp_path):
    prepare(tmp_path, shift=None)
    assert len(load_split(tmp_path, "shift", 0)) == 0
    assert len(load_split(tmp_path, "val", 0)) == SIZES["val"]


@pytest.mark.parametrize("name", ["samples.parquet", "shift.parquet", "splits/seed1.parquet"])
@pytest.mark.parametrize("keep", [0, 100, -10])
def test_truncated_file_is_named(name, keep, copy):
    path = copy / name
    path.write_bytes(path.read_bytes()[:keep])
    split = "shift" if name.startswith("shift") else "train"
    with pytest.raises(SidekickError, match=name):
        load_split(copy, split, 1)


def test_flipped_byte_is_noticed(copy):
    path = copy / "samples.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(SidekickError, match=r"samples\.parquet"):
        load_split(copy, "train", 0)


def test_missing_file_is_named(copy):
    (copy / "samples.parquet").unlink()
    with pytest.raises(SidekickError, match=r"samples\.parquet: no such file"):
        load_split(copy, "train", 0)


def test_sample_that_the_splits_name_but_nobody_has_is_refused(copy):
    path = copy / "samples.parquet"
    lost = load_split(copy, "train", 0).sample_ids[0]
    table = read_table(path)
    keep = [name != lost for name in table["sample_id"].to_pylist()]
    write_table(table.filter(pa.array(keep)), path, {})
    with pytest.raises(SidekickError, match=rf"samples\.parquet: no sample {lost}.*train"):
        load_split(copy, "train", 0)


def test_label_out_of_range_is_refused(copy):
    path = copy / "dataset.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps({**card, "classes": card["classes"][:9]}))
    with pytest.raises(SidekickError, match=r"samples\.parquet: label 9 in row 9.*9 classes"):
        load_split(copy, "train", 0)


def test_read_card(prepared, copy):
    assert read_card(prepared)["name"] == "digits"
    (copy / "dataset.json").write_text("{}")
    with pytest.raises(SidekickError, match=r"dataset\.json: not a dataset's card"):
        read_card(copy)
    (copy / "dataset.json").write_text("{")
    with pytest.raises(SidekickError, match=r"dataset\.json: not a JSON file"):
        read_card(copy)
