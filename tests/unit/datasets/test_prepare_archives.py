"""Prepare what comes as archives: made ones for every case, and slices of the real ones."""

import errno
import hashlib
import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from sidekick.artifacts import read_facts, read_table
from sidekick.datasets import tables
from sidekick.datasets.archives import open_archive
from sidekick.datasets.cifar import read_cifar100
from sidekick.datasets.prepare import draw_splits, prepare_dataset
from sidekick.errors import SidekickError
from unit.datasets.made import (
    REAL,
    cifar100,
    cifar_batch,
    corrupted,
    food,
    jpeg,
    pickled,
    tar,
    tiny,
    unpacked,
    zipped,
)

real = pytest.mark.skipif(not REAL.exists(), reason="needs the real slices in ../shared/data")
FILES = ("samples.parquet", "shift.parquet", "dataset.json")
SHIFT = {"samples": 6, "corruptions": ["pixelate", "gaussian_noise"], "severities": [1, 5]}


def md5(path):
    return f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}"


def prepare(folder, name, archive, sizes, shift=SHIFT, **changes):
    """Prepare an archive by its own checksum; anything may be changed."""
    is_file = Path(archive).is_file()
    options = {
        "archives": {"dataset": archive, **changes.pop("archives", {})},
        "checksum": md5(archive) if is_file else None,
        **changes,
    }
    prepare_dataset(
        name=name,
        facts={"benchmark": "unit-test"},
        sizes=sizes,
        shift=shift,
        samples_path=folder / "samples.parquet",
        shift_path=folder / "shift.parquet",
        card_path=folder / "dataset.json",
        **options,
    )
    return json.loads((folder / "dataset.json").read_text())


CASES = {
    "cifar100": (
        lambda folder: tar(folder / "cifar.tar.gz", pickled(cifar100())),
        {"train": 18, "val": 9, "test": 9},
    ),
    "food101": (
        lambda folder: tar(folder / "food.tar.gz", food()),
        {"train": 9, "val": 6, "test": 6},
    ),
    "tinyimagenet": (
        lambda folder: zipped(folder / "tiny.zip", tiny()),
        {"train": 12, "val": 6, "test": 9},
    ),
}


@pytest.fixture(params=CASES)
def case(request, tmp_path):
    make, sizes = CASES[request.param]
    return request.param, make(tmp_path), sizes


def test_threads_change_nothing(case, tmp_path):
    name, archive, sizes = case
    shift = {**SHIFT, "size": 16}
    for threads in (1, 3):
        prepare(tmp_path / str(threads), name, archive, sizes, shift, threads=threads)
    for file in FILES:
        one, three = ((tmp_path / threads / file).read_bytes() for threads in ("1", "3"))
        assert one == three, file


def test_card_says_what_was_read(case, tmp_path):
    name, archive, sizes = case
    card = prepare(tmp_path, name, archive, sizes)
    size = archive.stat().st_size
    assert card["files"] == [{"name": archive.name, "checksum": md5(archive), "bytes": size}]
    assert card["revision"].endswith(f"+{md5(archive)[4:16]}")
    assert len(card["classes"]) == 3
    for file in FILES[:2]:
        assert read_facts(tmp_path / file)["revision"] == card["revision"]
        assert read_facts(tmp_path / file)["classes"] == "3"
    shapes = {
        "cifar100": ("raw", [32, 32, 3], [32, 32, 3]),
        "food101": ("encoded", None, [256, 256, 3]),
        "tinyimagenet": ("encoded", [64, 64, 3], [64, 64, 3]),
    }
    assert (card["image_format"], card["image_shape"], card["shift_shape"]) == shapes[name]


def test_shift_is_of_test_images_only(case, tmp_path):
    name, archive, sizes = case
    prepare(tmp_path, name, archive, sizes)
    samples = pl.read_parquet(tmp_path / "samples.parquet")
    shift = pl.read_parquet(tmp_path / "shift.parquet")
    assert shift.group_by("corruption", "severity").len()["len"].to_list() == [6] * 4
    joined = shift.join(samples, "sample_id", suffix="_clean")
    assert len(joined) == len(shift)
    assert set(joined["part"]) == {"test"}
    assert (joined["label"] == joined["label_clean"]).all()
    draw_splits(
        dataset_folder=tmp_path,
        sizes=sizes,
        seed=3,
        facts={},
        splits_path=tmp_path / "splits/seed3.parquet",
    )
    splits = pl.read_parquet(tmp_path / "splits/seed3.parquet").join(samples, "sample_id")
    assert set(splits.filter(split="test")["part"]) == {"test"}
    assert set(splits.filter(pl.col("split") != "test")["part"]) == {"train"}
    assert set(shift["sample_id"]) <= set(splits.filter(split="test")["sample_id"])


