"""Rows of MC dropout, against direct computation with the head."""

import json

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file
from scipy.special import expit

from sidekick.errors import SidekickError
from sidekick.logit_cache import read_logits
from sidekick.methods import mc_dropout
from sidekick.methods.dropout_decomposition import decompose
from sidekick.methods.dropout_moments import closed_form
from sidekick.methods.dropout_rule import continuous_score
from sidekick.methods.dropout_sampling import sampled_logits, sampled_moments
from sidekick.quantisation.rounding import rounded_head
from unit.evaluation.benchmark import BIG, Benchmark, assert_every_nan_is_explained, pick, row
from unit.metrics import naive

FEATURES, HIDDEN, CLASSES, PASSES = 6, 8, 4, 4
MEASURES = ("predictive_entropy", "expected_entropy", "mutual_information", "variation_ratio")


def save_head(path, seed, output_bias=0.0, features=FEATURES):
    """Write a head in the format of `sidekick.models.checkpoints`, as arrays."""
    rng = np.random.default_rng([7, seed])
    tensors = {
        "norm.weight": np.ones(features),
        "norm.bias": np.zeros(features),
        "norm.running_mean": np.zeros(features),
        "norm.running_var": np.ones(features),
        "norm_eps": np.array([1e-5]),
        "hidden.weight": rng.normal(size=(HIDDEN, features)),
        "hidden.bias": np.zeros(HIDDEN),
        "output.weight": rng.normal(size=(CLASSES, HIDDEN)) * 2,
        "output.bias": np.full(CLASSES, output_bias),
        "dropout": np.array([0.2, 0.4]),
    }
    tensors = {f"head.{name}": values.astype(np.float64) for name, values in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    content = {"seed": seed, "digest": mc_dropout._digest(path)}
    save_file(tensors, path, {"sidekick": json.dumps(content)})
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Benchmark(tmp_path_factory.mktemp("mc"), features=FEATURES).write()


@pytest.fixture(scope="module")
def checkpoints(made):
    return [save_head(made.folder / f"seed{seed}.safetensors", seed) for seed in made.seeds]


@pytest.fixture(scope="module")
def tables(made, checkpoints):
    return made.mc_dropout(checkpoints, passes=[PASSES])


@pytest.fixture(scope="module")
def seeds(made, checkpoints):
    """Of each seed: head, features and labels of the test split."""
    files = [read_logits(path) for path in made.logits(BIG)["test"]]
    heads = [mc_dropout.load_head(path) for path in checkpoints]
    return [(head, file.features, file.labels) for head, file in zip(heads, files, strict=True)]


def value(tables, variant, metric, recipe="mc_dropout"):
    return row(tables["metrics"], variant=variant, split="test", metric=metric, recipe=recipe)


def test_there_is_every_predictor_with_its_matched_control(tables):
    expected = {}
    for recipe, base in (("mc_dropout", None), ("mc_dropout_int8", "mc_dropout")):
        control = f"mc_dropout:deterministic:{BIG}@{recipe}"
        first = None if base is None else f"mc_dropout:deterministic:{BIG}@{base}"
        expected[recipe, "deterministic"] = first
        expected[recipe, "deterministic_normalised"] = control
        for name in ("4", "closed"):
            expected[recipe, f"mean_{name}"] = expected[recipe, f"score_{name}"] = control
            for level in (70, 90):
                rule = f"interval{level}_{name}"
                expected[recipe, f"deterministic_at_{rule}"] = None
                rival = f"mc_dropout:deterministic_at_{rule}:{BIG}@{recipe}"
                expected[recipe, rule] = rival
        for measure in MEASURES:
            expected[recipe, f"{measure}_4"] = control
    rows = tables["metrics"].select("recipe", "variant", "baseline").unique().iter_rows()
    assert {(recipe, variant): baseline for recipe, variant, baseline in rows} == expected
    assert tables["metrics"]["predictor"].unique().to_list() == ["mc_dropout"]


def test_cost_is_the_features_and_the_passes_through_the_head(tables, seeds):
    head = (FEATURES + FEATURES * HIDDEN + HIDDEN * CLASSES) / 1e9
    assert seeds[0][0].gmacs == pytest.approx(head)
    closed = 2 * head + 3 * FEATURES * HIDDEN / 1e9
    for variant, expected in {
        "deterministic": head,
        "deterministic_at_interval70_4": head,
        "mean_4": 4 * head,
        "interval70_4": 4 * head,
        "mutual_information_4": 4 * head,
        "mean_closed": closed,
        "interval90_closed": closed,
    }.items():
        assert pick(tables["metrics"], variant=variant)["gmacs"].unique().to_list() == [
            pytest.approx(1.8 + expected, rel=1e-12)
        ], variant


@pytest.mark.parametrize("recipe", ["mc_dropout", "mc_dropout_int8"])
def test_the_deterministic_model_is_one_pass_without_dropout(tables, seeds, recipe):
    aurcs, nlls, normalised = [], [], []
    for head, features, labels in seeds:
        own = head if recipe == "mc_dropout" else rounded_head(head)
        sigmoids = mc_dropout.deterministic_probabilities(own, features)
        probability = sigmoids / sigmoids.sum(axis=1, keepdims=True)
        nlls.append(-np.log(probability[np.arange(50), labels]).mean())
        right = probability.argmax(axis=1) == labels
        aurcs.append(naive.aurc(sigmoids.max(axis=1), right))
        normalised.append(naive.aurc(probability.max(axis=1), right))
    for variant, metric, expected in (
        ("deterministic", "nll", nlls),
        ("deterministic", "aurc", aurcs),
        ("deterministic_normalised", "aurc", normalised),
    ):
        found = value(tables, variant, metric, recipe)["value"]
        assert found == pytest.approx(np.mean(expected)), variant


def moments_of(seeds, index, passes=(PASSES,)):
    head, features, labels = seeds[index]
    # The job's generator: the config's seed, and a stream per seed of the benchmark.
    rng = np.random.default_rng([5, index])
    return sampled_moments(head, features, passes, rng)[PASSES].sigmoids, labels


def test_the_mean_of_passes_and_what_they_converge_to(tables, seeds):
    for variant in ("mean_4", "mean_closed"):
        nlls = []
        for index, (head, features, labels) in enumerate(seeds):
            moments = moments_of(seeds, index)[0]
            if variant == "mean_closed":
                moments = closed_form(head, features).sigmoids
            p = moments.mean / moments.mean.sum(axis=1, keepdims=True)
            nlls.append(-np.log(p[np.arange(50), labels]).mean())
        assert value(tables, variant, "nll")["value"] == pytest.approx(np.mean(nlls), rel=1e-5)


def test_the_continuous_form_ranks_by_its_score(tables, seeds):
    aurcs = []
    for index in range(2):
        moments, labels = moments_of(seeds, index)
        right = moments.mean.argmax(axis=1) == labels
        aurcs.append(naive.aurc(continuous_score(moments), right))
    assert value(tables, "score_4", "aurc")["value"] == pytest.approx(np.mean(aurcs))
    accuracy = value(tables, "score_4", "accuracy")["value"]
    assert accuracy == value(tables, "mean_4", "accuracy")["value"], "only the order is another"


@pytest.mark.parametrize("measure", MEASURES)
def test_uncertainties_rank_as_confidences(tables, seeds, measure):
    aurcs = []
    for index, (head, features, labels) in enumerate(seeds):
        rng = np.random.default_rng([5, index])
        passes = np.concatenate(list(sampled_logits(head, features, PASSES, rng)), axis=1)
        uncertainty = getattr(decompose(expit(passes)), measure)
        right = expit(passes).mean(axis=0).argmax(axis=1) == labels
        aurcs.append(naive.aurc(np.round(-uncertainty, 12), right))
    found = value(tables, f"{measure}_4", "aurc")["value"]
    assert found == pytest.approx(np.mean(aurcs), abs=2e-3)


@pytest.mark.parametrize("level", [0.7, 0.9])
def test_the_rule_against_the_deterministic_model_at_the_same_coverage(tables, seeds, level):
    shares, accuracies, matched, missed, ignored = [], [], [], [], []
    for index, (head, features, labels) in enumerate(seeds):
        accepted, answer = mc_dropout.interval_rule(moments_of(seeds, index)[0], level)
        assert 0 < accepted.sum() < 50
        shares.append(accepted.mean())
        accuracies.append(np.mean(answer[accepted] == labels[accepted]))
        sigmoids = mc_dropout.deterministic_probabilities(head, features)
        right = sigmoids.argmax(axis=1) == labels
        missed.append((~right)[~accepted].mean())
        ignored.append((~accepted)[right].mean())
        errors = naive.expected_errors(sigmoids.max(axis=1), right)
        matched.append(1 - errors[accepted.sum() - 1] / accepted.sum())
    rule = f"interval{round(100 * level)}_4"
    for variant, expected in ((rule, accuracies), (f"deterministic_at_{rule}", matched)):
        assert value(tables, variant, "coverage")["value"] == pytest.approx(np.mean(shares))
        found = value(tables, variant, "selective_accuracy")
        assert found["value"] == pytest.approx(np.mean(expected))
        kept = value(tables, variant, "kept_error")
        assert kept["value"] == pytest.approx(1 - np.mean(expected))
    # With one answer each, as the control has, micro-F1 is accuracy.
    control = value(tables, f"deterministic_at_{rule}", "kept_micro_f1")
    assert control["value"] == pytest.approx(np.mean(matched))
    wrong = value(tables, rule, "misclassified_ignored")
    assert wrong["value"] == pytest.approx(np.mean(missed))
    assert value(tables, rule, "false_ignore_rate")["value"] == pytest.approx(np.mean(ignored))
    ours = value(tables, rule, "selective_accuracy")
    assert ours["delta"] == pytest.approx(np.mean(accuracies) - np.mean(matched))
    coverage = value(tables, rule, "coverage")
    for name in ("delta", "delta_low", "delta_high"):
        assert coverage[name] == pytest.approx(0, abs=1e-12)


def test_curves_say_what_settings_do_and_whether_passes_are_normal(tables, seeds):
    curves = tables["curves"].filter(pl.col("recipe") == "mc_dropout")
    shares = []
    for index in range(2):
        moments, _ = moments_of(seeds, index)
        shares.append(mc_dropout.interval_rule(moments, 0.7, 0.5)[0].mean())
    at = pick(curves, variant="interval70_4", curve="coverage_by_threshold")
    assert at.filter(pl.col("x") == 0.5)["y"].item() == pytest.approx(np.mean(shares))
    trained = pick(curves, variant="interval70_closed", curve="coverage_by_dropout")
    closed = value(tables, "interval70_closed", "coverage")["value"]
    assert trained.filter(pl.col("x") == 1)["y"].item() == pytest.approx(closed)
    for variant in ("logit", "sigmoid"):
        own = pick(curves, variant=variant, curve="normal_share")
        assert own["x"].to_list() == [0, 1, 3]
        assert own["y"].is_between(0, 1).all()
    assert len(pick(curves, variant="logit", curve="normal_share_by_class")) == CLASSES


def test_examples_are_what_the_rule_does_to_one_sample_of_each_class(tables, made, checkpoints):
    examples = tables["examples"]
    ids = examples.filter(pl.col("corruption").is_null())["sample_id"].to_list()
    assert len(ids) == CLASSES
    assert examples.filter(pl.col("corruption").is_null())["label"].n_unique() == CLASSES
    worst = {("fog", 3), ("snow", 3)}
    cells = {(None, None), *worst}
    keys = examples.select("corruption", "severity", "sample_id").rows()
    assert set(keys) == {(*cell, sample) for cell in cells for sample in ids}
    accepted = examples.filter("accepted")
    # Wholly above the threshold, or the only class that straddles it.
    assert (accepted["high"] >= 0.5).all()
    head = rounded_head(mc_dropout.load_head(checkpoints[0]))
    clean = read_logits(made.logits(BIG)["test"][0])
    certain = mc_dropout.deterministic_probabilities(head, clean.features).argmax(axis=1)
    answers = dict(zip(clean.sample_ids, certain.tolist(), strict=True))
    for own in examples.filter(pl.col("corruption").is_null()).iter_rows(named=True):
        assert own["deterministic"] == answers[own["sample_id"]]


def test_without_quantised_logits_there_are_float_rows_only(made, checkpoints, tables):
    metrics = made.mc_dropout(checkpoints, passes=[PASSES], recipes=["mc_dropout"])["metrics"]
    assert metrics.equals(tables["metrics"].filter(pl.col("recipe") == "mc_dropout"))


def test_a_rule_that_accepts_nothing_leaves_a_note(made, tmp_path):
    heads = [save_head(tmp_path / f"{seed}", seed, output_bias=-6000.0) for seed in made.seeds]
    metrics = made.mc_dropout(heads)["metrics"]
    for variant in ("interval70_4", "deterministic_at_interval70_4"):
        place = {"variant": variant, "split": "test", "recipe": "mc_dropout"}
        found = row(metrics, **place, metric="selective_accuracy")
        assert np.isnan(found["value"])
        assert found["note"] == "undefined for a seed: the rule accepts no sample"
        assert row(metrics, **place, metric="coverage")["value"] == 0
    assert_every_nan_is_explained(metrics)


def test_every_nan_is_explained(tables):
    assert_every_nan_is_explained(tables["metrics"])
    assert len(tables["fits"]) == 0
    scored = pick(tables["curves"], curve="risk_coverage")["variant"].unique()
    assert {"deterministic", "mean_4", "score_closed", "variation_ratio_4"} <= set(scored)


def test_checkpoints_are_told_apart_by_their_own_seed(made, checkpoints, tables):
    again = made.mc_dropout(checkpoints[::-1], passes=[PASSES])
    assert again["metrics"].equals(tables["metrics"])


def test_a_missing_checkpoint_is_named(made, checkpoints):
    with pytest.raises(SidekickError, match="no MC-dropout checkpoint of seed 1"):
        made.mc_dropout(checkpoints[:1])


def test_caches_without_features_or_with_others_are_refused(benchmark_of, checkpoints, tmp_path):
    plain = benchmark_of().write()
    with pytest.raises(SidekickError, match=r"seed0.*parquet: 0 features per row, but the head"):
        plain.mc_dropout(checkpoints)
    other = benchmark_of("other", features=FEATURES + 1).write()
    with pytest.raises(SidekickError, match="7 features per row, but the head of seed 0 reads 6"):
        other.mc_dropout(checkpoints)


def test_permuting_rows_changes_nothing(benchmark_of, checkpoints, tables):
    made = benchmark_of(features=FEATURES).permute().write()
    assert made.mc_dropout(checkpoints, passes=[PASSES])["metrics"].equals(tables["metrics"])


def test_more_passes_cost_more_and_are_named(made, checkpoints):
    metrics = made.mc_dropout(checkpoints, passes=[9])["metrics"]
    assert "mean_9" in set(metrics["variant"])
    assert metrics.filter(pl.col("variant") == "mean_4").is_empty()
