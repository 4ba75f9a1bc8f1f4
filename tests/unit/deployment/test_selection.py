"""Thresholds: exact bounds, and promises that hold as often as they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sidekick.deployment import selection
from sidekick.errors import SidekickError

DELTA = 0.1


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 300), st.data(), st.sampled_from([0.01, 0.05, 0.2]))
def test_bounds_are_those_of_scipy(samples, data, delta):
    successes = data.draw(st.integers(0, samples))
    # A two-sided interval at 1 - 2 delta has these ends.
    expected = stats.binomtest(successes, samples).proportion_ci(1 - 2 * delta, "exact")
    upper = selection.clopper_pearson_upper(successes, samples, delta)
    lower = selection.clopper_pearson_lower(successes, samples, delta)
    assert upper == pytest.approx(expected.high, abs=1e-12)
    assert lower == pytest.approx(expected.low, abs=1e-12)


def test_bounds_of_many_counts_at_once_and_at_the_ends():
    upper = selection.clopper_pearson_upper(np.array([0, 5, 10]), 10, 0.05)
    assert upper[0] == pytest.approx(1 - 0.05**0.1)
    assert upper[2] == 1
    assert selection.clopper_pearson_lower(0, 10, 0.05) == 0
    assert selection.clopper_pearson_lower(10, 10, 0.05) == pytest.approx(0.05**0.1)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.data(), st.floats(0.5, 0.999))
def test_the_p_value_is_the_dual_of_the_lower_bound(accepted, data, accuracy):
    errors = data.draw(st.integers(0, accepted))
    p_value = float(selection.excess_risk_p_value(np.array(errors), np.array(accepted), accuracy))
    assert p_value == pytest.approx(stats.binom.cdf(errors, accepted, 1 - accuracy), abs=1e-12)
    lower = selection.clopper_pearson_lower(accepted - errors, accepted, DELTA)
    if abs(p_value - DELTA) > 1e-9:
        assert (p_value <= DELTA) == (lower >= accuracy)


# --------------------------------------------------------------------------------------- budgets


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from([0.1, 0.2, 0.5, 0.5, 0.9, 1.0]), min_size=1, max_size=200),
    st.floats(0, 1),
)
def test_a_budget_is_used_as_far_as_its_bound_allows(values, ratio):
    confidence = np.array(values)
    choice = selection.budget_threshold(confidence, ratio, DELTA)
    assert choice.deferred == (confidence < choice.threshold).sum()
    assert choice.upper_bound <= ratio
    higher = [*np.unique(confidence[confidence > choice.threshold]), np.inf]
    if choice.threshold < np.inf:
        # The next one would defer too many.
        count = (confidence < higher[0]).sum()
        assert selection.clopper_pearson_upper(count, len(confidence), DELTA) > ratio


def test_a_budget_of_everything_and_one_that_no_sample_size_could_certify():
    confidence = np.linspace(0, 1, 50)
    everything = selection.budget_threshold(confidence, 1, DELTA)
    assert (everything.threshold, everything.deferred, everything.upper_bound) == (np.inf, 50, 1)
    nothing = selection.budget_threshold(confidence, 0.001, DELTA)
    assert (nothing.threshold, nothing.deferred, nothing.upper_bound) == (-np.inf, 0, 0)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("samples", [5, 40, 300])
def test_budgets_hold_as_often_as_they_promise(samples, ties):
    rng = np.random.default_rng(samples + ties)
    broken = 0
    repetitions, ratio = 2000, 0.3
    for _ in range(repetitions):
        confidence = rng.random(samples)
        if ties:
            confidence = np.floor(confidence * 10) / 10
        threshold = selection.budget_threshold(confidence, ratio, DELTA).threshold
        # P(confidence < threshold) of these two distributions.
        deferral = np.ceil(threshold * 10 - 1e-9) / 10 if ties else threshold
        broken += np.clip(deferral, 0, 1) > ratio + 1e-12
    assert broken / repetitions <= DELTA + monte_carlo_error(repetitions)


# ------------------------------------------------------------------------------------ accuracies


def draw(world, n, rng):
    """Confidences and whether answers are right, in worlds whose accuracies are known."""
    u = rng.random(n)
    if world == "ties":
        u = np.floor(u * 8) / 8
    if world == "not monotone":
        risk = np.where(u > 0.9, 0.12, np.where(u > 0.5, 0.02, 0.4))
    else:
        risk = 0.5 * (1 - u) ** 1.5
    return u, rng.random(n) >= risk


@pytest.fixture(scope="module", params=["smooth", "ties", "not monotone"])
def world(request):
    """A world's name, and the accuracy of what it accepts from a threshold."""
    confidence, correct = draw(request.param, 1_000_000, np.random.default_rng(0))
    order = np.argsort(-confidence, kind="stable")
    accuracy = np.cumsum(correct[order]) / np.arange(1, len(order) + 1)
    ranked = -confidence[order]

    def accuracy_from(threshold):
        accepted = np.searchsorted(ranked, -threshold, side="right")
        return accuracy[accepted - 1] if accepted else 1.0

    return request.param, accuracy_from