def test_encoded_images_keep_their_bytes(tmp_path):
    members = tiny()
    prepare(tmp_path, "tinyimagenet", zipped(tmp_path / "t.zip", members), CASES["tinyimagenet"][1])
    table = read_table(tmp_path / "samples.parquet")
    images = dict(zip(table["sample_id"].to_pylist(), table["image"].to_pylist(), strict=True))
    assert images["n01_0"] == members["tiny-imagenet-200/train/n01/images/n01_0.JPEG"]
    column = pq.ParquetFile(tmp_path / "samples.parquet").metadata.row_group(0).column(1)
    assert (column.path_in_schema, column.compression) == ("image", "UNCOMPRESSED")


@pytest.mark.parametrize("name", ["food101", "tinyimagenet"])
def test_order_of_the_archive_changes_neither_splits_nor_shift(name, tmp_path):
    make, sizes = {"food101": food, "tinyimagenet": tiny}[name], CASES[name][1]
    members = make()
    items = list(members.items())
    random.Random(1).shuffle(items)
    tables_of = {}
    for key, these in (("first", members), ("shuffled", dict(items))):
        folder = tmp_path / key
        card = prepare(folder, name, unpacked(folder / "data", these), sizes)
        archive = tar(tmp_path / f"{key}.tar.gz", these)
        prepare(folder, name, archive, sizes, {**SHIFT, "size": 16})
        draw_splits(
            dataset_folder=folder, sizes=sizes, seed=0, facts={}, splits_path=folder / "splits"
        )
        keys = ["sample_id", "corruption", "severity"]
        tables_of[key] = (
            card["revision"],
            pl.read_parquet(folder / "samples.parquet").sort("sample_id"),
            pl.read_parquet(folder / "shift.parquet").sort(keys),
            pl.read_parquet(folder / "splits"),
        )
    first, shuffled = tables_of.values()
    assert first[0] == shuffled[0]
    assert "+local-" in first[0]
    assert all(one.equals(other) for one, other in zip(first[1:], shuffled[1:], strict=True))


def test_a_folder_is_told_by_its_contents(tmp_path):
    sizes = CASES["tinyimagenet"][1]
    members = tiny()
    card = prepare(tmp_path, "tinyimagenet", unpacked(tmp_path / "a", members), sizes)
    members["tiny-imagenet-200/words.txt"] += b"\n"
    other = prepare(tmp_path, "tinyimagenet", unpacked(tmp_path / "b", members), sizes)
    assert card["revision"] != other["revision"]
    assert card["files"][0]["name"] == "a"
    with pytest.raises(SidekickError, match=r"a: checksum 'md5:.*but a folder has none"):
        prepare(
            tmp_path,
            "tinyimagenet",
            tmp_path / "a",
            sizes,
            checksum="md5:" + "0" * 32,
        )


def nothing_is_written(folder):
    return not [path for path in folder.rglob("*") if path.is_file()]


def test_a_wrong_checksum_is_refused(case, tmp_path):
    name, archive, sizes = case
    out = tmp_path / "out"
    for checksum in (None, "md5:" + "0" * 32):
        with pytest.raises(SidekickError, match=rf"{archive}: its checksum is .*expected") as error:
            prepare(out, name, archive, sizes, checksum=checksum)
        assert "give `checksum:" in str(error.value)
    assert nothing_is_written(out)


def test_a_missing_archive_is_refused(tmp_path):
    with pytest.raises(SidekickError, match=r"cifar100: 0 archives given; expected cifar-100-py"):
        prepare(tmp_path, "cifar100", tmp_path, {"test": 9}, archives={"dataset": []})


def spoilt(members, name, contents):
    return {**members, name: contents}


