"""Rows of MC dropout, against direct computation with the head."""

import json

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from sidekick.errors import SidekickError
from sidekick.evaluation.mc_dropout import kept_values, matched_values
from sidekick.logit_cache import read_logits
from sidekick.methods import mc_dropout
from sidekick.methods.prediction import Prediction
from sidekick.metrics import sample_statistics
from unit.evaluation.benchmark import BIG, Benchmark, assert_every_nan_is_explained, pick, row
from unit.methods.data import make_models
from unit.metrics import naive

FEATURES, HIDDEN, CLASSES, PASSES = 6, 8, 4, 4


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
    return made.mc_dropout(checkpoints, passes=PASSES)


@pytest.fixture(scope="module")
def seeds(made, checkpoints):
    """Of each seed: head, features and labels of the test split."""
    files = [read_logits(path) for path in made.logits(BIG)["test"]]
    heads = [mc_dropout.load_head(path) for path in checkpoints]
    return [(head, file.features, file.labels) for head, file in zip(heads, files, strict=True)]


def value(tables, variant, metric):
    return row(tables["metrics"], variant=variant, split="test", metric=metric)


def test_there_is_every_predictor_with_its_matched_control(tables):
    base = f"mc_dropout:deterministic:{BIG}@mc_dropout"
    expected = {"deterministic": None, "mean_4": base}
    for level in (70, 90):
        expected[f"deterministic_at_interval{level}"] = None
        control = f"mc_dropout:deterministic_at_interval{level}:{BIG}@mc_dropout"
        expected[f"interval{level}_4"] = control
    metrics = tables["metrics"]
    assert dict(metrics.select("variant", "baseline").unique().iter_rows()) == expected
    assert metrics.select("predictor", "recipe").unique().rows() == [("mc_dropout",) * 2]


def test_cost_is_the_features_and_the_passes_through_the_head(tables, seeds):
    head = (FEATURES + FEATURES * HIDDEN + HIDDEN * CLASSES) / 1e9
    assert seeds[0][0].gmacs == pytest.approx(head)
    for variant in ("deterministic", "deterministic_at_interval70"):
        assert pick(tables["metrics"], variant=variant)["gmacs"].unique().to_list() == [
            pytest.approx(1.8 + head, rel=1e-12)
        ]
    for variant in ("mean_4", "interval70_4"):
        assert pick(tables["metrics"], variant=variant)["gmacs"].unique().to_list() == [
            pytest.approx(1.8 + 4 * head, rel=1e-12)
        ]


def test_the_deterministic_model_is_one_pass_without_dropout(tables, seeds):
    aurcs, nlls = [], []
    for head, features, labels in seeds:
        sigmoids = mc_dropout.deterministic_probabilities(head, features)
        probability = sigmoids / sigmoids.sum(axis=1, keepdims=True)
        nlls.append(-np.log(probability[np.arange(50), labels]).mean())
        right = probability.argmax(axis=1) == labels
        aurcs.append(naive.aurc(probability.max(axis=1), right))
    assert value(tables, "deterministic", "nll")["value"] == pytest.approx(np.mean(nlls))
    assert value(tables, "deterministic", "aurc")["value"] == pytest.approx(np.mean(aurcs))


def moments_of(seeds, index):
    head, features, labels = seeds[index]
    # The job's generator: the config's seed, and a stream per seed of the benchmark.
    rng = np.random.default_rng([5, index])
    return mc_dropout.sample_moments(head, features, PASSES, rng), labels


def test_the_mean_of_passes(tables, seeds):
    nlls = []
    for index in range(2):
        moments, labels = moments_of(seeds, index)
        p = moments.mean / moments.mean.sum(axis=1, keepdims=True)
        nlls.append(-np.log(p[np.arange(50), labels]).mean())
    assert value(tables, "mean_4", "nll")["value"] == pytest.approx(np.mean(nlls))


