"""Models and benchmarks that some metric is undefined for: they run, and leave their reasons."""

import numpy as np
import polars as pl
import pytest

from unit.evaluation.benchmark import BIG, SMALL, assert_every_nan_is_explained, pick, row

CASCADE = {
    "deferral_ratios": [0.25, 0.5],
    "budgets": [0.3, 0.75],
    "accuracies": [0.9],
    "gates": ["margin", "entropy_scaled", "max_logit_pnorm", "learned"],
}


@pytest.fixture
def benchmark_of(benchmark_of):
    """With as few resamples and shift parts as show the case."""
    cells = (("fog", 1), ("snow", 1), ("snow", 3))

    def make(**settings):
        made = benchmark_of(**{"cells": cells, "replicates": 20, **settings})
        made.cascade = CASCADE
        return made

    return make


def evaluate(made, small=SMALL, big=BIG):
    made.write()
    tables = [made.single(big), made.single(small), made.pairs(small, big)]
    if made.models[small][0] < made.models[big][0]:
        tables.append(made.gatekeeper({"ce_control": small, "gatekeeper_a50": small}, small, big))
    for own in tables:
        assert_every_nan_is_explained(own["metrics"])
    return {BIG: tables[0], SMALL: tables[1], "pairs": tables[2]}


def set_logits(made, model, function, splits=("val", "test", "shift")):
    for (split, own, _), columns in made.data.items():
        if own == model and split in splits:
            columns["logits"] = function(columns).astype(np.float32)


def perfect(columns):
    return np.eye(4)[columns["labels"]] * 5 + np.random.default_rng(0).normal(
        size=(len(columns["labels"]), 4)
    )


def test_a_model_without_errors(benchmark_of):
    made = benchmark_of()
    set_logits(made, BIG, lambda c: np.eye(4)[c["labels"]] * 9)
    tables = evaluate(made)
    raw = pick(tables[BIG]["metrics"], variant="raw", split="test")
    assert row(raw, metric="accuracy")["value"] == 1
    assert row(raw, metric="aurc")["value"] == 0
    for metric in ("auroc", "overlap"):
        found = row(raw, metric=metric)
        assert np.isnan(found["value"])
        assert "no errors" in found["note"]
    assert tables[BIG]["fits"]["note"].str.contains("separable").all()


def test_a_model_without_errors_on_test_only(benchmark_of):
    made = benchmark_of()
    set_logits(made, BIG, perfect, ["test"])
    set_logits(made, BIG, lambda c: np.eye(4)[c["labels"]] * 9, ["test"])
    tables = evaluate(made)
    weighted = pick(tables["pairs"]["metrics"], variant="weighted", split="test")
    assert np.isnan(row(weighted, metric="auroc")["delta"])
    assert row(weighted, metric="auroc")["note"]


def test_a_model_that_is_never_right(benchmark_of):
    made = benchmark_of()
    set_logits(made, SMALL, lambda c: np.eye(4)[(c["labels"] + 1) % 4] * 5)
    tables = evaluate(made)
    raw = pick(tables[SMALL]["metrics"], variant="raw", split="test")
    assert row(raw, metric="accuracy")["value"] == 0
    assert "no correct samples" in row(raw, metric="auroc")["note"]
    scaled = pick(tables[SMALL]["metrics"], variant="scaled", split="test")
    assert row(scaled, metric="accuracy")["value"] == 0, "a temperature changes no answer"
    assert row(scaled, metric="nll")["value"] == pytest.approx(np.log(4))
    assert tables[SMALL]["fits"]["divisor_large"].is_infinite().all()
    assert tables[SMALL]["fits"]["note"].str.contains("all weights are 0").all()
    s_d = row(
        tables["pairs"]["metrics"],
        predictor="cascade",
        variant="max_softmax",
        split="test",
        metric="s_d",
    )
    assert np.isnan(s_d["value"])
    assert "never right" in s_d["note"]


@pytest.mark.parametrize("sure", [0.0, 8.0])
def test_a_collapsed_model_that_says_the_same_of_everything(benchmark_of, sure):
    made = benchmark_of()
    set_logits(made, SMALL, lambda c: np.tile([sure, 0, 0, 0], (len(c["labels"]), 1)))
    tables = evaluate(made)
    raw = pick(tables[SMALL]["metrics"], variant="raw", split="test")
    share = np.mean(made.data["test", SMALL, 0]["labels"] == 0)
    assert row(raw, metric="accuracy")["value"] == pytest.approx(share)
    assert row(raw, metric="auroc")["value"] == 0.5
    assert row(raw, metric="aurc")["value"] == pytest.approx(1 - share)
    duo = row(tables["pairs"]["metrics"], variant="weighted", split="test", metric="accuracy")
    assert abs(duo["delta"]) < 0.1
    if sure == 0:
        weights = pick(tables["pairs"]["fits"], predictor="duo")
        assert weights["small_at_zero"].all()
        assert (duo["delta"], duo["delta_low"], duo["delta_high"]) == (0, 0, 0)


