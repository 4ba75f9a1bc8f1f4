"""Rows of one model's own predictors, against direct computation from its logits."""

import numpy as np
import polars as pl
import pytest
from scipy.special import log_softmax, logsumexp, softmax

from sidekick.logit_cache import read_logits
from sidekick.metrics import Resampler, evaluate_statistics, sample_statistics, unit_weights
from unit.evaluation.benchmark import BIG, CELLS, assert_every_nan_is_explained, pick, row
from unit.methods.reference import fit_by_scipy
from unit.metrics import naive

VARIANTS = {
    ("single", "raw"): None,
    ("temperature", "scaled"): f"single:raw:{BIG}",
    ("temperature", "oracle_ordering"): f"temperature:scaled:{BIG}",
    ("temperature", "random_ordering"): f"temperature:scaled:{BIG}",
    ("ensemble", "mean_softmax"): f"temperature:scaled:{BIG}",
}


@pytest.fixture(scope="module")
def caches(written):
    """Split to what each seed's file holds, in double precision."""
    found = {}
    for split in ("val", "test"):
        files = [read_logits(path) for path in written.logits(BIG)[split]]
        found[split] = [(file.logits.astype(np.float64), file.labels) for file in files]
    return found


@pytest.fixture(scope="module")
def temperatures(caches):
    """By somebody else's optimiser."""
    return [fit_by_scipy([logits], labels)[0][0] for logits, labels in caches["val"]]


def naive_metrics(logits, labels):
    statistics = sample_statistics(logits, labels)
    return {
        "accuracy": np.mean(logits.argmax(axis=1) == labels),
        "nll": naive.nll(logits, labels),
        "brier": naive.brier(logits, labels),
        "ece": naive.ece(statistics.probability, statistics.correct),
        "macro_f1": naive.macro_f1(logits.argmax(axis=1), labels),
        "aurc": naive.aurc(statistics.confidence, statistics.correct),
        "auroc": naive.auroc(statistics.confidence, statistics.correct),
    }


def test_there_is_a_row_for_every_predictor_place_and_metric(single):
    metrics = single["metrics"]
    names = {tuple(one) for one in metrics.select("predictor", "variant").unique().iter_rows()}
    assert names == set(VARIANTS)
    places = set(metrics.select("split", "corruption", "severity").unique().iter_rows())
    means = {("shift", "mean", severity) for severity in (1, 3, None)}
    assert places == {("test", None, None), *(("shift", *cell) for cell in CELLS), *means}
    counts = metrics.group_by("predictor", "variant", "split", "corruption", "severity").len()
    assert set(counts["len"]) == {len(evaluate_statistics(*one_sample()))}
    assert metrics.select("benchmark", "dataset").unique().rows() == [("made_up", "toy")]
    assert set(metrics["seeds"]) == {2}
    assert set(pick(metrics, split="test")["samples"]) == {50}
    assert set(pick(metrics, split="shift")["samples"]) == {20}
    assert set(metrics["large"]) == {BIG}
    assert metrics["small"].null_count() == len(metrics)


def one_sample():
    return sample_statistics(np.array([[1.0, 0.0]]), np.array([0])), unit_weights(1)


def test_values_of_the_raw_and_the_scaled_model(single, caches, temperatures):
    for (predictor, variant), weights in (
        (("single", "raw"), [1.0, 1.0]),
        (("temperature", "scaled"), temperatures),
    ):
        direct = [
            naive_metrics(w * logits, labels)
            for w, (logits, labels) in zip(weights, caches["test"], strict=True)
        ]
        for metric in direct[0]:
            found = row(
                single["metrics"],
                predictor=predictor,
                variant=variant,
                split="test",
                metric=metric,
            )
            expected = np.mean([seed[metric] for seed in direct])
            assert found["value"] == pytest.approx(expected, abs=1e-6), metric
            assert found["gmacs"] == 2.0


def test_the_ensemble_is_one_predictor_of_all_seeds(single, caches):
    members = [logits for logits, _ in caches["test"]]
    labels = caches["test"][0][1]
    mean = np.log(np.mean([softmax(z, axis=1) for z in members], axis=0))
    for metric, expected in naive_metrics(mean, labels).items():
        found = row(single["metrics"], predictor="ensemble", split="test", metric=metric)
        assert found["value"] == pytest.approx(expected, abs=1e-9), metric
        assert found["gmacs"] == 4.0
        assert found["seeds"] == 2


def test_intervals_resample_samples_and_seeds_together(single, caches, temperatures):
    """Accuracy and NLL, resample by resample, by repeating rows; differences likewise."""
    ids = [f"s{1000 + i:05}" for i in range(50)]
    resampler = Resampler([ids, ids], 40, 5)

    def replicates(values):
        """Values (n,) of both seeds: their mean in the data and in each resample."""
        drawn = []
        for b in range(40):
            seeds = np.repeat([0, 1], resampler.seed_weights[b])
            drawn.append(
                np.mean([np.repeat(values[s], resampler.weights(s)[b]).mean() for s in seeds])
            )
        return np.mean([own.mean() for own in values]), np.array(drawn)

    raw, scaled = [], []
    for w, (logits, labels) in zip(temperatures, caches["test"], strict=True):
        rows = np.arange(50)
        raw.append(logsumexp(logits, axis=1) - logits[rows, labels])
        scaled.append(-log_softmax(w * logits, axis=1)[rows, labels])
    found = row(single["metrics"], variant="scaled", split="test", metric="nll")
    value, resampled = replicates(scaled)
    low, high = np.quantile(resampled, [0.05, 0.95])
    assert (found["value"], found["low"], found["high"]) == pytest.approx(
        (value, low, high), abs=1e-6
    )
    value, resampled = replicates([b - a for a, b in zip(raw, scaled, strict=True)])
    low, high = np.quantile(resampled, [0.05, 0.95])
    expected = pytest.approx((value, low, high), abs=1e-6)
    assert (found["delta"], found["delta_low"], found["delta_high"]) == expected


