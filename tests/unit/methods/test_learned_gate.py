import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sidekick
from sidekick.errors import SidekickError
from sidekick.methods import learned_gate
from sidekick.methods.cascade import deferred
from sidekick.methods.learned_gate import fit_learned_gate, logit_features
from sidekick.methods.thresholds import threshold_for_budget
from sidekick.metrics import evaluate_deferral, max_softmax, unit_weights
from unit.methods import data


def _softmax(logits):
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def _area(confidence, small, large):
    return evaluate_deferral(confidence, small, large, unit_weights(len(small))).deferral_area[0]


def _made(n=2000, seed=0, classes=6):
    """The large model is right except on two classes, of which it knows nothing."""
    (logits,), labels = data.make_models(seed, n=n, classes=classes, signals=(1.5,))
    small = (logits.argmax(axis=1) == labels).astype(float)
    rng = np.random.default_rng(seed + 1)
    large = np.where(labels < 2, rng.random(n) < 0.05, rng.random(n) < 0.95).astype(float)
    return logits, small, large


def test_features_by_their_definitions():
    logits, _, _ = _made(50, classes=7)
    p = -np.sort(-_softmax(logits), axis=1)
    found = logit_features(logits)
    assert found.shape == (50, 15)
    entropy = (p * np.log(p)).sum(axis=1)
    odds = np.log(p[:, 0] / (1 - p[:, 0]))
    spread = np.log(np.exp(logits).sum(axis=1)) - logits.mean(axis=1)
    expected = np.column_stack(
        [np.log(p[:, :5]), p[:, :5], p[:, 0] - p[:, 1], entropy, odds, spread, np.full(50, 7)]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    # A constant added to a row, which the cache takes away, says nothing.
    moved = logits + np.arange(50)[:, None]
    np.testing.assert_allclose(logit_features(moved), found, rtol=1e-9, atol=1e-9)


def test_features_are_finite(monkeypatch):
    logits = np.array([[1e4, -1e4, 0.0], [5.0, -np.inf, -np.inf], [0.0, 0.0, -np.inf]])
    found = logit_features(logits)
    assert np.isfinite(found).all()
    assert found[:, -1].tolist() == [3, 1, 2]
    assert logit_features(np.zeros((4, 1))).shape == (4, 7)
    monkeypatch.setattr(learned_gate, "_BLOCK_ELEMENTS", 4)
    np.testing.assert_array_equal(logit_features(logits), found)


def test_it_beats_the_confidence_where_the_large_model_has_a_blind_spot():
    logits, small, large = _made(6000)
    val = np.arange(6000) < 3000
    gate = fit_learned_gate(logits[val], small[val], large[val])
    # Which class it is says what the large model can do, and only the trees know it.
    assert gate.kind == "trees"
    assert gate.errors["trees"] < gate.errors["ridge"] < gate.errors["constant"]
    learned = _area(gate(logits[~val]), small[~val], large[~val])
    assert learned > _area(max_softmax(logits[~val]), small[~val], large[~val]) + 0.01


def test_without_blind_spots_the_ridge_is_enough():
    (logits,), labels = data.make_models(5, n=3000, signals=(1.5,))
    small = (logits.argmax(axis=1) == labels).astype(float)
    large = (np.random.default_rng(0).random(3000) < 0.9).astype(float)
    gate = fit_learned_gate(logits, small, large)
    assert gate.kind == "ridge"
    assert _area(gate.val_confidence, small, large) > _area(np.zeros(3000), small, large) + 0.03


def test_features_help_the_ridge():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1500, 8))
    logits = rng.normal(size=(1500, 4))
    small = np.zeros(1500)
    large = (features[:, 3] + 0.3 * rng.normal(size=1500) > 0).astype(float)
    without = fit_learned_gate(logits, small, large)
    assert min(without.errors.values()) > 0.99 * without.errors["constant"]
    gate = fit_learned_gate(logits, small, large, features)
    assert gate.kind == "ridge"
    assert np.corrcoef(gate(logits, features), -features[:, 3])[0, 1] > 0.95


def test_val_confidences_come_from_models_that_have_not_seen_the_sample(monkeypatch):
    """Scores of pure noise: who has seen them, seems to know them."""
    monkeypatch.setattr(
        learned_gate, "_TREES", {**learned_gate._TREES, "max_iter": 400, "min_samples_leaf": 2}
    )
    rng = np.random.default_rng(1)
    logits, gain = rng.normal(size=(600, 5)), rng.random(600)
    fit, seen = learned_gate._fit, []

    def watching(kind, inputs, gain):
        model = fit(kind, inputs, gain)
        seen.append((kind, np.corrcoef(model.predict(inputs), gain)[0, 1]))
        return model

    monkeypatch.setattr(learned_gate, "_fit", watching)
    gate = fit_learned_gate(logits, np.zeros(600), gain)
    assert min(r for kind, r in seen if kind == "trees") > 0.8
    assert len(seen) == 2 * 5
    assert gate.errors["trees"] > gate.errors["constant"]
    assert gate.kind == "constant"
    assert gate.reason == "no model predicts better than the mean"