@pytest.mark.parametrize("level", [0.7, 0.9])
def test_the_rule_against_the_deterministic_model_at_the_same_coverage(tables, seeds, level):
    shares, accuracies, matched = [], [], []
    for index, (head, features, labels) in enumerate(seeds):
        accepted, answer = mc_dropout.interval_rule(moments_of(seeds, index)[0], level)
        assert 0 < accepted.sum() < 50
        shares.append(accepted.mean())
        accuracies.append(np.mean(answer[accepted] == labels[accepted]))
        certain = mc_dropout.as_prediction(mc_dropout.deterministic_probabilities(head, features))
        own = sample_statistics(certain.logits, labels)
        errors = naive.expected_errors(own.confidence, own.correct)
        matched.append(1 - errors[accepted.sum() - 1] / accepted.sum())
    suffix = f"interval{round(100 * level)}"
    for variant, expected in ((f"{suffix}_4", accuracies), (f"deterministic_at_{suffix}", matched)):
        assert value(tables, variant, "coverage")["value"] == pytest.approx(np.mean(shares))
        found = value(tables, variant, "selective_accuracy")
        assert found["value"] == pytest.approx(np.mean(expected))
    ours = value(tables, f"{suffix}_4", "selective_accuracy")
    assert ours["delta"] == pytest.approx(np.mean(accuracies) - np.mean(matched))
    coverage = value(tables, f"{suffix}_4", "coverage")
    assert (coverage["delta"], coverage["delta_low"], coverage["delta_high"]) == (0, 0, 0)


def test_a_resample_of_the_rule_is_that_of_repeated_rows():
    rng = np.random.default_rng(0)
    accepted, correct = rng.random((2, 12)) < 0.6
    weights = rng.integers(0, 3, (5, 12)).astype(np.uint8)
    (logits, _), labels = make_models(0, n=12)
    statistics = Prediction(logits).statistics(labels)
    found = kept_values(accepted, correct, weights)
    matched = matched_values(statistics, found, weights)
    for b in range(5):
        rows = np.repeat(np.arange(12), weights[b])
        kept = rows[accepted[rows]]
        assert found["coverage"][b] == pytest.approx(len(kept) / len(rows))
        assert found["selective_accuracy"][b] == pytest.approx(correct[kept].mean())
        errors = naive.expected_errors(statistics.confidence[rows], statistics.correct[rows])
        assert matched["selective_accuracy"][b] == pytest.approx(
            1 - errors[len(kept) - 1] / len(kept)
        )
        assert matched["coverage"][b] == found["coverage"][b]


def test_a_rule_that_accepts_nothing_leaves_a_note(made, tmp_path):
    heads = [save_head(tmp_path / f"{seed}", seed, output_bias=-6000.0) for seed in made.seeds]
    metrics = made.mc_dropout(heads)["metrics"]
    for variant in ("interval70_4", "deterministic_at_interval70"):
        found = row(metrics, variant=variant, split="test", metric="selective_accuracy")
        assert np.isnan(found["value"])
        assert found["note"] == "undefined for a seed: the rule accepts no sample"
        assert row(metrics, variant=variant, split="test", metric="coverage")["value"] == 0
    assert_every_nan_is_explained(metrics)


def test_every_nan_is_explained(tables):
    assert_every_nan_is_explained(tables["metrics"])
    assert len(tables["fits"]) == 0
    assert set(tables["curves"]["variant"]) == {"deterministic", "mean_4"}


def test_checkpoints_are_told_apart_by_their_own_seed(made, checkpoints, tables):
    again = made.mc_dropout(checkpoints[::-1], passes=PASSES)
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
    assert made.mc_dropout(checkpoints, passes=PASSES)["metrics"].equals(tables["metrics"])


def test_more_passes_cost_more_and_are_named(made, checkpoints):
    metrics = made.mc_dropout(checkpoints, passes=9)["metrics"]
    assert "mean_9" in set(metrics["variant"])
    assert metrics.filter(pl.col("variant") == "mean_4").is_empty()
