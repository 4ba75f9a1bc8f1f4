import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from sidekick.errors import SidekickError
from sidekick.methods.dropout_rule import (
    ACCEPTED,
    BRANCHES,
    continuous_score,
    quantile,
    rule_answers,
    rule_branches,
)
from sidekick.methods.mc_dropout import PassMoments, interval_rule

CASES = {
    "all_zero": ([0.1, 0.2, 0.3], [0.01, 0.01, 0.01], False, 2),
    "one_straddler": ([0.1, 0.45, 0.3], [0.01, 0.1, 0.01], True, 1),
    "several_straddlers": ([0.5, 0.45, 0.1], [0.1, 0.1, 0.01], False, 0),
    "one_above": ([0.1, 0.2, 0.9], [0.01, 0.01, 0.01], True, 2),
    "one_above_with_straddlers": ([0.55, 0.45, 0.8], [0.2, 0.2, 0.01], True, 2),
    "several_above": ([0.7, 0.9, 0.2], [0.01, 0.01, 0.01], True, 1),
}


def of(mean, std):
    return PassMoments(np.array([mean]), np.array([std]))


def test_every_branch_has_a_case():
    assert tuple(CASES) == BRANCHES


@pytest.mark.parametrize("level", [0.7, 0.8, 0.9])
@pytest.mark.parametrize("name", BRANCHES)
def test_every_branch(name, level):
    mean, std, accepted, answer = CASES[name]
    branch = rule_branches(of(mean, std), level)[0]
    assert BRANCHES[branch] == name
    assert ACCEPTED[branch] == accepted
    assert [value[0] for value in interval_rule(of(mean, std), level)] == [accepted, answer]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.7, 0.8, 0.9]), st.sampled_from([0.5, 0.3]))
def test_branches_accept_what_the_rule_accepts(seed, level, threshold):
    rng = np.random.default_rng(seed)
    moments = PassMoments(rng.random((50, 4)), rng.choice([0.0, 0.05, 0.3], (50, 4)))
    branches = rule_branches(moments, level, threshold)
    np.testing.assert_array_equal(ACCEPTED[branches], interval_rule(moments, level, threshold)[0])


def test_the_rule_works_on_logits():
    """Also where every logit is far below −1."""
    moments = of([-8.0, -9.0], [0.1, 0.1])
    accepted, answer = interval_rule(moments, 0.9, threshold=-10.0)
    assert (accepted[0], answer[0]) == (True, 0)
    without_spread = PassMoments(np.array([[0.2, 0.9], [0.4, 0.45]]), np.zeros((2, 2)))
    on_logits = PassMoments(logit(without_spread.mean), without_spread.std)
    for moments, threshold in ((without_spread, 0.5), (on_logits, 0.0)):
        assert interval_rule(moments, 0.9, threshold)[0].tolist() == [True, False]


@pytest.mark.parametrize(("level", "z"), [(0.7, 1.0364), (0.8, 1.2816), (0.9, 1.6449)])
def test_quantiles_are_the_papers(level, z):
    assert quantile(level) == pytest.approx(z, abs=5e-5)


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, np.nan])
def test_levels_that_are_none_are_refused(level):
    with pytest.raises(SidekickError, match="between 0 and 1"):
        quantile(level)


def test_the_score_is_the_distance_in_deviations():
    moments = PassMoments(np.array([[0.9, 0.1], [0.2, 0.4]]), np.array([[0.1, 9.0], [9.0, 0.05]]))
    np.testing.assert_allclose(continuous_score(moments), [4.0, -2.0])
    np.testing.assert_allclose(continuous_score(moments, 0.4), [5.0, 0.0])


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.7, 0.8, 0.9]))
def test_the_score_passes_the_quantile_where_the_top_class_lies_above(seed, level):
    rng = np.random.default_rng(seed)
    moments = PassMoments(expit(rng.normal(size=(40, 3))), 0.3 * rng.random((40, 3)))
    top = moments.mean.argmax(axis=1)
    rows = np.arange(40)
    lies_above = moments.mean[rows, top] - quantile(level) * moments.std[rows, top] > 0.5
    np.testing.assert_array_equal(continuous_score(moments) > quantile(level), lies_above)
    assert interval_rule(moments, level)[0][lies_above].all()


def test_without_spread_the_score_is_finite_and_ordered():
    moments = PassMoments(np.array([[0.9], [0.7], [0.5], [0.2]]), np.zeros((4, 1)))
    score = continuous_score(moments)
    assert np.isfinite(score).all()
    assert (np.diff(score) < 0).all()
    assert score[2] == 0


@pytest.mark.parametrize("name", BRANCHES)
def test_several_classes_are_answered_where_several_lie_above(name):
    mean, std, accepted, answer = CASES[name]
    answers = rule_answers(of(mean, std), 0.7)[0]
    assert answers.any() == accepted
    if accepted:
        assert answers[answer]
    assert answers.sum() == {"several_above": (np.array(mean) > 0.5).sum()}.get(name, accepted)
