import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidekick.errors import SidekickError
from sidekick.methods import k_stage
from sidekick.methods.cascade import cascade
from sidekick.methods.k_stage import answers_of, fit_stages, stage_gmacs, stage_of
from sidekick.methods.prediction import Prediction
from sidekick.methods.thresholds import threshold_for_budget

COSTS = (1.0, 3.0, 10.0, 20.0)
LEVELS = st.sampled_from([-np.inf, 0.1, 0.4, 0.4, 0.9, np.inf])
SCORES = st.sampled_from([0.0, 0.0, 1.0, 1.0, 0.25, 0.7])


@st.composite
def cascades(draw, models):
    n = draw(st.integers(1, 7))

    def vectors(values, count):
        return [
            np.array(draw(st.lists(values, min_size=n, max_size=n)), dtype=float)
            for _ in range(count)
        ]

    return vectors(LEVELS, models - 1), vectors(SCORES, models)


def _play(confidences, scores, values):
    """Score and cost by asking model after model, sample after sample."""
    total = cost = 0.0
    for i in range(len(scores[0])):
        for stage, score in enumerate(scores):
            cost += COSTS[stage]
            if stage == len(values) or confidences[stage][i] >= values[stage]:
                total += score[i]
                break
    return total / len(scores[0]), cost / len(scores[0])


@pytest.mark.parametrize("models", [2, 3, 4])
@settings(deadline=None, max_examples=60)
@given(st.data())
def test_against_brute_force(models, data):
    confidences, scores = data.draw(cascades(models))
    budgets = [1.0, 1.9, 4.0, 8.0, 14.0, 50.0]
    grids = [[-np.inf, *np.unique(own), np.inf] for own in confidences]
    outcomes = [_play(confidences, scores, values) for values in itertools.product(*grids)]
    for budget, chosen in zip(
        budgets, fit_stages(confidences, scores, COSTS[:models], budgets), strict=True
    ):
        best = max(score for score, cost in outcomes if cost <= budget + 1e-9)
        cheapest = min(
            cost for score, cost in outcomes if cost <= budget + 1e-9 and score >= best - 1e-12
        )
        assert chosen.score == pytest.approx(best, abs=1e-12)
        assert chosen.gmacs == pytest.approx(cheapest, rel=1e-12)
        assert chosen.gmacs <= budget + 1e-9
        # What is promised is what the thresholds do.
        score, cost = _play(confidences, scores, chosen.values)
        assert chosen.score == pytest.approx(score, abs=1e-12)
        assert chosen.gmacs == pytest.approx(cost, rel=1e-12)
        stage = stage_of(confidences, chosen.values)
        assert stage_gmacs(stage, COSTS[:models]) == pytest.approx(cost, rel=1e-12)
        assert answers_of(stage, scores).mean() == pytest.approx(score, abs=1e-12)
        np.testing.assert_allclose(
            chosen.reached, [(stage >= own).mean() for own in range(models)], atol=1e-12
        )


@settings(deadline=None, max_examples=100)
@given(cascades(2), st.sampled_from([1.0, 1.5, 2.0, 3.9, 4.0, 9.0]))
def test_two_stages_are_the_plain_cascade(data, budget):
    (confidence,), (small, large) = data
    chosen = fit_stages([confidence], [small, large], COSTS[:2], [budget])[0]
    plain = threshold_for_budget(confidence, small, large, COSTS[:2], budget)
    assert chosen.score == pytest.approx(plain.score, abs=1e-12)
    assert chosen.gmacs == pytest.approx(plain.gmacs, rel=1e-12)
    assert chosen.reached[1] == pytest.approx(plain.deferral, abs=1e-12)
    deferred = confidence < plain.value
    np.testing.assert_array_equal(stage_of([confidence], chosen.values) == 1, deferred)


