"""What a predictor file says about its thresholds."""

import json
import re

import numpy as np
import pytest

import sidekick
from sidekick.deployment import selection
from sidekick.deployment.write import Member, tuning_rows
from sidekick.errors import SidekickError
from sidekick.methods import duo
from sidekick.methods.temperature import fit_temperature
from unit.deployment.predictors import models, write
from unit.methods.conftest import real  # noqa: F401

IDS = np.array([f"sample_{row}" for row in range(2000)], dtype=object)


def test_the_file_is_plain_json_and_the_same_twice(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / f"{name}.json", "duo_cascade", class_names=list("abcde"))
    text = (tmp_path / "one.json").read_text()
    assert text == (tmp_path / "two.json").read_text()
    assert not re.search(r"\b(NaN|Infinity)\b", text)
    document = json.loads(text)
    assert len(document.pop("sha256")) == 64
    assert document == sidekick.load(tmp_path / "one.json").document
    assert document["class_names"] == list("abcde")
    assert document["provenance"]["benchmark"] == "toy"
    assert document["provenance"]["val_samples"] == 2000
    assert "numpy" in document["provenance"]["software"]
    assert document["models"] == {
        "large": {"name": "big", "gmacs": 10.0},
        "small": [{"name": "tiny", "gmacs": 1.0}],
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.json", "two.json"]


def test_both_conventions_of_weights_are_stated(tmp_path):
    document = write(tmp_path / "p.json", "duo_cascade", weights=[0.8, 0.0]).document
    assert document["weights"]["full"] == [0.8, 0.0]
    assert document["divisors"]["full"] == [pytest.approx(1 / 1.6), None]
    assert document["divisors"]["small_alone"] == pytest.approx(1 / 0.9)
    document = write(tmp_path / "p.json", "temperature", weights=[0.5]).document
    assert document["divisors"]["full"] == [2.0]


@pytest.mark.parametrize("method", selection.METHODS)
def test_accuracies_are_certified_on_rows_that_nothing_else_has_seen(tmp_path, method):
    large, small, labels = models()
    tuning = tuning_rows(IDS, labels, seed=0)
    predictor = write(tmp_path / "p.json", "duo", method=method)
    decision = predictor(large, small)
    correct = decision.prediction == labels
    for entry in predictor.document["targets"][:2]:
        accepted = (decision.confidence >= float(entry["threshold"])) & ~tuning
        counts = entry["certified_on"]
        assert counts["samples"] == (~tuning).sum() == 1000
        assert counts["accepted"] == accepted.sum()
        assert counts["errors"] == (accepted & ~correct).sum()
        assert counts["coverage"] == accepted.sum() / 1000
        assert counts["accuracy"] == pytest.approx(correct[accepted].mean())
        assert entry["accuracy"] <= counts["accuracy_lower_bound"] <= counts["accuracy"]
    hopeless = predictor.document["targets"][2]
    assert hopeless["threshold"] is None
    assert "no threshold could be certified on 1000 samples" in hopeless["reason"]


def test_right_answers_on_the_rows_that_weights_were_fitted_on_certify_nothing(tmp_path):
    labels = models()[2]
    tuning = tuning_rows(IDS, labels, seed=0)
    spoilt = np.where(tuning, labels, (labels + 1) % 5)
    predictor = write(tmp_path / "p.json", "duo", labels=spoilt, tuning=tuning)
    assert all(entry["threshold"] is None for entry in predictor.document["targets"])


@pytest.mark.parametrize("kind", ["cascade", "duo_cascade"])
def test_budgets_state_their_bounds_and_what_they_buy(tmp_path, kind):
    large, small, labels = models()
    predictor = write(tmp_path / "p.json", kind)
    tuning = tuning_rows(IDS, labels, seed=0)
    table = {entry["name"]: entry for entry in predictor.document["budgets"]}
    for name, ratio in (("deferral<=0.2", 0.2), ("deferral<=0.5", 0.5), ("gmacs<=3", 0.2)):
        entry = table[name]
        decision = predictor(large, small, budget=name)
        assert entry["chosen_on"] == {
            "samples": 1000,
            "deferred": decision.used_large[tuning].sum(),
        }
        assert entry["upper_bound"] <= ratio
        assert entry["gmacs_upper_bound"] == pytest.approx(1 + 10 * entry["upper_bound"])
        seen = entry["on_other_rows"]
        assert seen["deferral_ratio"] == decision.used_large[~tuning].mean()
        assert seen["gmacs"] == pytest.approx(1 + 10 * seen["deferral_ratio"])
        assert seen["accuracy"] == (decision.prediction == labels)[~tuning].mean()
    assert table["gmacs<=0.5"]["threshold"] is None
    reasons = [e["reason"] for e in predictor.document["targets"] if e["budget"] == "gmacs<=0.5"]
    assert len(reasons) == 3
    assert all("the small model alone costs 1 GMACs" in reason for reason in reasons)


def test_a_budget_beyond_all_costs_defers_everything(tmp_path):
    budgets = {"deferral_ratios": (0, 1), "gmacs_budgets": (99,)}
    predictor = write(tmp_path / "p.json", "cascade", **budgets)
    large, small, _ = models()
    used = {name: predictor(large, small, budget=name).used_large for name in predictor.budgets}
    assert not used["deferral<=0"].any()
    assert used["deferral<=1"].all()
    assert used["gmacs<=99"].all()


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("trio", {"weights": [1]}, "kind: 'trio'; allowed"),
        ("duo", {"weights": [1.0]}, "weights.full: .*2 numbers"),
        ("duo", {"weights": [1.0, np.nan]}, "weights.full"),
        ("duo", {"variant": "best"}, "variant: 'best'"),
        ("duo", {"smalls": []}, "models.small: 0 models"),
        ("duo", {"deferral_ratios": (0.5,)}, "a cascade needs at least one .* has none"),
        ("duo", {"tuning": np.ones(2000, bool)}, "tuning rows .* some true and some false"),
        ("duo", {"tuning": np.zeros(2000, bool)}, "some true and some false"),
        ("duo", {"tuning": np.arange(2000)}, "type int64; expected 2000 truth values"),
        ("duo", {"labels": np.zeros(3, int)}, "logits of 'big' of shape .*3 rows"),
        ("duo", {"large": Member("big", 0.0, models()[0])}, "'big' costs 0.0 GMACs"),
        ("duo", {"accuracies": (1.5,)}, "accuracy: 1.5"),
        ("duo", {"delta": 0.0}, "delta: 0.0"),
        ("duo", {"method": "guess"}, "method: 'guess'"),
        ("cascade", {"small_weight": None}, "weights.small_alone"),
        ("cascade", {"gate": "luck"}, "gate: 'luck'; allowed"),
        ("cascade", {"deferral_ratios": (), "gmacs_budgets": ()}, "at least one"),
        ("cascade", {"deferral_ratios": (1.5,)}, "ratio: 1.5"),
    ],
)
def test_arguments_that_are_not_allowed_leave_no_file(tmp_path, kind, changes, message):
    with pytest.raises(SidekickError, match=message):
        write(tmp_path / "p.json", kind, **changes)
    assert not list(tmp_path.iterdir())


