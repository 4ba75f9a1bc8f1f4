import json
import shutil

import numpy as np
import pyarrow as pa
import pytest

from sidekick.artifacts import read_json, read_table, write_table
from sidekick.datasets.corruptions import corrupt
from sidekick.datasets.reading import (
    StoredFormat,
    iterate_split,
    load_split,
    load_stored_split,
    read_card,
)
from sidekick.datasets.samples import decode_images, encode_images
from sidekick.errors import SidekickError
from unit.datasets.small import SEEDS, SHIFT, SIZES
from unit.datasets.stored import encode, random_image, write_dataset

SHAPE = (6, 5, 3)


@pytest.fixture
def copy(prepared, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(prepared, tmp_path / "copy")


@pytest.fixture(scope="module")
def source(all_digits):
    return {name: row for row, name in enumerate(all_digits.sample_ids)}


@pytest.fixture
def raw_images():
    return [random_image(*SHAPE[:2], row).tobytes() for row in range(40)]


@pytest.fixture
def stored(tmp_path, raw_images):
    """Rows in any order, in row groups of five, with a shift set."""
    shift = np.stack([random_image(*SHAPE[:2], row) for row in range(60)])
    return write_dataset(tmp_path / "stored", raw_images, shape=SHAPE, encoded=False, shift=shift)


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
    card = read_json(path)
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


def together(parts):
    """Put the parts of an iterated split together."""
    parts = list(parts)
    names = ("sample_ids", "labels", "corruption", "severity")
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in names
        if getattr(parts[0], name) is not None
    }
    return columns, [bytes(image.as_py()) for part in parts for image in part.images]


@pytest.mark.parametrize("split", ["train", "val", "test", "shift"])
@pytest.mark.parametrize("batch", [1, 4, 7, 1000])
def test_iterating_equals_loading(stored, split, batch):
    whole = load_split(stored, split, 1)
    parts = list(iterate_split(stored, split, 1, batch))
    assert all(len(part) == batch for part in parts[:-1])
    columns, images = together(parts)
    keys = [columns["sample_ids"]]
    if split == "shift":
        keys += [columns["corruption"], columns["severity"]]
        assert columns["severity"].dtype == np.int8
    order = sorted(range(len(keys[0])), key=lambda row: [key[row] for key in keys])
    assert [columns["sample_ids"][row] for row in order] == whole.sample_ids.tolist()
    assert [columns["labels"][row] for row in order] == whole.labels.tolist()
    assert [images[row] for row in order] == [image.tobytes() for image in whole.images]
    pixels = np.concatenate([part.pixels() for part in parts])
    np.testing.assert_array_equal(pixels[order], whole.images)


def test_batches_do_not_depend_on_row_groups(tmp_path, raw_images):
    first, second = (
        write_dataset(tmp_path / str(group), raw_images, shape=SHAPE, encoded=False, group=group)
        for group in (1, 100)
    )
    for one, other in zip(
        iterate_split(first, "train", 0, 4), iterate_split(second, "train", 0, 4), strict=True
    ):
        assert one.sample_ids.tolist() == other.sample_ids.tolist()
        assert one.images.to_pylist() == other.images.to_pylist()


@pytest.mark.parametrize("threads", [1, 3])
def test_files_of_one_shape_are_decoded(tmp_path, raw_images, stored, threads):
    files = [encode(np.frombuffer(image, np.uint8).reshape(SHAPE)) for image in raw_images]
    encoded = write_dataset(tmp_path / "files", files, shape=SHAPE)
    expected, loaded = load_split(stored, "train", 0), load_split(encoded, "train", 0, threads)
    np.testing.assert_array_equal(loaded.images, expected.images)
    assert loaded.sample_ids.tolist() == expected.sample_ids.tolist()


def test_files_of_another_shape_than_the_card_says(tmp_path):
    files = [encode(random_image(6, 6 + (row == 3), row)) for row in range(9)]
    folder = write_dataset(tmp_path, files, shape=(6, 6, 3))
    with pytest.raises(SidekickError, match=r"samples.parquet: sample s003: .*\(6, 7, 3\)"):
        load_split(folder, "train", 0)


def test_images_of_varying_size(tmp_path):
    files = [encode(random_image(5 + row, 9, row), "JPEG") for row in range(12)]
    folder = write_dataset(tmp_path, files)
    with pytest.raises(SidekickError, match=r"samples.parquet: its images vary in size"):
        load_split(folder, "train", 0)
    loaded = load_stored_split(folder, "train", 0)
    assert loaded.sample_ids.tolist() == ["s000", "s003", "s006", "s009"]
    assert loaded.format == StoredFormat(encoded=True, shape=None)
    stored = loaded.stored(np.array([3, 0]))
    assert [data.to_pybytes() for data, _ in stored] == [files[9], files[0]]
    assert [name for _, name in stored] == [
        f"{folder / 'samples.parquet'}: sample s009",
        f"{folder / 'samples.parquet'}: sample s000",
    ]


def test_a_shift_set_may_have_a_shape_of_its_own(tmp_path):
    files = [encode(random_image(9, 9 + row, row)) for row in range(9)]
    shift = np.stack([random_image(7, 7, row) for row in range(4)])
    folder = write_dataset(tmp_path, files, shift=shift)
    assert load_split(folder, "shift", 0).images.shape == (4, 7, 7, 3)


def test_raw_images_of_another_size_are_named(tmp_path, raw_images):
    raw_images[6] = raw_images[6][:-1]
    folder = write_dataset(tmp_path, raw_images, shape=SHAPE, encoded=False)
    message = r"samples.parquet: the image of sample s006 has 89 bytes; shape \(6, 5, 3\) needs 90"
    with pytest.raises(SidekickError, match=message):
        load_split(folder, "train", 0)


def test_a_split_without_rows_is_one_empty_part(tmp_path, raw_images):
    folder = write_dataset(tmp_path, raw_images, shape=SHAPE, encoded=False)
    (part,) = iterate_split(folder, "shift", 0, 4)
    assert len(part) == 0
    assert part.pixels().shape[0] == 0
    assert part.severity.dtype == np.int8


def test_a_repeated_sample_is_refused(copy):
    path = copy / "samples.parquet"
    table = read_table(path)
    double = load_split(copy, "train", 0).sample_ids[0]
    again = table.filter(pa.compute.equal(table["sample_id"], double))
    write_table(pa.concat_tables([table, again]), path, {})
    with pytest.raises(SidekickError, match=rf"samples\.parquet: sample {double} occurs more"):
        load_split(copy, "train", 0)


def test_memory_while_iterating_is_bounded(tmp_path):
    # 60 MB of images in row groups of 2 MB.
    image = bytes(200_000)
    folder = write_dataset(tmp_path, [image] * 300, shape=(200_000 // 300, 100, 3), group=10)
    before, most = pa.total_allocated_bytes(), 0
    for _ in iterate_split(folder, "train", 0, 4):
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 8e6
