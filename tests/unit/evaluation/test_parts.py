"""Parts of the test set, by subject and by level: against brute force on the rows of each."""

import numpy as np
import polars as pl
import pytest
from scipy.special import log_softmax, softmax
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from sidekick.evaluation.tables import PARTS_SCHEMA
from sidekick.metrics import Resampler, mean_over_seeds
from unit.evaluation.benchmark import (
    BIG,
    SMALL,
    Benchmark,
    assert_every_nan_is_explained,
    pick,
    row,
)

METRICS = {"accuracy", "nll", "ece", "auroc", "aurc"}
SUBJECTS = ("algebra", "botany", "")
LEVELS = ("1", "2", "3", "4")


def grouped(made, groups=None):
    """Give every sample a subject, some none, and a level."""
    for columns in made.data.values():
        rows = np.arange(len(columns["labels"]))
        own = groups or {"subject": SUBJECTS, "level": LEVELS}
        columns["extras"] = {
            name: np.array([values[row % len(values)] for row in rows], dtype=object)
            for name, values in own.items()
        }
    return made.write()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    sizes = {"val": 60, "test": 150, "shift": 20}
    return grouped(Benchmark(tmp_path_factory.mktemp("grouped"), sizes=sizes))


@pytest.fixture(scope="module")
def single(made):
    return made.single(BIG)


@pytest.fixture(scope="module")
def pairs(made):
    return made.pairs(SMALL, BIG)


def rows_of(made, grouping, group, seed, model=BIG):
    """The labels and logits, as cached, of one group of a seed's test set."""
    columns = made.data["test", model, seed]
    chosen = columns["extras"][grouping] == group
    logits = columns["logits"].astype(np.float64)
    centred = (logits - logits.max(axis=1, keepdims=True)).astype(np.float16).astype(np.float64)
    return columns["labels"][chosen], centred[chosen]


def test_every_named_group_is_a_part_and_an_empty_name_is_none(single, pairs):
    for tables in (single, pairs):
        parts = tables["parts"]
        assert parts.columns == PARTS_SCHEMA.names
        assert set(parts.select("grouping", "group").iter_rows()) == {
            *(("subject", name) for name in SUBJECTS if name),
            *(("level", name) for name in LEVELS),
        }
        assert set(parts["split"]) == {"test"}
        assert set(parts["metric"]) == METRICS
        assert_every_nan_is_explained(parts)


@pytest.mark.parametrize(("grouping", "group"), [("subject", "botany"), ("level", "4")])
def test_values_are_those_of_the_rows_alone(made, single, grouping, group):
    expected = {"accuracy": [], "nll": [], "auroc": []}
    for seed in made.seeds:
        labels, logits = rows_of(made, grouping, group, seed)
        right = logits.argmax(axis=1) == labels
        expected["accuracy"].append(accuracy_score(labels, logits.argmax(axis=1)))
        expected["nll"].append(
            log_loss(labels, softmax(logits, axis=1), labels=range(made.classes))
        )
        expected["auroc"].append(roc_auc_score(right, softmax(logits, axis=1).max(axis=1)))
    place = {"grouping": grouping, "group": group, "predictor": "single", "variant": "raw"}
    for metric, values in expected.items():
        found = row(single["parts"], metric=metric, **place)
        assert found["value"] == pytest.approx(np.mean(values), abs=1e-9), metric
        assert found["samples"] == len(labels)
        assert found["seeds"] == len(made.seeds)