def test_both_models_collapsed(benchmark_of):
    made = benchmark_of()
    for model in (BIG, SMALL):
        set_logits(made, model, lambda c: np.zeros((len(c["labels"]), 4)))
    tables = evaluate(made)
    duos = pick(tables["pairs"]["fits"], predictor="duo")
    assert duos["note"].str.contains("all weights are 0").all()


def test_identical_models(benchmark_of):
    made = benchmark_of()
    for (split, model, seed), columns in made.data.items():
        if model == SMALL:
            columns["logits"] = made.data[split, BIG, seed]["logits"]
    tables = evaluate(made)
    metrics = pick(tables["pairs"]["metrics"], split="test")
    for metric in ("accuracy", "nll", "aurc"):
        found = row(metrics, predictor="duo", variant="weighted", metric=metric)
        assert found["delta"] == pytest.approx(0, abs=1e-6)
    s_d = row(metrics, predictor="cascade", variant="max_softmax", metric="s_d")
    assert np.isnan(s_d["value"])
    assert "accuracies do not differ (+0.000 [0.000, 0.000])" in s_d["note"]


def test_a_small_model_that_is_better_than_the_large_one(benchmark_of):
    tables = evaluate(benchmark_of(models={BIG: (2.0, 0.5), SMALL: (0.5, 3.0)}))
    metrics = pick(tables["pairs"]["metrics"], split="test")
    s_d = row(metrics, predictor="cascade", variant="max_softmax", metric="s_d")
    assert np.isfinite(s_d["value"])
    assert set(metrics["large"]) == {BIG}


def test_models_whose_gap_is_not_distinguishable_have_no_s_d(benchmark_of):
    tables = evaluate(benchmark_of(models={BIG: (2.0, 1.5), SMALL: (0.5, 1.5)}))
    s_d = pick(tables["pairs"]["metrics"], metric="s_d", split="test")
    undefined = s_d.filter(pl.col("value").is_nan())
    assert len(undefined) > 0
    assert undefined["note"].str.contains("accuracies do not differ").all()


def test_no_shift_set(benchmark_of):
    made = benchmark_of(cells=(), sizes={"val": 40, "test": 30, "shift": 0})
    tables = evaluate(made)
    for own in tables.values():
        assert set(own["metrics"]["split"]) == {"test"}
        assert len(own["curves"]) > 0


def test_one_corruption_at_one_severity(benchmark_of):
    tables = evaluate(benchmark_of(cells=(("fog", 2),)))
    shift = pick(tables[BIG]["metrics"], split="shift", variant="raw", metric="nll")
    assert len(shift) == 3
    assert shift["value"].n_unique() == 1


def test_one_seed(benchmark_of):
    tables = evaluate(benchmark_of(seeds=[0]))
    assert set(tables["pairs"]["metrics"]["seeds"]) == {1}


@pytest.mark.parametrize("n", [1, 3])
def test_very_few_samples(benchmark_of, n):
    evaluate(benchmark_of(sizes={"val": n, "test": n, "shift": n}))


def test_one_class(benchmark_of):
    made = benchmark_of(classes=1)
    tables = evaluate(made)
    raw = pick(tables[BIG]["metrics"], variant="raw", split="test")
    assert row(raw, metric="accuracy")["value"] == 1
    assert "one class" in row(raw, metric="auroc")["note"]


def test_two_classes_only_one_of_which_occurs(benchmark_of):
    made = benchmark_of(classes=2)
    for columns in made.data.values():
        columns["labels"] = np.zeros_like(columns["labels"])
    evaluate(made)


def test_absent_options(benchmark_of):
    """As in multiple choice: samples of three and of four options."""
    made = benchmark_of()
    for (_, model, _), columns in made.data.items():
        # The last option of every sample whose label is another, the same in both models.
        absent = columns["labels"] == 0
        columns["logits"][absent, 3] = -np.inf
        assert model in (BIG, SMALL)
    tables = evaluate(made)
    assert np.isfinite(
        row(tables["pairs"]["metrics"], variant="weighted", split="test", metric="nll")["value"]
    )


def test_logits_of_enormous_scale(benchmark_of):
    """Saturated in single precision: a third of the confidences would be exactly 1."""
    made = benchmark_of()
    for model in (BIG, SMALL):
        for (_, own, _), columns in made.data.items():
            if own == model:
                columns["logits"] = columns["logits"] * np.float32(1000)
    tables = evaluate(made)
    raw = row(tables[BIG]["metrics"], variant="raw", split="test", metric="nll")
    scaled = row(tables[BIG]["metrics"], variant="scaled", split="test", metric="nll")
    assert scaled["value"] < 2 < raw["value"] < 1e4
    assert (tables[BIG]["fits"]["divisor_large"] > 100).all()


def test_threshold_ratios_at_the_edges(benchmark_of):
    made = benchmark_of()
    made.cascade = {"deferral_ratios": [0.01, 0.99]}
    tables = evaluate(made)
    metrics = pick(tables["pairs"]["metrics"], split="test", predictor="cascade", metric="nll")
    least = row(metrics, variant="max_softmax_defer1")
    most = row(metrics, variant="max_softmax_defer99")
    assert least["gmacs"] < 0.7
    assert most["gmacs"] > 2.2