@pytest.mark.parametrize("method", selection.METHODS)
@pytest.mark.parametrize("samples", [40, 400])
def test_accuracies_hold_as_often_as_they_promise(world, samples, method):
    name, accuracy_from = world
    rng = np.random.default_rng(samples)
    broken = certified = 0
    repetitions, accuracy = 1000, 0.9
    for _ in range(repetitions):
        candidates = selection.candidate_thresholds(
            *draw(name, samples, rng), accuracy=accuracy, samples=samples, count=40
        )
        choice = selection.accuracy_threshold(
            *draw(name, samples, rng), candidates, accuracy=accuracy, delta=DELTA, method=method
        )
        if choice.threshold is not None:
            certified += 1
            broken += accuracy_from(choice.threshold) < accuracy
    assert broken / repetitions <= DELTA + monte_carlo_error(repetitions)
    if samples == 400 and method == "fixed_sequence":
        assert certified > 0.6 * repetitions


def monte_carlo_error(repetitions):
    """Three standard errors of a share of DELTA."""
    return 3 * np.sqrt(DELTA * (1 - DELTA) / repetitions)


def test_thresholds_chosen_and_certified_on_the_same_rows_break_their_promise():
    """Why there are two parts: a naive choice fails far more often than delta."""
    rng = np.random.default_rng(0)
    repetitions, accuracy, broken = 500, 0.9, 0
    for _ in range(repetitions):
        confidence, correct = draw("smooth", 400, rng)
        order = np.argsort(-confidence)
        running = np.cumsum(correct[order]) / np.arange(1, 401)
        threshold = confidence[order][np.flatnonzero(running >= accuracy)[-1]]
        # The risk of all accepted is the mean of 0.5 (1 - u)^1.5 over u >= s.
        broken += 1 - 0.2 * (1 - threshold) ** 1.5 < accuracy
    assert broken / repetitions > 0.3


def choose(confidence, correct, accuracy=0.9, candidates=None, **options):
    confidence, correct = np.array(confidence, float), np.array(correct, bool)
    if candidates is None:
        candidates = selection.candidate_thresholds(
            confidence, correct, accuracy=accuracy, samples=len(correct)
        )
    return selection.accuracy_threshold(
        confidence, correct, candidates, accuracy=accuracy, delta=DELTA, **options
    )


def test_candidates_fall_to_minus_infinity():
    confidence, correct = draw("smooth", 3000, np.random.default_rng(1))
    candidates = selection.candidate_thresholds(
        confidence, correct, accuracy=0.95, samples=1000, count=50
    )
    assert (np.diff(candidates) < 0).all()
    assert candidates[-1] == -np.inf
    assert len(candidates) <= 51
    assert set(candidates[:-1]) <= set(confidence)


def test_all_right_accepts_everything():
    choice = choose(np.linspace(0, 1, 100), np.ones(100))
    assert (choice.threshold, choice.accepted, choice.errors) == (-np.inf, 100, 0)
    assert choice.lower_bound == pytest.approx(0.1**0.01)


def test_all_wrong_certifies_nothing():
    choice = choose(np.linspace(0, 1, 100), np.zeros(100))
    assert choice.threshold is None
    assert choice.p_value == 1


@pytest.mark.parametrize("right", [False, True])
def test_one_sample_certifies_nothing(right):
    assert choose([0.7], [right]).threshold is None


def test_tied_samples_are_accepted_together():
    right = np.arange(200) % 50 != 0
    choice = choose(np.full(200, 0.5), right)
    assert (choice.threshold, choice.accepted, choice.errors) == (-np.inf, 200, 4)
    assert choose(np.full(200, 0.5), np.arange(200) % 5 != 0).threshold is None


def test_a_fixed_sequence_stops_at_the_first_failure_where_bonferroni_goes_on():
    confidence = np.repeat([3.0, 2.0, 1.0], [10, 490, 500])
    correct = np.ones(1000, bool)
    correct[:5] = False
    candidates = np.array([3.0, 2.0, 1.0])
    assert choose(confidence, correct, candidates=candidates).threshold is None
    choice = choose(confidence, correct, candidates=candidates, method="bonferroni")
    assert (choice.threshold, choice.accepted, choice.candidates) == (1.0, 1000, 3)


def test_a_threshold_that_accepts_nothing_certifies_nothing():
    choice = choose([0.1] * 50, [True] * 50, candidates=[0.9])
    assert (choice.threshold, choice.accepted, choice.p_value) == (None, 0, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"confidence": [0.1, np.nan]}, "confidence in row 1 is NaN"),
        ({"confidence": []}, r"shape \(0,\)"),
        ({"correct": [True]}, "2 confidences, but 1 answers"),
        ({"accuracy": 1.0}, "accuracy: 1.0"),
        ({"delta": 0}, "delta: 0"),
        ({"candidates": []}, "one or more"),
        ({"candidates": [0.1, 0.5]}, "descending"),
        ({"method": "guess"}, "method: 'guess'; allowed are fixed_sequence, bonferroni"),
    ],
)
def test_what_cannot_be_tested_is_refused(change, message):
    arguments = {
        "confidence": [0.1, 0.2],
        "correct": [True, False],
        "candidates": [0.5],
        "accuracy": 0.9,
        "delta": 0.1,
    }
    arguments |= change
    with pytest.raises(SidekickError, match=message):
        selection.accuracy_threshold(**arguments)


@pytest.mark.parametrize(("ratio", "delta"), [(-0.1, 0.1), (1.1, 0.1), (0.5, 1)])
def test_budgets_out_of_range_are_refused(ratio, delta):
    with pytest.raises(SidekickError, match="allowed are probabilities"):
        selection.budget_threshold(np.array([0.5]), ratio, delta)
