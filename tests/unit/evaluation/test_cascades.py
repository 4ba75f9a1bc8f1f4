"""Gates and thresholds of cascades, against applying them by hand."""

import numpy as np
import pytest

from sidekick.logit_cache import read_logits
from sidekick.methods.gates import fit_gates
from sidekick.methods.learned_gate import fit_learned_gate
from sidekick.metrics import (
    Combination,
    combined_statistics,
    evaluate_deferral,
    max_softmax,
    unit_weights,
)
from unit.evaluation.benchmark import (
    BIG,
    SMALL,
    Benchmark,
    assert_every_nan_is_explained,
    pick,
    row,
)

GATES = ("margin", "entropy", "max_softmax_scaled", "max_logit_pnorm", "learned")
COSTS = 0.5, 2.0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    sizes = {"val": 200, "test": 150, "shift": 20}
    made = Benchmark(tmp_path_factory.mktemp("cascades"), sizes=sizes)
    made.cascade = {
        "deferral_ratios": [0.25],
        "budgets": [0.1, 0.5, 0.75],
        "accuracies": [0.6, 0.99],
        "gates": list(GATES),
    }
    return made.write()


@pytest.fixture(scope="module")
def tables(made):
    return made.pairs(SMALL, BIG)


class Seed:
    """One seed's logits and who is right on them."""

    def __init__(self, made, seed):
        self.logits, self.right, self.labels = {}, {}, {}
        for split in ("val", "test"):
            caches = [read_logits(made.path(split, model, seed)) for model in (SMALL, BIG)]
            self.labels[split] = caches[0].labels
            self.logits[split] = caches[0].logits
            self.right[split] = [
                (cache.logits.argmax(axis=1) == cache.labels).astype(float) for cache in caches
            ]

    def gate(self, name):
        """Give the confidence on val by which thresholds are chosen, and that on test."""
        val, test = self.logits["val"], self.logits["test"]
        if name == "learned":
            learned = fit_learned_gate(val, *self.right["val"])
            return learned.val_confidence, learned(test)
        if name == "max_softmax":
            # As evaluation rounds it: thresholds are values of samples.
            return [self._kernel(split) for split in ("val", "test")]
        own = fit_gates(val, self.labels["val"], self.right["val"][1])[name]
        return own(val), own(test)

    def _kernel(self, split):
        one = [Combination([0], [1.0])]
        return combined_statistics([self.logits[split]], self.labels[split], one)[0][0].confidence

    def joint(self, split, confidence, threshold):
        """Give accuracy and deferral rate at a threshold."""
        small, large = self.right[split]
        defer = confidence < threshold
        return np.where(defer, large, small).mean(), defer.mean()


@pytest.fixture(scope="module")
def seeds(made):
    return [Seed(made, seed) for seed in made.seeds]


@pytest.mark.parametrize("gate", [*GATES, "max_softmax"])
def test_every_gate_has_its_whole_curve(tables, seeds, gate):
    place = {"predictor": "cascade", "variant": gate, "split": "test"}
    areas = []
    for seed in seeds:
        _, confidence = seed.gate(gate)
        found = evaluate_deferral(confidence, *seed.right["test"], unit_weights(150))
        areas.append(found.deferral_area[0])
    found = row(tables["metrics"], **place, metric="deferral_area")
    assert found["value"] == pytest.approx(np.mean(areas), abs=1e-6)
    control = "random" if gate == "max_softmax" else "max_softmax"
    assert found["baseline"] == f"cascade:{control}:{BIG}+{SMALL}"


@pytest.mark.parametrize("gate", ["max_softmax", "learned"])
@pytest.mark.parametrize("what", ["budget50", "budget75", "target60", "target99", "defer25"])
def test_a_promise_is_what_the_threshold_does_on_val(tables, seeds, gate, what):
    for index, seed in enumerate(seeds):
        fitted = row(tables["fits"], predictor="cascade", variant=f"{gate}_{what}", seed=index)
        confidence = seed.gate(gate)[0]
        accuracy, rate = seed.joint("val", confidence, fitted["threshold"])
        assert fitted["promised_accuracy"] == pytest.approx(accuracy)
        assert fitted["deferral_ratio"] == pytest.approx(rate)
        assert fitted["promised_gmacs"] == pytest.approx(COSTS[0] + rate * COSTS[1])
        if what.startswith("budget"):
            assert fitted["promised_gmacs"] <= int(what[6:]) / 100 * COSTS[1] + 1e-9
        if what == "target60":
            assert accuracy >= 0.6


