"""What evaluation refuses to take from logit files."""

import numpy as np
import pytest

from sidekick.artifacts import read_json, write_json
from sidekick.errors import SidekickError
from sidekick.logit_cache import write_logits
from unit.evaluation.benchmark import BIG, SMALL, SPLITS


def rewrite(made, **facts):
    """Write the large model's test logits of seed 1 with other metadata."""
    defaults = {
        "dataset": "toy", "model": BIG, "recipe": "finetune", "seed": 1, "split": "test"
    }  # fmt: skip
    merged = {key: value for key, value in {**defaults, **facts}.items() if value is not None}
    key = "test", BIG, 1
    write_logits(made.path(*key), **made.data[key], facts=merged)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"split": "val"}, "these are logits of split 'val', expected 'test'"),
        ({"dataset": "other"}, "these are logits of dataset 'other', expected 'toy'"),
        ({"seed": 7}, r"seed 7 is not one of \[0, 1\]"),
        ({"seed": None}, "its metadata name no recipe and seed"),
        ({"seed": "first"}, "its metadata name no recipe and seed"),
        ({"recipe": None}, "its metadata name no recipe and seed"),
        ({"seed": 0}, "both are of recipe 'finetune', seed 0"),
        ({"model": "other"}, f"these are logits of model 'other', expected '{BIG}'"),
        ({"recipe": "other"}, "no test logits of recipe 'other', seed 0"),
    ],
)
def test_files_of_something_else_are_refused(benchmark_of, facts, message):
    made = benchmark_of().write()
    rewrite(made, **facts)
    with pytest.raises(SidekickError, match=message) as caught:
        made.single()
    if "no test logits" not in message:
        assert str(made.path("test", BIG, 1)) in str(caught.value)


def test_foreign_files_need_not_name_dataset_and_split(benchmark_of):
    made = benchmark_of().write()
    before = made.single()
    rewrite(made, dataset=None, split=None)
    assert made.single()["metrics"].equals(before["metrics"])


def test_a_missing_seed_is_named(benchmark_of):
    made = benchmark_of().write()
    made.seeds = [0, 1, 2]
    made.path("val", BIG, 2).parent.mkdir(parents=True)
    with pytest.raises(SidekickError, match=r"seed2.val\.parquet: no such file"):
        made.single()


def test_pairs_whose_samples_differ_are_refused(benchmark_of):
    made = benchmark_of()
    made.data["test", SMALL, 1]["sample_ids"][4] = "other"
    made.write()
    with pytest.raises(SidekickError, match="in one only") as caught:
        made.pairs(SMALL, BIG)
    for model in (SMALL, BIG):
        assert str(made.path("test", model, 1)) in str(caught.value)


def test_pairs_whose_labels_differ_are_refused(benchmark_of):
    made = benchmark_of()
    labels = made.data["val", SMALL, 0]["labels"]
    labels[4] = (labels[4] + 1) % 4
    made.write()
    with pytest.raises(SidekickError, match=r"sample s00004 .* has label"):
        made.pairs(SMALL, BIG)


@pytest.mark.parametrize("split", ["test", "shift"])
def test_an_ensemble_refuses_seeds_with_different_samples(benchmark_of, split):
    made = benchmark_of()
    ids = made.data[split, BIG, 1]["sample_ids"]
    ids[ids == "s01007"] = "other"
    made.write()
    with pytest.raises(SidekickError, match=r"sample .*s01007.* in one only") as caught:
        made.single()
    for seed in (0, 1):
        assert str(made.path(split, BIG, seed)) in str(caught.value)


def test_an_ensemble_refuses_seeds_with_different_labels(benchmark_of):
    made = benchmark_of()
    labels = made.data["test", BIG, 1]["labels"]
    labels[7] = (labels[7] + 1) % 4
    made.write()
    with pytest.raises(SidekickError, match=r"sample s01007 .* has label"):
        made.single()


def test_seeds_may_be_validated_on_different_samples(single):
    assert single["fits"]["seed"].to_list() == [0, 1]


def test_parts_of_a_shift_set_must_hold_the_same_samples(benchmark_of):
    made = benchmark_of()
    for seed in (0, 1):
        columns = made.data["shift", BIG, seed]
        inside = (columns["corruption"] == "snow") & (columns["severity"] == 3)
        columns["sample_ids"][np.flatnonzero(inside)[2]] = "other"
    made.write()
    with pytest.raises(SidekickError, match=r"'snow', severity=3.* hold different samples"):
        made.single()


def test_seeds_must_have_the_same_corruptions(benchmark_of):
    made = benchmark_of()
    for model in (BIG, SMALL):
        columns = made.data["shift", model, 1]
        columns["severity"][columns["severity"] == 3] = 4
    made.write()
    with pytest.raises(SidekickError, match="different corruptions or severities"):
        made.pairs(SMALL, BIG)


def test_a_shift_set_of_one_seed_only_is_refused(benchmark_of):
    made = benchmark_of()
    for model in (BIG, SMALL):
        columns = made.data["shift", model, 0]
        made.data["shift", model, 0] = {name: values[:0] for name, values in columns.items()}
    made.write()
    with pytest.raises(SidekickError, match="no samples, but other seeds have some"):
        made.pairs(SMALL, BIG)


def test_no_files_at_all_are_refused(benchmark_of):
    made = benchmark_of().write()
    made.seeds = []
    with pytest.raises(SidekickError, match="no logits of the val split"):
        made.single()


def test_one_file_may_be_given_as_a_text(benchmark_of):
    """Snakemake hands over a single input as a string."""
    made = benchmark_of(seeds=[0]).write()
    before = made.single()
    files = {split: made.logits(BIG)[split][0] for split in SPLITS}
    made.logits = lambda *_: files
    assert made.single()["metrics"].equals(before["metrics"])


@pytest.mark.parametrize("gmacs", [0, -1.0, float("nan")])
def test_costs_must_be_positive(benchmark_of, gmacs):
    made = benchmark_of().write()
    write_json({**read_json(made.flops(SMALL)), "gmacs": gmacs}, made.flops(SMALL))
    with pytest.raises(SidekickError, match=f"model '{SMALL}': .* GMACs; expected a positive"):
        made.pairs(SMALL, BIG)


def test_costs_must_be_counted(benchmark_of):
    made = benchmark_of().write()
    write_json({"facts": {"model": BIG}}, made.flops(BIG))
    with pytest.raises(SidekickError, match=f"model '{BIG}': its GMACs were not counted"):
        made.single()
