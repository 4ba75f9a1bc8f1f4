"""Prepare text datasets, from made files in the hub's layout and from the real sets."""

import json
import shutil

import pytest

from sidekick.artifacts import read_facts, read_table
from sidekick.datasets import DATASETS, get_dataset
from sidekick.datasets.checksums import file_checksum
from sidekick.datasets.questions import read_questions, read_shots
from sidekick.errors import SidekickError
from unit.datasets.asked import (
    ARC,
    GSM8K,
    SHARD,
    arc_folder,
    arc_row,
    gsm8k_row,
    mmlu_folder,
    mmlu_row,
    parquet,
    prepare,
)
from unit.datasets.made import REAL

real = pytest.mark.skipif(not REAL.exists(), reason="needs the real sets in ../shared/data")
SIZES = {"train": 10, "val": 8, "test": 12}
FILES = ("samples.parquet", "shift.parquet", "dataset.json")


def card_of(folder):
    return json.loads((folder / "dataset.json").read_text())


@pytest.fixture
def hub(tmp_path):
    return arc_folder(tmp_path / "hub")


def test_a_folder_gives_all_files(tmp_path, hub):
    folder = prepare(tmp_path / "made", "arc_easy", hub, SIZES, seeds=(0, 1))
    card = card_of(folder)
    assert (card["modality"], card["task"], card["has_shift"]) == ("text", "multiple_choice", False)
    assert card["classes"] == list("ABCD")
    assert card["parts"] == {"dev": 25, "test": 16, "train": 15, "val": 12}
    assert card["sizes"] == SIZES
    assert card["missing_files"] == {}
    assert card["main_metric"] == "accuracy"
    for key in ("title", "licence", "citation", "homepage"):
        assert card[key] == getattr(get_dataset("arc_easy"), key)
    assert not {"image_shape", "image_format", "parts_of", "reader", "shots"} & set(card)
    shift = read_table(folder / "shift.parquet")
    assert len(shift) == 0
    assert {"sample_id", "label", "corruption", "severity"} <= set(shift.column_names)
    facts = read_facts(folder / "samples.parquet")
    assert (facts["benchmark"], facts["classes"]) == ("unit-test", "4")
    assert facts["revision"] == card["revision"]


def test_shots_are_in_no_split(tmp_path, hub):
    folder = prepare(tmp_path / "made", "arc_easy", hub, {"train": 15, "val": 12, "test": 16})
    shown = {q.sample_id for q in read_shots(folder)}
    used = {q.sample_id for split in SIZES for q in read_questions(folder, split, 0)}
    assert not shown & used
    assert len(shown | used) == 68


