from collections import Counter

import numpy as np
import pytest

from sidekick.datasets.question_splits import make_question_splits
from sidekick.datasets.questions import question_table
from sidekick.errors import SidekickError
from unit.datasets.asked import question

POOLS = {"train": 300, "val": 60, "test": 90, "dev": 6}
SIZES = {"train": 100, "val": 30, "test": 45}


def pool(**counts):
    asked = [
        question(f"{part}{number}", part=part, subject="abc"[number % 3], level=str(number % 2))
        for part, count in {**POOLS, **counts}.items()
        for number in range(count)
    ]
    return question_table(asked)


def draw(samples=None, seed=0, val_from="val", missing=None, **sizes):
    samples = pool() if samples is None else samples
    table = make_question_splits(
        samples,
        sizes={**SIZES, **sizes},
        seed=seed,
        val_from=val_from,
        source="made.parquet",
        missing=missing or {},
    )
    rows = table.to_pylist()
    assert {row["seed"] for row in rows} == {seed}
    assert [row["sample_id"] for row in rows] == sorted(row["sample_id"] for row in rows)
    return {
        split: {row["sample_id"] for row in rows if row["split"] == split}
        for split in ("train", "val", "test")
    }


def test_each_split_is_drawn_from_its_part():
    splits = draw()
    for split, ids in splits.items():
        assert len(ids) == SIZES[split]
        assert all(name.startswith(split) for name in ids)


def test_val_comes_from_train_where_there_is_none():
    samples = pool(val=0)
    first, second = (draw(samples, seed, val_from="train") for seed in (0, 1))
    for splits in (first, second):
        assert len(splits["val"]) == 30
        assert not splits["train"] & splits["val"]
        assert all(name.startswith("train") for name in splits["val"] | splits["train"])
    assert first["val"] != second["val"]


def test_seeds_share_the_test_set_only():
    first, second = draw(seed=1), draw(seed=2)
    assert first["test"] == second["test"]
    assert first["train"] != second["train"]
    assert first["val"] != second["val"]


def test_splits_do_not_depend_on_the_order_of_rows_or_the_size_of_train():
    samples = pool()
    shuffled = samples.take(np.random.default_rng(0).permutation(len(samples)))
    assert draw(shuffled) == draw(samples)
    larger = draw(samples, train=200)
    assert larger["val"] == draw(samples)["val"]
    assert larger["train"] > draw(samples)["train"]


def test_splits_have_the_subjects_and_levels_of_their_parts():
    samples = pool()
    known = {row["sample_id"]: (row["subject"], row["level"]) for row in samples.to_pylist()}
    for split, ids in draw(samples, train=101).items():
        counts = Counter(known[name] for name in ids)
        assert len(counts) == 6
        assert max(counts.values()) - min(counts.values()) <= 1, split


def test_fewer_questions_than_subjects_can_be_drawn():
    assert len(draw(test=2)["test"]) == 2


def test_all_of_a_part_can_be_drawn_and_train_and_val_can_be_empty():
    splits = draw(train=0, val=0, test=90)
    assert len(splits["test"]) == 90
    assert not splits["train"] | splits["val"]


@pytest.mark.parametrize(
    ("sizes", "val_from", "message"),
    [
        ({"test": 91}, "val", "splits test 91, but the part test has 90 questions$"),
        ({"val": 61}, "val", "splits val 61, but the part val has 60 questions$"),
        ({"train": 301}, "val", "splits train 301, but the part train has 300 questions$"),
        ({"train": 280}, "train", "train has 300 questions, of which 30 are drawn already"),
        ({"test": 0}, "val", "splits {.*}; expected a number for each of train, val, test"),
        ({"val": -1}, "val", "expected a number for each"),
    ],
)
def test_sizes_that_cannot_be_are_refused(sizes, val_from, message):
    with pytest.raises(SidekickError, match=f"made.parquet: .*{message}"):
        draw(val_from=val_from, **sizes)


def test_a_missing_file_is_named_with_its_place():
    missing = {"val": {"name": "validation.parquet", "url": "https://hub/validation.parquet"}}
    samples = pool(val=0)
    message = (
        r"splits val 30, but there is no part val: the file validation\.parquet is missing\. Get "
        r"it from https://hub/validation\.parquet and put it beside the others"
    )
    with pytest.raises(SidekickError, match=message):
        draw(samples, missing=missing)
    assert len(draw(samples, missing=missing, val=0)["train"]) == 100
