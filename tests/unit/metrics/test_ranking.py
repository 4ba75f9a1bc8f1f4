import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sidekick.errors import SidekickError
from sidekick.metrics import (
    SAC_TARGETS,
    augrc,
    aurc,
    auroc,
    e_aurc,
    ranking_metrics,
    risk_coverage_curve,
    sac,
    unit_weights,
)
from unit.metrics import naive
from unit.metrics.strategies import ranked

NAIVE = {
    "auroc": naive.auroc,
    "aurc": naive.aurc,
    "e_aurc": naive.e_aurc,
    "augrc": naive.augrc,
    **{
        f"sac_{percent}": lambda confidence, correct, percent=percent: naive.sac(
            confidence, correct, percent
        )
        for percent in range(90, 100)
    },
}


def _values(confidence, correct):
    metrics = ranking_metrics(confidence, correct, unit_weights(correct.size))
    return {name: value[0] for name, value in metrics.items()}


@settings(max_examples=200, deadline=None)
@given(ranked(max_size=25))
def test_against_naive(data):
    values = _values(*data)
    assert list(values) == list(NAIVE)
    for name, value in values.items():
        np.testing.assert_allclose(value, NAIVE[name](*data), atol=1e-12, err_msg=name)


@settings(max_examples=30, deadline=None)
@given(ranked(max_size=7))
def test_aurc_is_the_mean_over_all_orders_of_the_ties(data):
    confidence, correct = data
    every = [naive.aurc_in_order(~correct[order]) for order in naive.orders(-confidence)]
    np.testing.assert_allclose(_values(*data)["aurc"], np.mean(every), atol=1e-12)


def test_aurc_is_the_mean_over_random_orders_of_large_ties():
    rng = np.random.default_rng(0)
    confidence, correct = rng.integers(0, 4, 200) / 3, rng.random(200) < 0.7
    sample = []
    for _ in range(2000):
        order = np.lexsort((rng.random(200), -confidence))
        sample.append(np.mean(np.cumsum(~correct[order]) / np.arange(1, 201)))
    error = np.std(sample) / np.sqrt(len(sample))
    assert abs(np.mean(sample) - _values(confidence, correct)["aurc"]) < 4 * error


def test_single_functions_equal_the_shared_pass():
    rng = np.random.default_rng(0)
    confidence, correct = rng.integers(0, 30, 80) / 30, rng.random(80) < 0.8
    weights = rng.integers(0, 3, (40, 80)).astype(np.uint8)
    together = ranking_metrics(confidence, correct, weights)
    for name, metric in (("auroc", auroc), ("aurc", aurc), ("e_aurc", e_aurc), ("augrc", augrc)):
        np.testing.assert_array_equal(metric(confidence, correct, weights), together[name])
    coverages = sac(confidence, correct, weights, (0.93, 0.99))
    assert coverages.shape == (2, 40)
    np.testing.assert_array_equal(coverages, [together["sac_93"], together["sac_99"]])