def test_two_runs_write_the_same(tmp_path, hub):
    one, other = (prepare(tmp_path / name, "arc_easy", hub, SIZES) for name in ("one", "two"))
    for name in (*FILES, "splits/seed0.parquet"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_a_folder_is_fingerprinted(tmp_path, hub):
    card = card_of(prepare(tmp_path / "one", "arc_easy", hub, SIZES))
    assert card["revision"].startswith("hub-210d026faf99+local-")
    for record in card["files"]:
        path = hub / record["name"]
        assert record["checksum"] == file_checksum(path, "sha256")
        assert record["bytes"] == path.stat().st_size
        assert record["verified"] is False
    parquet(hub / f"test{SHARD}", [arc_row(number) for number in range(100, 116)], ARC)
    assert (
        card_of(prepare(tmp_path / "two", "arc_easy", hub, SIZES))["revision"] != card["revision"]
    )


def checksums(folder):
    return {path.name: file_checksum(path, "sha256") for path in folder.iterdir()}


def test_downloads_are_verified(tmp_path, hub):
    paths = sorted(hub.iterdir())
    with pytest.raises(SidekickError, match=r"test-0.*expected sha256:4160.*checksum: {'test-0"):
        prepare(tmp_path / "made", "arc_easy", paths, SIZES)
    assert not (tmp_path / "made").exists() or not list((tmp_path / "made").iterdir())
    folder = prepare(tmp_path / "made", "arc_easy", paths, SIZES, checksum=checksums(hub))
    card = card_of(folder)
    assert card["revision"].startswith("hub-210d026faf99+")
    assert "local" not in card["revision"]
    assert all(record["verified"] for record in card["files"])


def test_a_checksum_can_be_demanded_of_a_folder(tmp_path, hub):
    wrong = {**checksums(hub), f"test{SHARD}": "sha256:" + "0" * 64}
    with pytest.raises(SidekickError, match=rf"test{SHARD}: its checksum is"):
        prepare(tmp_path / "made", "arc_easy", hub, SIZES, checksum=wrong)
    with pytest.raises(SidekickError, match="arc_easy: no file 'other'; its files are"):
        prepare(tmp_path / "made", "arc_easy", hub, SIZES, checksum={"other": "md5:0"})
    with pytest.raises(SidekickError, match="cannot be that of several files"):
        prepare(tmp_path / "made", "arc_easy", hub, SIZES, checksum="md5:" + "0" * 32)


def test_a_dataset_of_text_has_no_shift(tmp_path, hub):
    shift = {"samples": 3, "corruptions": ["fog"], "severities": [1]}
    with pytest.raises(SidekickError, match="arc_easy: it has no shift set"):
        prepare(tmp_path / "made", "arc_easy", hub, SIZES, shift=shift)


def test_ids_that_occur_twice_are_refused(tmp_path, hub):
    parquet(hub / f"validation{SHARD}", [arc_row(0)] * 2, ARC)
    with pytest.raises(SidekickError, match="dataset arc_easy: two questions have the id Q_0"):
        prepare(tmp_path / "made", "arc_easy", hub, SIZES)


@pytest.fixture
def mmlu(tmp_path):
    return mmlu_folder(
        tmp_path / "all",
        test=[mmlu_row(number) for number in range(20)],
        dev=[mmlu_row(number) for number in range(100, 110)],
    )


def test_parts_without_a_file_are_replaced_by_nothing(tmp_path, mmlu):
    folder = prepare(tmp_path / "made", "mmlu", mmlu, {"train": 0, "val": 0, "test": 20})
    assert sorted(card_of(folder)["missing_files"]) == ["train", "val"]
    assert len(read_questions(folder, "test", 0)) == 20
    assert read_questions(folder, "val", 0) == []
    assert len(read_shots(folder)) == 10


@pytest.mark.parametrize(
    ("sizes", "name"),
    [
        ({"train": 0, "val": 1, "test": 20}, f"validation{SHARD}"),
        ({"train": 1, "val": 0, "test": 20}, f"auxiliary_train{SHARD}"),
    ],
)
def test_asking_for_a_missing_part_is_refused_with_what_to_do(tmp_path, mmlu, sizes, name):
    message = rf"the file {name} is missing\. Get it from https://huggingface\.co/.*{name} and put"
    with pytest.raises(SidekickError, match=message):
        prepare(tmp_path / "made", "mmlu", mmlu, sizes)
    assert not (tmp_path / "made").exists()


def test_mmlu_trains_on_the_auxiliary_set_but_for_what_it_tests(tmp_path, mmlu):
    auxiliary = [mmlu_row(number, subject="") for number in (3, 200, 201, 201, 105, 300)]
    validation = [mmlu_row(number) for number in (4, 300, 301)]
    mmlu_folder(mmlu, auxiliary_train=auxiliary, validation=validation)
    folder = prepare(tmp_path / "made", "mmlu", mmlu, {"train": 2, "val": 2, "test": 20})
    card = card_of(folder)
    assert card["duplicates"]["removed"] == {
        "dev": {"asked_elsewhere": 0},
        "train": {"asked_elsewhere": 3, "repeated": 1},
        "val": {"asked_elsewhere": 1, "repeated": 0},
    }
    trained = {q.question for q in read_questions(folder, "train", 0)}
    assert trained == {"Question 200?", "Question 201?"}
    assert card["subjects"]["test"] == {"art": 10, "law": 10}


def test_gsm8k_takes_val_and_shots_from_train(tmp_path):
    hub = tmp_path / "main"
    parquet(hub / f"train{SHARD}", [gsm8k_row(number) for number in range(30)], GSM8K)
    parquet(hub / f"test{SHARD}", [gsm8k_row(number) for number in range(30, 42)], GSM8K)
    folder = prepare(tmp_path / "made", "gsm8k", hub, {"train": 12, "val": 10, "test": 12}, (0, 1))
    card = card_of(folder)
    assert (card["task"], card["classes"], card["val_from"]) == ("generation", ["answer"], "train")
    assert card["missing_files"] == {}
    shown = [q.question for q in read_shots(folder)]
    assert shown == [f"Problem {number}?" for number in range(8)]
    for seed in (0, 1):
        train, val = (
            {q.question for q in read_questions(folder, split, seed)} for split in ("train", "val")
        )
        assert (len(train), len(val)) == (12, 10)
        assert not train & val
        assert not (train | val) & set(shown)


def test_graded_mcq_needs_no_file(tmp_path):
    sizes = {"train": 3000, "val": 300, "test": 600}
    folder = prepare(tmp_path / "made", "graded_mcq", None, sizes, seeds=(0, 1))
    card = card_of(folder)
    assert (card["revision"], card["files"]) == ("generator-1", [])
    assert card["classes"] == list("ABCD")
    assert card["duplicates"]["removed"] == {
        "dev": {"asked_elsewhere": 0},
        "train": {"asked_elsewhere": 0, "repeated": 0},
        "val": {"asked_elsewhere": 0, "repeated": 0},
    }
    tests = [read_questions(folder, "test", seed) for seed in (0, 1)]
    assert tests[0] == tests[1]
    counts = {(q.subject, q.level) for q in tests[0]}
    assert len(counts) == 30
    first, second = (read_questions(folder, "train", seed) for seed in (0, 1))
    assert first != second
    assert not {q.question for q in first} & {q.question for q in tests[0]}
    assert len(read_shots(folder)) == 30


@real
@pytest.mark.parametrize(
    ("name", "source", "sizes", "removed"),
    [
        ("arc_easy", "ai2_arc", {"train": 2217, "val": 570, "test": 2376}, (9, 0)),
        ("arc_challenge", "ai2_arc", {"train": 1087, "val": 297, "test": 1170}, (6, 2)),
        ("mmlu", "mmlu/all", {"train": 0, "val": 0, "test": 14_042}, (0, 0)),
    ],
)
def test_the_real_sets(tmp_path, name, source, sizes, removed):
    folder = prepare(tmp_path / "made", name, REAL / source, sizes)
    card = card_of(folder)
    assert "+local-" in card["revision"]
    assert len(card["classes"]) == DATASETS[name].class_count
    dropped = card["duplicates"]["removed"]
    assert (dropped["train"]["asked_elsewhere"], dropped["val"]["asked_elsewhere"]) == removed
    tested = {" ".join(q.question.casefold().split()) for q in read_questions(folder, "test", 0)}
    for split in ("train", "val"):
        for question in read_questions(folder, split, 0):
            assert " ".join(question.question.casefold().split()) not in tested
    if name == "mmlu":
        assert card["indistinct_choices"]["test"] == 9
        assert card["duplicates"]["kept"] == {
            "dev": {"asked_in_test": 5},
            "test": {"repeated": 106},
        }
        assert len(read_shots(folder)) == 285


@real
@pytest.mark.parametrize("cut", [100, 5_000, 120_000])
def test_a_real_file_that_is_cut_off_is_refused(tmp_path, cut):
    hub = tmp_path / "hub"
    shutil.copytree(REAL / "ai2_arc/ARC-Challenge", hub)
    path = hub / f"test{SHARD}"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(SidekickError, match=rf"test{SHARD}: not a readable Parquet file"):
        prepare(tmp_path / "made", "arc_challenge", hub, {"train": 1, "val": 1, "test": 1})