def _large(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    hardness = rng.random(n)
    scores = [(rng.random(n) > own * hardness).astype(float) for own in (0.9, 0.6, 0.3)]
    confidences = [1 - hardness + 0.3 * rng.normal(size=n) for _ in range(2)]
    return confidences, scores


def test_a_grid_loses_little_and_never_breaks_the_budget():
    confidences, scores = _large()
    budgets = np.linspace(1, 14, 9)
    fine = fit_stages(confidences, scores, COSTS[:3], budgets, grid=1000)
    coarse = fit_stages(confidences, scores, COSTS[:3], budgets, grid=60)
    for budget, one, other in zip(budgets, fine, coarse, strict=True):
        assert max(one.gmacs, other.gmacs) <= budget + 1e-9
        assert one.score - 0.01 < other.score
        stage = stage_of(confidences, other.values)
        assert other.score == pytest.approx(answers_of(stage, scores).mean(), abs=1e-12)
        assert other.gmacs == pytest.approx(stage_gmacs(stage, COSTS), rel=1e-12)
    assert all(np.diff([own.score for own in fine]) >= -1e-12)


def test_three_stages_are_no_worse_than_the_two_of_them_that_start_alike():
    confidences, scores = _large()
    for budget in (2.0, 4.0, 8.0):
        three = fit_stages(confidences, scores, COSTS[:3], [budget], grid=3000)[0]
        two = fit_stages(confidences[:1], scores[:2], COSTS[:2], [budget], grid=3000)[0]
        assert three.score >= two.score - 1e-12


def test_a_middle_model_that_is_always_right_takes_everything_passed_on():
    confidences, scores = _large()
    scores[1] = np.ones(3000)
    chosen = fit_stages(confidences, scores, COSTS[:3], [50.0])[0]
    assert chosen.reached[2] == 0
    assert chosen.values[1] == -np.inf


def test_statistics_are_joined_by_nested_cascades():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(3, 30, 4)), rng.integers(0, 4, 30)
    parts = [Prediction(own).statistics(labels) for own in logits]
    confidences = [own.confidence for own in parts[:2]]
    values = [0.6, 0.5]
    stage = stage_of(confidences, values)
    assert set(stage) == {0, 1, 2}
    nested = cascade(
        parts[0],
        cascade(parts[1], parts[2], confidences[1] < values[1]),
        confidences[0] < values[0],
    )
    np.testing.assert_array_equal(
        answers_of(stage, [own.predicted for own in parts]), nested.predicted
    )


def test_a_budget_below_the_first_model_has_a_reason():
    confidences, scores = _large(20)
    poor, enough = fit_stages(confidences, scores, COSTS[:3], [0.5, 1.0])
    assert poor.reason == "a budget of 0.5 GMACs does not pay for the first model, which needs 1"
    assert np.isnan([*poor.values, *poor.reached, poor.gmacs, poor.score]).all()
    assert enough.reached.tolist() == [1, 0, 0]
    with pytest.raises(SidekickError, match="cannot be applied"):
        stage_of(confidences, poor.values)


def test_refusals(monkeypatch):
    confidences, scores = _large(20)
    for arguments, message in (
        ((confidences, scores[:2], COSTS[:3]), "2 models' scores, 3 costs and 2 confidences"),
        (([], scores[:1], COSTS[:1]), "at least 2"),
        ((confidences, scores, (1.0, 0.0, 3.0)), "costs must be positive"),
        (([confidences[0], confidences[1][:5]], scores, COSTS[:3]), "of shapes"),
        (([confidences[0], np.full(20, np.nan)], scores, COSTS[:3]), "stage 1 in row 0 is NaN"),
        ((confidences, [*scores[:2], scores[2] + 0.5], COSTS[:3]), "score of stage 2 in row"),
    ):
        with pytest.raises(SidekickError, match=message):
            fit_stages(*arguments, [1.0])
    monkeypatch.setattr(k_stage, "_MOST_COMBINATIONS", 100)
    with pytest.raises(SidekickError, match="21 x 21 combinations of thresholds are too many"):
        fit_stages(confidences, scores, COSTS[:3], [1.0])