@settings(max_examples=100, deadline=None)
@given(ranked(min_size=2, max_size=25))
def test_augrc_identity(data):
    _, correct = data
    assume(0 < correct.sum() < correct.size)
    accuracy, values = correct.mean(), _values(*data)
    identity = accuracy * (1 - accuracy) * (1 - values["auroc"]) + (1 - accuracy) ** 2 / 2
    np.testing.assert_allclose(naive.augrc(*data), identity, atol=1e-12)
    np.testing.assert_allclose(values["augrc"], identity, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(ranked(max_size=15), st.randoms(use_true_random=False), st.integers(0, 2**32 - 1))
def test_only_the_order_of_confidence_matters(data, random, seed):
    """Row order, and any strictly increasing map, change nothing at all."""
    confidence, correct = data
    rows = list(range(correct.size))
    random.shuffle(rows)
    levels, index = np.unique(confidence, return_inverse=True)
    mapped = np.cumsum(np.random.default_rng(seed).exponential(size=levels.size))[index] - 3.0
    assert _values(confidence, correct) == pytest.approx(
        _values(mapped[rows], correct[rows]), abs=0, nan_ok=True
    )


@settings(max_examples=100, deadline=None)
@given(ranked(max_size=15))
def test_bounds(data):
    values = _values(*data)
    for name, value in values.items():
        assert np.isnan(value) or -1e-12 <= value <= 1, name
    coverages = [values[f"sac_{percent}"] for percent in range(90, 100)]
    assert coverages == sorted(coverages, reverse=True)
    _, correct = data
    if 0 < correct.sum() < correct.size:
        flipped = _values(-data[0], correct)
        assert values["auroc"] + flipped["auroc"] == pytest.approx(1)


def test_perfect_order_has_no_excess():
    correct = np.array([True] * 6 + [False] * 4)
    values = _values(np.linspace(1, 0, 10), correct)
    assert values["auroc"] == 1.0
    assert values["e_aurc"] == pytest.approx(0, abs=1e-12)
    assert values["augrc"] == pytest.approx(0.4**2 / 2)


@pytest.mark.parametrize("n", [1, 2, 9])
@pytest.mark.parametrize("tied", [True, False])
def test_all_right(n, tied):
    values = _values(np.full(n, 0.5) if tied else np.arange(n) / n, np.ones(n, dtype=bool))
    assert np.isnan(values.pop("auroc"))
    assert [values.pop(name) for name in ("aurc", "e_aurc", "augrc")] == [0, 0, 0]
    assert set(values.values()) == {1.0}


@pytest.mark.parametrize("n", [1, 2, 9])
@pytest.mark.parametrize("tied", [True, False])
def test_all_wrong(n, tied):
    values = _values(np.full(n, 0.5) if tied else np.arange(n) / n, np.zeros(n, dtype=bool))
    assert np.isnan(values.pop("auroc"))
    assert [values.pop(name) for name in ("aurc", "e_aurc", "augrc")] == [1, 0, 0.5]
    assert set(values.values()) == {0.0}


def test_all_tied():
    values = _values(np.full(4, 0.5), np.array([True, True, True, False]))
    assert values["auroc"] == 0.5
    assert values["aurc"] == pytest.approx(0.25)
    assert values["sac_90"] == 0.0


def test_empty_replicate_is_nan(recwarn):
    weights = np.zeros((1, 3), dtype=np.uint8)
    metrics = ranking_metrics(np.array([0.1, 0.2, 0.2]), np.array([True, False, True]), weights)
    assert all(np.isnan(value[0]) for value in metrics.values())
    assert not recwarn.list


@pytest.mark.parametrize("target", SAC_TARGETS)
@pytest.mark.parametrize("size", [100, 1000, 5000])
def test_sac_reaches_a_target_that_is_met_exactly(size, target):
    """Ninety of a hundred are 0.90, however float64 rounds it."""
    correct = np.arange(size) >= (100 - round(100 * target)) * size // 100
    ones = unit_weights(size)
    assert sac(np.full(size, 0.7), correct, ones, (target,))[0, 0] == 1.0
    correct[-1] = False
    assert sac(np.full(size, 0.7), correct, ones, (target,))[0, 0] == 0.0


def test_sac_counts_only_whole_tie_groups():
    confidence = np.array([0.9, 0.5, 0.5, 0.5])
    assert sac(confidence, np.array([True, True, True, False]), unit_weights(4), (0.9,)) == 0.25


def test_sac_takes_the_largest_coverage_although_risk_is_not_monotone():
    correct = np.array([False] + [True] * 9)
    assert sac(np.linspace(1, 0, 10), correct, unit_weights(10), (0.9,))[0, 0] == 1.0


def test_risk_coverage_curve():
    confidence = np.array([0.2, 0.9, 0.9, 0.5])
    correct = np.array([False, True, False, True])
    coverage, risk = risk_coverage_curve(confidence, correct)
    np.testing.assert_allclose(coverage, [0.5, 0.75, 1.0])
    np.testing.assert_allclose(risk, [1 / 2, 1 / 3, 2 / 4])


@pytest.mark.parametrize("function", [auroc, aurc, e_aurc, augrc, sac, ranking_metrics])
def test_refusals(function):
    with pytest.raises(SidekickError, match="row 1 is NaN"):
        function(np.array([0.5, np.nan]), np.array([True, True]), unit_weights(2))
    with pytest.raises(SidekickError, match="2 samples are ranked"):
        function(np.array([0.5, 0.1]), np.array([True]), unit_weights(2))