@pytest.mark.parametrize("gate", ["max_softmax", "learned"])
@pytest.mark.parametrize("what", ["budget50", "target60", "target99"])
def test_the_board_holds_what_comes_of_it_on_test(tables, seeds, gate, what):
    accuracies, rates = [], []
    for index, seed in enumerate(seeds):
        fitted = row(tables["fits"], predictor="cascade", variant=f"{gate}_{what}", seed=index)
        accuracy, rate = seed.joint("test", seed.gate(gate)[1], fitted["threshold"])
        accuracies.append(accuracy)
        rates.append(rate)
    place = {"predictor": "cascade", "variant": f"{gate}_{what}", "split": "test"}
    found = row(tables["metrics"], **place, metric="accuracy")
    assert found["value"] == pytest.approx(np.mean(accuracies))
    assert found["gmacs"] == pytest.approx(COSTS[0] + np.mean(rates) * COSTS[1])


def test_a_budget_below_the_small_model_has_no_rows_but_a_reason(tables):
    assert not len(pick(tables["metrics"], variant="max_softmax_budget10"))
    told = pick(tables["fits"], predictor="cascade", variant="max_softmax_budget10")
    assert len(told) == 2
    assert told["note"].str.contains("does not pay for the small model").all()
    assert told["threshold"].null_count() == 2


def test_a_target_out_of_reach_is_told_and_the_best_is_taken(tables, seeds):
    told = pick(tables["fits"], predictor="cascade", variant="max_softmax_target99")
    assert told["note"].str.contains("no threshold reaches 0.99 on val").all()
    for fitted, seed in zip(told.sort("seed").iter_rows(named=True), seeds, strict=True):
        confidence = seed.gate("max_softmax")[0]
        candidates = [*np.unique(confidence), np.inf]
        best = max(seed.joint("val", confidence, value)[0] for value in candidates)
        assert fitted["promised_accuracy"] == pytest.approx(best)


def test_gates_report_their_fits(tables):
    notes = pick(tables["fits"], predictor="cascade", variant="learned")["note"]
    assert notes.str.contains("squared error|constant").all()
    norms = pick(tables["fits"], predictor="cascade", variant="max_logit_pnorm")["note"]
    assert norms.str.contains("norm").all()


def test_random_deferral_is_of_as_many(tables):
    for what in ("budget50", "target60"):
        costs = {
            row(
                tables["metrics"], predictor="cascade", variant=f"{name}_{what}", split="test",
                metric="accuracy",
            )["gmacs"]
            for name in ("random", "max_softmax")
        }  # fmt: skip
        assert len(costs) == 1


def test_nothing_is_silent(tables):
    assert_every_nan_is_explained(tables["metrics"])


def test_max_softmax_is_that_of_the_logits(tables, seeds):
    fitted = row(tables["fits"], predictor="cascade", variant="max_softmax_defer25", seed=0)
    expected = np.sort(max_softmax(seeds[0].logits["val"].astype(float)))[50]
    assert fitted["threshold"] == pytest.approx(expected, abs=1e-6)


@pytest.fixture
def language(tmp_path):
    """A benchmark whose cascade may ask for the entropy of a language model's answer."""
    made = Benchmark(tmp_path, sizes={"val": 60, "test": 150, "shift": 20})
    made.cascade = {"deferral_ratios": [0.25], "gates": ["nent"]}
    return made


def test_answers_of_a_language_model_may_be_deferred_by_their_entropy(language):
    rng = np.random.default_rng(0)
    for columns in language.data.values():
        columns["extras"] = {"entropy": rng.exponential(size=len(columns["labels"])).astype("f4")}
    tables = language.write().pairs(SMALL, BIG)
    areas = []
    for seed in language.seeds:
        right = Seed(language, seed).right["test"]
        confidence = -language.data["test", SMALL, seed]["extras"]["entropy"]
        found = evaluate_deferral(confidence, *right, unit_weights(150))
        areas.append(found.deferral_area[0])
    place = {"predictor": "cascade", "variant": "nent", "split": "test"}
    found = row(tables["metrics"], **place, metric="deferral_area")
    assert found["value"] == pytest.approx(np.mean(areas), abs=1e-6)
    assert found["baseline"] == f"cascade:max_softmax:{BIG}+{SMALL}"


def test_other_models_have_no_such_entropy(language):
    tables = language.write().pairs(SMALL, BIG)
    assert not len(pick(tables["metrics"], variant="nent"))
    assert len(pick(tables["metrics"], predictor="cascade", variant="max_softmax"))