def test_intervals_resample_the_test_set_as_a_whole(made, single):
    """A part's replicate holds as many of its questions as the whole test set's replicate does."""
    ids = [made.data["test", BIG, seed]["sample_ids"] for seed in made.seeds]
    orders = [np.argsort(own.astype(str), kind="stable") for own in ids]
    resampler = Resampler(
        [own[order] for own, order in zip(ids, orders, strict=True)],
        made.settings["replicates"]["test"],
        made.settings["seed"],
    )
    by_seed = []
    for index, seed in enumerate(made.seeds):
        columns, order = made.data["test", BIG, seed], orders[index]
        logits = columns["logits"][order].astype(np.float64)
        losses = -log_softmax(logits, axis=1)[np.arange(len(order)), columns["labels"][order]]
        own = columns["extras"]["level"][order] == "2"
        weights = resampler.weights_and_ones(index)
        assert (weights[1:, own].sum(axis=1) != own.sum()).any()
        by_seed.append((weights[:, own] @ losses[own]) / weights[:, own].sum(axis=1))
    replicates = mean_over_seeds(np.stack(by_seed), resampler.seed_weights)
    found = row(
        single["parts"], grouping="level", group="2", predictor="single", variant="raw",
        metric="nll",
    )  # fmt: skip
    assert found["value"] == pytest.approx(replicates[0], abs=1e-3)
    tail = (1 - made.settings["level"]) / 2
    low, high = np.quantile(replicates[1:], [tail, 1 - tail])
    # The cache rounds logits to float16.
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=2e-3)


def test_differences_are_to_the_same_part_of_the_control(made, pairs, single):
    duo = {"predictor": "duo", "variant": "weighted", "metric": "nll"}
    for level in LEVELS:
        place = {"grouping": "level", "group": level}
        own = row(pairs["parts"], **place, **duo)
        control = row(
            single["parts"], **place, predictor="temperature", variant="scaled", metric="nll"
        )
        assert own["baseline"] == f"temperature:scaled:{BIG}"
        assert own["delta"] == pytest.approx(own["value"] - control["value"], abs=1e-7)
        assert own["delta_low"] <= own["delta"] <= own["delta_high"]


def test_what_is_no_answer_to_single_questions_has_no_parts(pairs):
    """Areas under whole curves have no predictions; they stay on the board."""
    whole = pick(pairs["metrics"], predictor="cascade", variant="max_softmax")
    assert len(whole)
    assert pick(pairs["parts"], predictor="cascade", variant="max_softmax").is_empty()
    assert len(pick(pairs["parts"], predictor="cascade", variant="max_softmax_defer25"))


def test_an_only_group_says_what_the_board_says(benchmark_of):
    made = grouped(benchmark_of(), {"subject": ("all",)})
    tables = made.single(BIG)
    shared = [name for name in PARTS_SCHEMA.names if name not in ("grouping", "group", "note")]
    board = tables["metrics"].filter((pl.col("split") == "test") & pl.col("metric").is_in(METRICS))
    assert tables["parts"].select(shared).sort(shared).equals(board.select(shared).sort(shared))


def test_samples_without_groups_have_an_empty_table(written):
    parts = written.single(BIG)["parts"]
    assert parts.is_empty()
    assert parts.columns == PARTS_SCHEMA.names


def test_the_order_of_rows_changes_no_part(benchmark_of, single):
    made = grouped(benchmark_of(sizes={"val": 60, "test": 150, "shift": 20}))
    for index, (key, columns) in enumerate(made.data.items()):
        rows = np.random.default_rng(index).permutation(len(columns["labels"]))
        extras = {name: values[rows] for name, values in columns.pop("extras").items()}
        moved = {name: values[rows] for name, values in columns.items()}
        made.data[key] = {**moved, "extras": extras}
    assert made.write().single(BIG)["parts"].equals(single["parts"])


def test_a_sweep_has_parts_as_well(made):
    recipes = {"gatekeeper_a10": SMALL, "ce_control": SMALL}
    parts = made.gatekeeper(recipes)["parts"]
    found = row(
        parts, grouping="level", group="1", predictor="single", variant="raw",
        recipe="gatekeeper_a10", metric="accuracy",
    )  # fmt: skip
    assert found["baseline"] == f"single:raw:{SMALL}@ce_control"
    assert found["delta"] == 0.0