@pytest.mark.parametrize(
    ("name", "members", "message"),
    [
        (
            "food101",
            spoilt(food(), "food-101/images/ramen/104.jpg", jpeg(4)[:-60]),
            r"a\.tar\.gz: sample ramen_104: the image does not decode",
        ),
        (
            "tinyimagenet",
            spoilt(tiny(), "tiny-imagenet-200/val/images/val_7.JPEG", b"<html>"),
            r"a\.tar\.gz: sample val_7: the image does not decode",
        ),
        (
            "tinyimagenet",
            spoilt(tiny(), "tiny-imagenet-200/train/n01/images/val_7.JPEG", jpeg(0)),
            r"a\.tar\.gz: two samples have the id val_7",
        ),
        (
            "food101",
            spoilt(food(), "food-101/../../evil", b""),
            r"a\.tar\.gz: member .*leaves the archive's folder",
        ),
        (
            "food101",
            {n: c for n, c in food().items() if "images/tacos/" not in n},
            r"images/tacos: the class folder is missing",
        ),
        (
            "cifar100",
            pickled({**cifar100(), "test": os.getcwd}),
            r"member test: the pickle refers to posix\.getcwd",
        ),
        ("cifar100", pickled(cifar100(classes=1)), r"1 class; expected at least 2"),
    ],
    ids=[
        "truncated-image",
        "no-image",
        "same-id",
        "path-traversal",
        "class-folder-missing",
        "evil-pickle",
        "one-class",
    ],
)
def test_bad_archives_are_refused_and_leave_nothing(name, members, message, tmp_path):
    archive = tar(tmp_path / "a.tar.gz", members)
    with pytest.raises(SidekickError, match=message):
        prepare(tmp_path / "out", name, archive, CASES[name][1], threads=2)
    assert nothing_is_written(tmp_path / "out")


def test_sizes_beyond_the_official_parts_are_refused(case, tmp_path):
    name, archive, sizes = case
    with pytest.raises(SidekickError, match=r"official test set has"):
        prepare(tmp_path / "out", name, archive, {**sizes, "train": 3, "test": 13})
    assert nothing_is_written(tmp_path / "out")


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return tar(tmp_path_factory.mktemp("clean") / "cifar.tar.gz", pickled(cifar100()))


def publish(folder, labels, name="c.tar"):
    return tar(folder / name, corrupted(labels), "w")


PUBLISHED = {
    "source": "cifar100_c",
    "samples": 6,
    "corruptions": ["gaussian_noise", "fog"],
    "severities": [2, 4],
}


def prepare_published(folder, clean, published, **changes):
    if Path(published).is_file():
        changes = {"checksum": md5(published), **changes}
    return prepare(
        folder,
        "cifar100",
        clean,
        CASES["cifar100"][1],
        {**PUBLISHED, **changes},
        archives={"shift": [published]},
    )


def test_published_shift_rows_belong_to_their_clean_images(clean, tmp_path):
    labels = cifar_batch(12, 3, 1)[b"fine_labels"]
    published = publish(tmp_path, labels)
    card = prepare_published(tmp_path, clean, published)
    shift = pl.read_parquet(tmp_path / "shift.parquet")
    assert len(shift) == 6 * 4
    for row in shift.iter_rows(named=True):
        position = int(row["sample_id"].removeprefix("test_thing_s_"))
        first = {"gaussian_noise": 0, "fog": 1}[row["corruption"]]
        value = 12 * (row["severity"] - 1) + position + first
        assert row["image"] == bytes([value]) * 3072
        assert row["label"] == position % 3
    assert card["shift_source"] == "cifar100_c"
    assert card["shift_revision"].startswith("zenodo-3555552-v1+")
    assert [file["name"] for file in card["files"]] == ["cifar.tar.gz", "c.tar"]
    folder = unpacked(tmp_path / "folder", corrupted(labels))
    prepare_published(tmp_path / "again", clean, folder)
    again = pl.read_parquet(tmp_path / "again/shift.parquet")
    assert again.equals(shift)


def test_published_labels_must_be_those_of_the_test_set(clean, tmp_path):
    labels = cifar_batch(12, 3, 1)[b"fine_labels"]
    labels[4], labels[5] = labels[5], labels[4]
    with pytest.raises(SidekickError, match=r"labels\.npy: label 2 in row 4, where .* has 1"):
        prepare_published(tmp_path / "out", clean, publish(tmp_path, labels))
    assert nothing_is_written(tmp_path / "out")


