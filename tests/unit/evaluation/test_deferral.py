import numpy as np
import pytest

from sidekick.evaluation.deferral import BUDGETS, deferral_values, reference_lines
from sidekick.metrics import evaluate_deferral, unit_weights

COSTS = (0.5, 2.0)


def parts(seed=0, n=80, p_small=0.6, p_large=0.8):
    rng = np.random.default_rng(seed)
    return rng.random(n), (rng.random(n) < p_small) * 1.0, (rng.random(n) < p_large) * 1.0


def evaluate(order, small, answers, interval=lambda gaps: (0.2, 0.1, 0.3), costs=COSTS):
    seeds = len(order)
    weights = [unit_weights(len(own)) for own in order]
    values, notes = deferral_values(order, small, answers, weights, costs, interval)
    assert len(values) == seeds
    return values, notes


def test_values_are_the_metrics():
    order, small, large = parts()
    (values,), notes = evaluate([order], [small], [large])
    expected = evaluate_deferral(order, small, large, unit_weights(80), [0.0, 0.25, 0.5])
    assert values["s_d"] == expected.s_d
    assert values["deferral_area"] == expected.deferral_area
    assert values["deferral_gain_area"] == expected.deferral_gain_area
    # 25, 50 and 75 % of 2.0 GMACs, less the 0.5 of the small model, pay for these ratios.
    assert BUDGETS == (0.25, 0.5, 0.75)
    for budget, accuracy in zip((25, 50, 75), expected.accuracy_at, strict=True):
        assert values[f"accuracy_budget_{budget}"] == accuracy
    assert notes == {}


def test_a_budget_below_the_small_models_cost_buys_nothing():
    order, small, large = parts()
    (values,), notes = evaluate([order], [small], [large], costs=(1.2, 2.0))
    assert np.isnan(values["accuracy_budget_25"]).all()
    assert np.isnan(values["accuracy_budget_50"]).all()
    assert np.isfinite(values["accuracy_budget_75"]).all()
    assert set(notes) == {"accuracy_budget_25", "accuracy_budget_50"}
    assert "below the small model's own cost" in notes["accuracy_budget_25"]


@pytest.mark.parametrize("interval", [(0.05, -0.01, 0.1), (-0.02, -0.1, 0.0), (0.0, 0.0, 0.0)])
def test_s_d_is_undefined_where_the_gap_may_be_zero(interval):
    order, small, large = parts()
    (values,), notes = evaluate([order], [small], [large], lambda gaps: interval)
    assert np.isnan(values["s_d"]).all()
    assert "accuracies do not differ" in notes["s_d"]
    assert f"[{interval[1]:.3f}, {interval[2]:.3f}]" in notes["s_d"]
    assert np.isfinite(values["deferral_area"]).all()


@pytest.mark.parametrize("interval", [(0.02, 0.01, 0.03), (-0.025, -0.03, -0.01)])
def test_s_d_is_marked_unstable_where_the_gap_is_small(interval):
    order, small, large = parts()
    (values,), notes = evaluate([order], [small], [large], lambda gaps: interval)
    assert np.isfinite(values["s_d"]).all()
    assert notes["s_d"].startswith("unstable")


def test_the_interval_is_asked_of_the_gaps_of_all_seeds():
    data = [parts(seed) for seed in range(3)]
    asked = []

    def interval(gaps):
        asked.append(gaps)
        return 0.2, 0.1, 0.3

    evaluate(*map(list, zip(*data, strict=True)), interval=interval)
    (gaps,) = asked
    np.testing.assert_allclose(
        gaps[:, 0], [large.mean() - small.mean() for _, small, large in data]
    )


def test_a_small_model_that_is_never_right_has_no_s_d_and_says_why():
    order, small, large = parts()
    values, notes = evaluate([order] * 2, [small, np.zeros(80)], [large] * 2)
    assert np.isnan(values[1]["s_d"]).all()
    assert "never right" in notes["s_d"]


def test_reference_lines():
    small, large = np.array([1.0, 1.0, 0.0, 0.0]), np.array([1.0, 0.0, 1.0, 1.0])
    lines = reference_lines(small, large, np.array([0.0, 0.25, 0.5, 0.75, 1.0]))
    np.testing.assert_allclose(lines["random"], [0.5, 0.5625, 0.625, 0.6875, 0.75])
    np.testing.assert_allclose(lines["ideal"], [0.5, 0.625, 0.75, 0.75, 0.75])
    # The oracle defers the two that it mends, then the one that does not matter, then the loss.
    np.testing.assert_allclose(lines["oracle"], [0.5, 0.75, 1.0, 1.0, 0.75])