def test_baselines_are_the_matched_controls(single):
    pairs = single["metrics"].select("predictor", "variant", "baseline").unique().rows()
    assert {(predictor, variant): base for predictor, variant, base in pairs} == VARIANTS
    differing = single["metrics"].filter(pl.col("baseline").is_not_null())
    assert differing["delta"].null_count() == 0


def test_scaling_changes_no_answer(single):
    scaled = pick(single["metrics"], variant="scaled", metric="accuracy")
    assert set(scaled["delta"]) == set(scaled["delta_low"]) == set(scaled["delta_high"]) == {0.0}


def test_controls_bound_every_ordering(single):
    metrics = pick(single["metrics"], split="test")
    oracle = row(metrics, variant="oracle_ordering", metric="aurc")
    scaled = row(metrics, variant="scaled", metric="aurc")
    random = row(metrics, variant="random_ordering", metric="aurc")
    assert oracle["value"] < scaled["value"] < random["value"]
    assert row(metrics, variant="oracle_ordering", metric="e_aurc")["value"] == 0
    assert row(metrics, variant="oracle_ordering", metric="auroc")["value"] == 1
    error = 1 - row(metrics, variant="scaled", metric="accuracy")["value"]
    assert random["value"] == pytest.approx(error, abs=0.12)
    for variant in ("oracle_ordering", "random_ordering"):
        for metric in ("accuracy", "nll", "brier", "ece"):
            assert row(metrics, variant=variant, metric=metric)["delta"] == 0


def test_shift_cells_are_evaluated_on_their_own_samples(single, written, temperatures):
    for cell in CELLS:
        accuracies = []
        for path in written.logits(BIG)["shift"]:
            file = read_logits(path)
            inside = (file.corruption == cell[0]) & (file.severity == cell[1])
            assert inside.sum() == 20
            accuracies.append(np.mean(file.logits[inside].argmax(axis=1) == file.labels[inside]))
        found = row(
            single["metrics"],
            variant="raw",
            corruption=cell[0],
            severity=cell[1],
            metric="accuracy",
        )
        assert found["value"] == pytest.approx(np.mean(accuracies))


@pytest.mark.parametrize("metric", ["accuracy", "nll", "aurc", "sac_90"])
@pytest.mark.parametrize("variant", ["raw", "scaled", "mean_softmax"])
def test_shift_means_are_means_of_the_cells(single, variant, metric):
    metrics = pick(single["metrics"], variant=variant, metric=metric, split="shift")
    cells = metrics.filter(pl.col("corruption") != "mean")
    for severity in (1, 3, None):
        members = cells if severity is None else pick(cells, severity=severity)
        mean = row(metrics, corruption="mean", severity=severity)
        assert mean["value"] == pytest.approx(members["value"].mean())
        if variant != "raw":
            assert mean["delta"] == pytest.approx(members["delta"].mean())


def test_fits_are_the_temperatures(single, temperatures):
    fits = single["fits"]
    assert fits["seed"].to_list() == [0, 1]
    np.testing.assert_allclose(fits["weight_large"], temperatures, rtol=1e-5)
    np.testing.assert_allclose(fits["divisor_large"], 1 / np.array(temperatures), rtol=1e-5)
    assert fits["weight_small"].null_count() == 2
    assert fits["note"].null_count() == 2
    assert fits["gradient_norm"].max() < 1e-8


def test_curves_are_those_of_the_test_split(single, caches):
    curves = single["curves"]
    assert set(curves["split"]) == {"test"}
    assert set(curves["curve"]) == {"risk_coverage", "reliability"}
    names = set(curves.select("predictor", "variant").unique().iter_rows())
    assert names == set(VARIANTS)
    risk = pick(curves, curve="risk_coverage", variant="raw").sort("x")
    np.testing.assert_allclose(risk["x"], np.arange(1, 51) / 50)
    direct = []
    for logits, labels in caches["test"]:
        own = sample_statistics(logits, labels)
        errors = naive.expected_errors(own.confidence, own.correct)
        direct.append(errors / np.arange(1, 51))
    np.testing.assert_allclose(risk["y"], np.mean(direct, axis=0), atol=1e-9)
    assert (risk["low"] <= risk["high"]).all()
    reliability = pick(curves, curve="reliability", variant="raw")
    assert reliability["count"].sum() == 100
    assert pick(curves, curve="reliability", variant="mean_softmax")["count"].sum() == 50


def test_bands_of_curves_resample_seeds_too(benchmark_of):
    """Two seeds that are right on all and on no samples: the spread is all between them."""
    made = benchmark_of(cells=(), sizes={"val": 30, "test": 30, "shift": 0})
    for seed in (0, 1):
        columns = made.data["test", BIG, seed]
        columns["logits"] = np.eye(4, dtype=np.float32)[(columns["labels"] + seed) % 4]
    curves = made.write().single()["curves"]
    last = row(curves, curve="risk_coverage", variant="raw", x=1.0)
    assert (last["y"], last["low"], last["high"]) == pytest.approx((0.5, 0.0, 1.0))


def test_one_seed_makes_no_ensemble(benchmark_of):
    metrics = benchmark_of(seeds=[3]).write().single()["metrics"]
    assert "ensemble" not in set(metrics["predictor"])
    assert set(metrics["seeds"]) == {1}
    assert_every_nan_is_explained(metrics)


def test_every_nan_is_explained(single):
    assert_every_nan_is_explained(single["metrics"])