def test_published_shift_of_another_dataset_is_refused(clean, tmp_path):
    with pytest.raises(SidekickError, match=r"cifar10_c holds images of cifar10"):
        prepare_published(tmp_path, clean, clean, source="cifar10_c")


@real
def test_frost_needs_the_genuine_overlays(clean, tmp_path):
    shift = {**SHIFT, "corruptions": ["frost"]}
    sizes = CASES["cifar100"][1]
    with pytest.raises(SidekickError, match=r"corruption frost needs frost1\.png.*is missing"):
        prepare(tmp_path / "out", "cifar100", clean, sizes, shift)
    folder = shutil.copytree(REAL / "frost", tmp_path / "frost")
    prepare(tmp_path / "a", "cifar100", clean, sizes, shift, archives={"frost": folder})
    files = sorted(folder.iterdir(), reverse=True)
    prepare(tmp_path / "b", "cifar100", clean, sizes, shift, archives={"frost": files}, threads=2)
    one, other = (read_table(tmp_path / name / "shift.parquet") for name in "ab")
    assert one.equals(other)
    (folder / "frost2.png").chmod(0o600)
    shutil.copy(folder / "frost1.png", folder / "frost2.png")
    with pytest.raises(SidekickError, match=r"frost2\.png: its checksum is"):
        prepare(tmp_path / "out", "cifar100", clean, sizes, shift, archives={"frost": folder})
    assert nothing_is_written(tmp_path / "out")


def test_a_disk_that_fills_up_is_named(case, tmp_path, monkeypatch):
    name, archive, sizes = case

    def fill_up(self):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tables.ImageTable, "flush", fill_up)
    with pytest.raises(SidekickError, match=r"out/samples\.parquet: no space left in .*/out"):
        prepare(tmp_path / "out", name, archive, sizes)
    assert nothing_is_written(tmp_path / "out")


def test_a_full_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(command, check=False).returncode:
        pytest.skip("mounting a small disk needs more rights")
    try:
        archive = tar(tmp_path / "cifar.tar.gz", pickled(cifar100()))
        with pytest.raises(SidekickError, match=rf"{disk}/out/samples\.parquet: no space left"):
            prepare(disk / "out", "cifar100", archive, CASES["cifar100"][1])
        assert nothing_is_written(disk)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_row_groups_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "GROUP_BYTES", 10 * 3072)
    archive = tar(tmp_path / "c.tar.gz", pickled(cifar100()))
    prepare(tmp_path, "cifar100", archive, CASES["cifar100"][1], {**SHIFT, "samples": 9})
    metadata = pq.ParquetFile(tmp_path / "samples.parquet").metadata
    rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    assert rows == [10, 10, 10, 10, 2]


@real
def test_real_cifar100_with_its_shift_in_the_published_layout(tmp_path):
    archive = REAL / "cifar-100-python.tar.gz"
    reading = read_cifar100(open_archive(archive, "cifar-100-python"))
    labels = [sample.label for sample in reading.samples if sample.part == "test"]
    published = publish(tmp_path, labels)
    sizes = {"train": 5000, "val": 1000, "test": 2000}
    card = prepare(
        tmp_path,
        "cifar100",
        archive,
        sizes,
        {**PUBLISHED, "samples": 500, "checksum": md5(published)},
        archives={"shift": published},
    )
    assert card["classes"][:2] == ["apple", "aquarium_fish"]
    shift = pl.read_parquet(tmp_path / "shift.parquet")
    assert len(shift) == 500 * 4
    assert np.bincount(shift["label"]).tolist() == [20] * 100


@real
@pytest.mark.parametrize(
    ("name", "file", "sizes", "shape"),
    [
        ("tinyimagenet", "tiny-imagenet-200.zip", (400, 100, 300), [64, 64, 3]),
        ("food101", "food-101.tar.gz", (80, 30, 40), [48, 48, 3]),
    ],
)
def test_real_slices(name, file, sizes, shape, tmp_path):
    sizes = dict(zip(("train", "val", "test"), sizes, strict=True))
    card = prepare(tmp_path, name, REAL / file, sizes, {**SHIFT, "size": 48}, threads=2)
    assert card["shift_shape"] == shape
    shift = read_table(tmp_path / "shift.parquet")
    assert {len(image) for image in shift["image"].to_pylist()} == {int(np.prod(shape))}