def test_val_is_divided_by_class_and_seed_whatever_its_order():
    labels = models()[2]
    rows = tuning_rows(IDS, labels, seed=1, share=0.3)
    assert rows.sum() == 600
    np.testing.assert_allclose(np.bincount(labels[rows]) / np.bincount(labels), 0.3, atol=0.01)
    shuffled = np.random.default_rng(0).permutation(2000)
    np.testing.assert_array_equal(
        tuning_rows(IDS[shuffled], labels[shuffled], seed=1, share=0.3), rows[shuffled]
    )
    assert (tuning_rows(IDS, labels, seed=2, share=0.3) != rows).any()
    for share in (0.0, 1.0):
        with pytest.raises(SidekickError, match="deployment: a share of"):
            tuning_rows(IDS, labels, seed=0, share=share)


def test_promises_of_real_classifiers_hold_on_their_other_half(tmp_path, real):  # noqa: F811
    """DenseNet-BC-100 with the sidekick WRN-16-4 on CIFAR-100: val is one half, test the other."""
    logits, labels = real
    val = np.arange(10000) % 2 == 0
    ids = np.array([f"row_{row:07d}" for row in range(10000)], dtype=object)[val]
    large, small = logits["densenet"], logits["wrn"]
    tuning = tuning_rows(ids, labels[val], seed=0)
    fitted = [z[val][tuning] for z in (large, small)]
    predictor = write(
        tmp_path / "p.json",
        "duo_cascade",
        large=Member("densenet", 0.3, large[val]),
        smalls=[Member("wrn", 0.2, small[val])],
        weights=duo.fit_duo(*fitted, labels[val][tuning]).weights,
        small_weight=fit_temperature(fitted[1], labels[val][tuning]).weights[0],
        labels=labels[val],
        tuning=tuning,
        accuracies=(0.9, 0.95),
        deferral_ratios=(0.25, 0.5),
        gmacs_budgets=(),
    )
    assert {entry["threshold"] is None for entry in predictor.document["targets"]} == {False}
    for budget, ratio in (("deferral<=0.25", 0.25), ("deferral<=0.5", 0.5)):
        for target, accuracy in (("accuracy>=0.9", 0.9), ("accuracy>=0.95", 0.95)):
            decision = predictor(large[~val], small[~val], target=target, budget=budget)
            correct = decision.prediction == labels[~val]
            assert decision.used_large.mean() <= ratio
            assert correct[decision.accepted].mean() >= accuracy
            assert decision.accepted.mean() > 0.35
