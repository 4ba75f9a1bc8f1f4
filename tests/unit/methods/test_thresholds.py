import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidekick.errors import SidekickError
from sidekick.methods.cascade import deferred, expected_gmacs
from sidekick.methods.thresholds import threshold_for_budget, threshold_for_score

COSTS = (2.0, 10.0)


@st.composite
def cascades(draw):
    n = draw(st.integers(1, 12))
    levels = st.lists(st.sampled_from([-np.inf, 0.1, 0.4, 0.4, 0.9, 1.0]), min_size=n, max_size=n)
    scores = st.lists(st.sampled_from([0.0, 0.0, 1.0, 1.0, 0.25, 0.7]), min_size=n, max_size=n)
    return tuple(np.array(draw(part)) for part in (levels, scores, scores))


def _outcomes(confidence, small, large):
    """(score, cost, mask) of every threshold there is."""
    found = []
    for value in [-np.inf, *np.unique(confidence), np.inf]:
        mask = confidence < value
        score = np.mean(np.where(mask, large, small))
        found.append((score, expected_gmacs(*COSTS, mask.mean()), mask.sum()))
    return found


def _check_promise(chosen, confidence, small, large):
    """What is promised is what the threshold does."""
    mask = deferred(confidence, chosen.value)
    assert chosen.reason is None
    assert chosen.deferral == mask.mean()
    assert chosen.gmacs == pytest.approx(expected_gmacs(*COSTS, mask.mean()), rel=1e-12)
    assert chosen.score == pytest.approx(np.mean(np.where(mask, large, small)), abs=1e-12)


@settings(deadline=None)
@given(cascades(), st.sampled_from([2.0, 2.5, 4.0, 7.0, 11.9, 12.0, 99.0]))
def test_budget_against_brute_force(data, budget):
    chosen = threshold_for_budget(*data, COSTS, budget)
    _check_promise(chosen, *data)
    affordable = [o for o in _outcomes(*data) if o[1] <= budget + 1e-9]
    best = max(score for score, _, _ in affordable)
    assert chosen.score == pytest.approx(best, abs=1e-12)
    assert chosen.gmacs <= budget + 1e-9
    cheapest = min(cost for score, cost, _ in affordable if score >= best - 1e-12)
    assert chosen.gmacs == pytest.approx(cheapest, rel=1e-12)


@settings(deadline=None)
@given(cascades(), st.sampled_from([0.0, 0.2, 0.5, 0.75, 1.0]))
def test_target_against_brute_force(data, target):
    chosen = threshold_for_score(*data, COSTS, target)
    reaching = [o for o in _outcomes(*data) if o[0] >= target - 1e-12]
    if not reaching:
        assert np.isnan([chosen.value, chosen.deferral, chosen.gmacs, chosen.score]).all()
        assert f"no threshold reaches {target:g} on val" in chosen.reason
        return
    _check_promise(chosen, *data)
    assert chosen.score >= target - 1e-12
    assert chosen.gmacs == pytest.approx(min(cost for _, cost, _ in reaching), rel=1e-12)


def test_more_deferral_is_not_always_better():
    confidence = np.array([0.1, 0.2, 0.3, 0.4])
    small, large = np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0])
    chosen = threshold_for_budget(confidence, small, large, COSTS, 12.0)
    assert (chosen.value, chosen.deferral, chosen.score) == (0.3, 0.5, 1.0)
    # Of what the budget does not allow, nothing is taken.
    assert threshold_for_budget(confidence, small, large, COSTS, 6.9).deferral == 0.25


def test_nothing_to_gain_defers_nothing():
    scores = np.array([1.0, 0.0, 1.0])
    chosen = threshold_for_budget(np.array([0.3, 0.2, 0.1]), scores, scores, COSTS, 12.0)
    assert (chosen.value, chosen.deferral, chosen.gmacs) == (-np.inf, 0.0, 2.0)
    worse = threshold_for_budget(np.array([0.3, 0.2, 0.1]), scores, 0 * scores, COSTS, 12.0)
    assert worse.value == -np.inf


def test_all_tied_is_all_or_nothing():
    tied, small, large = np.full(4, 0.5), np.zeros(4), np.ones(4)
    assert threshold_for_budget(tied, small, large, COSTS, 11.0).deferral == 0
    everything = threshold_for_budget(tied, small, large, COSTS, 12.0)
    assert (everything.value, everything.score) == (np.inf, 1.0)


def test_a_confidence_of_infinity_is_never_deferred():
    confidence = np.array([0.1, np.inf])
    chosen = threshold_for_score(confidence, np.zeros(2), np.ones(2), COSTS, 0.5)
    assert chosen.deferral == 0.5
    assert deferred(confidence, chosen.value).tolist() == [True, False]
    assert (
        "reaches 0.5000"
        in threshold_for_score(confidence, np.zeros(2), np.ones(2), COSTS, 0.9).reason
    )


def test_what_cannot_be_had_has_a_reason():
    data = np.array([0.1, 0.6]), np.array([0, 1]), np.array([1, 1])
    poor = threshold_for_budget(*data, COSTS, 1.5)
    assert np.isnan(poor.value)
    assert poor.reason == "a budget of 1.5 GMACs does not pay for the small model, which needs 2"
    high = threshold_for_score(np.array([0.6, 0.1]), np.array([0, 1]), np.array([1, 0]), COSTS, 0.9)
    assert high.reason == (
        "no threshold reaches 0.9 on val: the best, at a deferral rate of 0.000, reaches 0.5000"
    )


def test_refusals():
    one = np.array([0.5])
    with pytest.raises(SidekickError, match="costs must be positive"):
        threshold_for_budget(one, one, one, (0.0, 1.0), 1.0)
    with pytest.raises(SidekickError, match="costs must be positive"):
        threshold_for_score(one, one, one, (1.0, -1.0), 1.0)
    with pytest.raises(SidekickError, match="not within 0 to 1"):
        threshold_for_score(one, one, 3 * one, COSTS, 1.0)
    with pytest.raises(SidekickError, match="NaN"):
        threshold_for_budget(np.array([np.nan]), one, one, COSTS, 3.0)
    with pytest.raises(SidekickError, match="non-empty"):
        threshold_for_budget(one[:0], one[:0], one[:0], COSTS, 3.0)


def test_what_val_promises_test_keeps():
    """On large samples of one distribution, for plain and for real-valued scores."""
    rng = np.random.default_rng(0)
    n = 40000
    confidence = rng.random(n)
    small = (rng.random(n) < confidence).astype(float)
    large = np.where(rng.random(n) < 0.5, 0.9, rng.random(n))
    val = np.arange(n) < n // 2
    for chosen in (
        threshold_for_budget(confidence[val], small[val], large[val], COSTS, 6.0),
        threshold_for_score(confidence[val], small[val], large[val], COSTS, 0.7),
    ):
        mask = deferred(confidence[~val], chosen.value)
        assert mask.mean() == pytest.approx(chosen.deferral, abs=0.02)
        joint = np.where(mask, large[~val], small[~val]).mean()
        assert joint == pytest.approx(chosen.score, abs=0.02)
