import numpy as np
import pytest

from sidekick.errors import SidekickError
from sidekick.methods import gates
from sidekick.methods.gates import NORMS, choose_norm, fit_gates, max_logit_pnorm
from sidekick.metrics import auroc, evaluate_deferral, unit_weights
from unit.methods import data


def _ranks(values):
    return np.unique(values, return_inverse=True)[1]


@pytest.fixture(scope="module")
def made():
    (small, large), labels = data.make_models(0, n=800, signals=(1.5, 3.0))
    return small, labels, (large.argmax(axis=1) == labels).astype(float)


@pytest.mark.parametrize("norm", [1, 2, 3.5, 8])
def test_pnorm_by_its_formula(made, norm):
    small = made[0]
    centred = small - small.mean(axis=1, keepdims=True)
    expected = centred.max(axis=1) / np.linalg.norm(centred, ord=norm, axis=1)
    np.testing.assert_allclose(max_logit_pnorm(small, norm), expected, rtol=1e-12)


def test_pnorm_of_zero_is_the_centred_maximum(made):
    small = made[0]
    np.testing.assert_allclose(
        max_logit_pnorm(small, 0), small.max(axis=1) - small.mean(axis=1), rtol=1e-12
    )


def test_pnorm_is_blind_to_shift_and_temperature(made):
    small = made[0]
    shifted = 3.7 * small + np.arange(len(small))[:, None]
    np.testing.assert_allclose(max_logit_pnorm(shifted, 3), max_logit_pnorm(small, 3), rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_pnorm_neither_over_nor_underflows(made, scale):
    small = made[0]
    np.testing.assert_allclose(
        max_logit_pnorm(scale * small, 8), max_logit_pnorm(small, 8), rtol=1e-12
    )


@pytest.mark.parametrize("norm", NORMS)
def test_pnorm_leaves_absent_options_out(made, norm):
    small = made[0][:50]
    wide = np.full((50, 8), -np.inf)
    rows, places = np.arange(50)[:, None], np.argsort(np.random.default_rng(0).random((50, 8)))
    wide[rows, places[:, :5]] = small
    np.testing.assert_allclose(
        max_logit_pnorm(wide, norm), max_logit_pnorm(small, norm), rtol=1e-12
    )


def test_pnorm_of_degenerate_rows():
    logits = np.array([[0.1, 0.1, 0.1], [7.0, -np.inf, -np.inf], [1.0, 0.9, -np.inf]])
    for norm in NORMS[1:]:
        flat, certain, other = max_logit_pnorm(logits, norm)
        assert (flat, certain) == (0, 1)
        assert 0 < other < 1
    assert max_logit_pnorm(logits, 0)[:2].tolist() == [0, np.inf]
    for bad in (np.nan, np.inf):
        logits[1, 0] = bad
        with pytest.raises(SidekickError, match="logits in row 1"):
            max_logit_pnorm(logits, 2)
    logits[1] = -np.inf
    with pytest.raises(SidekickError, match="logits in row 1"):
        max_logit_pnorm(logits, 2)


def test_blocks_do_not_matter(made, monkeypatch):
    whole = max_logit_pnorm(made[0], 2)
    monkeypatch.setattr(gates, "_BLOCK_ELEMENTS", 17)
    np.testing.assert_array_equal(max_logit_pnorm(made[0], 2), whole)


@pytest.mark.parametrize("large", [False, True])
def test_the_norm_is_the_best_of_the_grid(made, large):
    small, labels, large_score = made
    correct = small.argmax(axis=1) == labels
    weights = unit_weights(len(labels))
    values = {}
    for norm in NORMS:
        confidence = max_logit_pnorm(small, norm)
        values[norm] = (
            evaluate_deferral(confidence, correct, large_score, weights).deferral_area[0]
            if large
            else auroc(confidence, correct, weights)[0]
        )
    chosen = choose_norm(small, correct, large_score if large else None)
    assert values[chosen] == max(values.values())
    assert len(set(values.values())) > 2


def test_without_errors_no_norm_is_better(made):
    assert choose_norm(made[0], np.ones(800, bool)) == 0


def test_the_gates_and_what_they_fit(made):
    small, labels, large_score = made
    fitted = fit_gates(small, labels, large_score)
    assert list(fitted) == [
        "max_softmax",
        "margin",
        "entropy",
        "max_softmax_scaled",
        "margin_scaled",
        "entropy_scaled",
        "max_logit_pnorm",
    ]
    weight = fitted["margin_scaled"].parameters["weight"]
    assert weight > 0
    p = np.exp(small - small.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    q = np.exp(weight * (small - small.max(axis=1, keepdims=True)))
    q /= q.sum(axis=1, keepdims=True)
    ordered = np.sort(p, axis=1)
    expected = {
        "max_softmax": p.max(axis=1),
        "margin": ordered[:, -1] - ordered[:, -2],
        "entropy": (p * np.log(p)).sum(axis=1),
        "max_softmax_scaled": q.max(axis=1),
        "entropy_scaled": (q * np.log(q)).sum(axis=1),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(fitted[name](small), values, rtol=1e-9, atol=1e-12)
    # A gate says as much of a row whatever other rows there are.
    for gate in fitted.values():
        np.testing.assert_allclose(gate(small[3:9]), gate(small)[3:9], rtol=1e-12)
        auroc_of = auroc(gate(small), small.argmax(axis=1) == labels, unit_weights(800))[0]
        assert auroc_of > 0.65


def test_of_two_classes_all_gates_agree():
    """Then the difference of the two logits is all there is, but the temperature is positive."""
    (small,), labels = data.make_models(3, n=200, classes=2, signals=(1.5,))
    fitted = fit_gates(small, labels)
    ranks = _ranks(fitted["max_softmax"](small))
    for name, gate in fitted.items():
        if name != "max_logit_pnorm":
            np.testing.assert_array_equal(_ranks(gate(small).round(12)), ranks, err_msg=name)


def test_real_models(real):
    """As published: the norm helps here; tuned on one half, told apart on the other."""
    logits, labels = real
    half = np.arange(len(labels)) % 2 == 0
    for name in ("wrn", "densenet"):
        fitted = fit_gates(logits[name][half], labels[half])
        correct = (logits[name].argmax(axis=1) == labels)[~half]
        found = {
            gate: auroc(fitted[gate](logits[name][~half]), correct, unit_weights(5000))[0]
            for gate in fitted
        }
        assert min(found.values()) > 0.83
        assert max(found.values()) - min(found.values()) < 0.05