@pytest.mark.parametrize("kind", ["trees", "ridge"])
def test_each_fold_is_predicted_by_the_others(monkeypatch, kind):
    logits, small, large = _made(1600)
    monkeypatch.setattr(learned_gate, "_KINDS", (kind,))
    gate = fit_learned_gate(logits, small, large, folds=4, seed=3)
    gain = large - small
    fold = learned_gate._assign(gain, 4, 3)
    inputs = learned_gate._inputs(kind, logits, None)
    assert np.bincount(fold).tolist() == [400] * 4
    for own in range(4):
        model = learned_gate._fit(kind, inputs[fold != own], gain[fold != own])
        expected = -model.predict(inputs[fold == own])
        np.testing.assert_array_equal(gate.val_confidence[fold == own], expected)
    # Other samples are asked of a model that was fitted on all of these.
    whole = learned_gate._fit(kind, inputs, gain)
    np.testing.assert_array_equal(gate(logits), -whole.predict(inputs))


def test_it_is_deterministic():
    logits, small, large = _made(600)
    first, second = (fit_learned_gate(logits, small, large) for _ in range(2))
    assert first.kind == second.kind
    np.testing.assert_array_equal(first.val_confidence, second.val_confidence)
    np.testing.assert_array_equal(first(logits), second(logits))
    other = fit_learned_gate(logits, small, large, seed=1)
    assert not np.array_equal(first.val_confidence, other.val_confidence)


def test_a_threshold_on_val_keeps_its_promise():
    """It would not, were it chosen on the confidences of the samples that were fitted."""
    logits, small, large = _made(12000, seed=2)
    val = np.arange(12000) < 4000
    gate = fit_learned_gate(logits[val], small[val], large[val])
    chosen = threshold_for_budget(gate.val_confidence, small[val], large[val], (1.0, 10.0), 4.0)
    defer = deferred(gate(logits[~val]), chosen.value)
    assert defer.mean() == pytest.approx(chosen.deferral, abs=0.02)
    score = np.where(defer, large[~val], small[~val]).mean()
    assert score == pytest.approx(chosen.score, abs=0.03)


def test_what_cannot_be_learned_is_constant():
    logits, small, large = _made(100)
    same = fit_learned_gate(logits, small, small)
    assert (same.kind, same.reason) == ("constant", "all samples gain the same")
    assert (same(logits[:3]) == 0).all()
    few = fit_learned_gate(logits[:9], small[:9], large[:9])
    assert (few.kind, few.reason) == ("constant", "too few samples")
    mean = (large - small)[:9].mean()
    np.testing.assert_allclose(few(logits), -mean)
    np.testing.assert_allclose(few.val_confidence, -mean)
    one = fit_learned_gate(logits[:1], small[:1], large[:1])
    assert one.kind == "constant"


def test_many_classes_and_half_precision():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(400, 300)).astype(np.float16)
    logits[:, 5] += 4
    logits[:200, 5] += 3
    small = (np.arange(400) < 200).astype(float)
    gate = fit_learned_gate(logits, small, np.full(400, 0.5))
    assert gate.kind in ("ridge", "trees")
    assert np.quantile(gate(logits[:200]), 0.1) > np.quantile(gate(logits[200:]), 0.9)


def test_refusals():
    logits, small, large = _made(40)
    for arguments, message in (
        ((logits[0], small, large), "learned gate: logits of shape"),
        ((logits, small[:5], large[:5]), "scores of shape"),
        ((logits[:0], small[:0], large[:0]), "scores of shape"),
        ((logits, small, np.where(np.arange(40) == 7, np.nan, large)), "row 7 is not finite"),
        ((logits, small, large, np.ones((3, 2))), "features of shape"),
        ((np.where(np.arange(40)[:, None] == 3, np.nan, logits), small, large), "row 3"),
    ):
        with pytest.raises(SidekickError, match=message):
            fit_learned_gate(*arguments)


def test_real_models(real):
    """Between two networks equally good, what one gains over the other can be learned."""
    logits, labels = real
    half = np.arange(len(labels)) % 2 == 0
    right = {name: (own.argmax(axis=1) == labels).astype(float) for name, own in logits.items()}
    small, large = right["wrn"], right["densenet"]
    gate = fit_learned_gate(logits["wrn"][half], small[half], large[half])
    own, other = small[~half], large[~half]
    learned = _area(gate(logits["wrn"][~half]), own, other)
    assert learned > _area(max_softmax(logits["wrn"][~half]), own, other)


def test_sklearn_is_imported_when_it_is_needed():
    code = "import sys, sidekick.methods.learned_gate as g; print('sklearn' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(Path(sidekick.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "False"
