from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit

from sidekick.errors import SidekickError
from sidekick.methods import dropout_moments
from sidekick.methods.dropout_moments import (
    closed_form,
    rectified_moments,
    sigmoid_moments,
    single_layer,
)
from sidekick.methods.dropout_sampling import sampled_moments
from sidekick.methods.mc_dropout import deterministic_probabilities
from unit.methods.heads import all_masks, exact_logits, make_head, wide_head


@pytest.fixture(scope="module")
def features():
    return np.random.default_rng(5).normal(size=(4, 3))


@pytest.fixture(scope="module")
def wide():
    rng = np.random.default_rng(8)
    return wide_head(), np.maximum(rng.normal(size=(20, 512)), 0)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_with_one_dropout_layer_logit_moments_are_those_over_all_masks(features, rate):
    head = make_head(1, dropout=(0.0, rate))
    mean, std = exact_logits(head, features)
    assert std.max() > 0.1
    found = closed_form(head, features).logits
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(found.std, std, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_single_layer_moments_are_those_over_all_masks(rate):
    rng = np.random.default_rng(2)
    features, weight, bias = rng.normal(size=(5, 4)), rng.normal(size=(3, 4)), rng.normal(size=3)
    masks, chances = zip(*all_masks(4, rate), strict=True)
    logits = np.array([(features * mask / (1 - rate)) @ weight.T + bias for mask in masks])
    mean = np.average(logits, axis=0, weights=chances)
    std = np.sqrt(np.average((logits - mean) ** 2, axis=0, weights=chances))
    found = single_layer(features, weight, bias, rate)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(found.std, std, rtol=1e-12)


def test_a_linear_head_is_exact_with_both_layers_but_for_the_assumed_normality(features):
    """Hidden units that are never rectified: mean and variance need no normal distribution."""
    head = make_head(3, hidden=1)
    head = replace(head, hidden_bias=head.hidden_bias + 100)
    mean, std = exact_logits(head, features)
    found = closed_form(head, features).logits
    np.testing.assert_allclose(found.mean, mean, rtol=1e-10)
    np.testing.assert_allclose(found.std, std, rtol=1e-10)


def test_the_shared_mask_covariance_of_linear_units_is_exact(features):
    head = make_head(4, hidden=3, classes=2)
    head = replace(head, hidden_bias=head.hidden_bias + 100)
    _, std = exact_logits(head, features)
    np.testing.assert_allclose(closed_form(head, features, 2).logits.std, std, rtol=1e-10)
    without = closed_form(head, features, 0).logits.std
    assert np.abs(without / std - 1).max() > 1e-4


@pytest.mark.parametrize("dropout", [(0.2, 0.4), (0.5, 0.5), (0.3, 0.0)])
def test_samples_converge_to_the_closed_form(wide, dropout):
    """Within five standard errors, and what the normal approximation costs.

    On this head (by 100,000 passes) that is at most 1 % of a logit's deviation for its mean and
    1 % for the deviation; for sigmoids, whose logits are taken for normal too, 5 % and 9 %, the
    latter where a sigmoid is near 0 or 1. A real head of 2048 features is nearer to normal.
    """
    head, features = replace(wide[0], dropout=dropout), wide[1]
    exact = closed_form(head, features, covariances=6)
    counts = (100, 1000, 10000)
    sampled = sampled_moments(head, features, counts, np.random.default_rng(0), rows_per_mask=10)
    for name, of_mean, of_std in (("logits", 0.01, 0.01), ("sigmoids", 0.05, 0.09)):
        goal = getattr(exact, name)
        assert goal.std.min() > 0.005
        for count in counts:
            found = getattr(sampled[count], name)
            apart = np.abs(found.mean - goal.mean) / goal.std
            assert apart.max() < 5 / np.sqrt(count) + of_mean
            # The standard error of a deviation, with room for tails heavier than normal.
            apart = np.abs(found.std / goal.std - 1)
            assert apart.max() < 5 * 1.4 / np.sqrt(2 * count) + of_std


def test_the_covariance_term_removes_most_of_the_error(wide):
    head, features = wide
    # Hidden units that read much the same, and so see much the same masks.
    common = np.random.default_rng(6).normal(size=512) / np.sqrt(512)
    head = replace(head, hidden_weight=head.hidden_weight + 1.5 * common)
    truth = sampled_moments(head, features, [20000], np.random.default_rng(1))[20000].logits.std
    errors = [
        np.sqrt(np.mean((closed_form(head, features, count).logits.std / truth - 1) ** 2))
        for count in (0, 6)
    ]
    assert errors[0] > 0.04
    assert errors[1] < 0.2 * errors[0]


def test_only_the_top_classes_get_the_covariance_term(wide):
    head, features = wide
    none, two, every = (closed_form(head, features, count).logits for count in (0, 2, 6))
    top = np.argsort(-none.mean, axis=1)[:, :2]
    is_top = np.zeros(none.mean.shape, bool)
    np.put_along_axis(is_top, top, True, axis=1)
    np.testing.assert_allclose(two.std[is_top], every.std[is_top], rtol=1e-12)
    np.testing.assert_allclose(two.std[~is_top], none.std[~is_top], rtol=1e-12)
    np.testing.assert_allclose(two.mean, every.mean, rtol=1e-12)


def test_more_classes_than_there_are_is_all(wide):
    head, features = wide
    np.testing.assert_array_equal(
        closed_form(head, features, 99).logits.std, closed_form(head, features, 6).logits.std
    )


def test_single_precision_products_change_little(wide):
    head, features = wide
    double = closed_form(head, features).logits
    single = closed_form(head, features, products=np.float32).logits
    np.testing.assert_allclose(single.std, double.std, rtol=1e-5)
    np.testing.assert_allclose(single.mean, double.mean, atol=1e-5)


def test_blocks_change_nothing(wide, monkeypatch):
    head, features = wide
    whole = closed_form(head, features)
    monkeypatch.setattr(dropout_moments, "_BLOCK_ELEMENTS", 3 * 512)
    parts = closed_form(head, features)
    np.testing.assert_allclose(parts.logits.std, whole.logits.std, rtol=1e-10)
    np.testing.assert_allclose(parts.sigmoids.mean, whole.sigmoids.mean, rtol=1e-10)


def test_as_rates_vanish_the_moments_become_the_deterministic_pass(features):
    certain = deterministic_probabilities(make_head(5), features)
    for dropout in ((1e-12, 0.0), (0.0, 1e-12), (1e-12, 1e-12)):
        found = closed_form(make_head(5, dropout=dropout), features).sigmoids
        np.testing.assert_allclose(found.mean, certain, atol=1e-5)
        assert found.std.max() < 1e-5


def test_no_rows_are_no_problem():
    assert closed_form(make_head(), np.empty((0, 3))).sigmoids.std.shape == (0, 2)


def test_features_of_zero_and_units_that_cannot_fire():
    head = make_head(6)
    head = replace(head, shift=np.zeros(3), hidden_bias=np.array([-1.0, 0.0, 2.0]))
    features = np.zeros((2, 3))
    found = closed_form(head, features).logits
    mean, std = exact_logits(head, features)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(found.std, std, rtol=1e-12)


@pytest.mark.parametrize(("mean", "std"), [(0.3, 1.0), (-4.0, 0.7), (9.0, 2.0), (0.0, 1e-3)])
def test_rectified_moments_are_the_integrals(mean, std):
    density = stats.norm(mean, std).pdf
    end = max(mean, 0) + 12 * std
    expected = [
        integrate.quad(lambda a, k=k: a**k * density(a), 0, end, points=[max(mean, 0)])[0]
        for k in (1, 2, 0)
    ]
    found = rectified_moments(np.array([mean]), np.array([std]))
    np.testing.assert_allclose([value[0] for value in found], expected, rtol=1e-6, atol=1e-12)


def test_without_spread_a_rectified_unit_is_what_it_is():
    first, second, share = rectified_moments(np.array([-1.0, 0.0, 2.0]), np.zeros(3))
    assert first.tolist() == [0, 0, 2]
    assert second.tolist() == [0, 0, 4]
    assert share.tolist() == [0, 0, 1]


@pytest.mark.parametrize(("largest", "tolerance"), [(2.0, 4e-5), (3.0, 1e-3), (5.0, 1e-2)])
def test_sigmoid_moments_are_the_integrals(largest, tolerance):
    means, stds = np.meshgrid([-6.0, -1.0, 0.0, 2.5], np.array([0.01, 0.5, 1.0]) * largest)
    found = sigmoid_moments(means, stds)
    for place in np.ndindex(means.shape):
        mean, std = means[place], stds[place]
        normal = stats.norm(mean, std).pdf
        ends = mean - 10 * std, mean + 10 * std
        first = integrate.quad(lambda z, f=normal: expit(z) * f(z), *ends)[0]
        second = integrate.quad(lambda z, f=normal, m=first: (expit(z) - m) ** 2 * f(z), *ends)[0]
        np.testing.assert_allclose(found.mean[place], first, atol=tolerance)
        np.testing.assert_allclose(found.std[place], np.sqrt(second), atol=tolerance)


def test_a_small_spread_is_not_lost_to_cancellation():
    found = sigmoid_moments(np.array([0.0]), np.array([1e-7]))
    np.testing.assert_allclose(found.std, 0.25e-7, rtol=1e-6)


@pytest.mark.parametrize("rate", [-0.1, 0.0, 1.0, np.nan])
def test_a_rate_without_randomness_is_refused(rate):
    with pytest.raises(SidekickError, match="between 0 and 1"):
        single_layer(np.ones((1, 2)), np.ones((1, 2)), np.zeros(1), rate)


def test_a_negative_number_of_classes_is_refused(features):
    with pytest.raises(SidekickError, match="covariances: -1"):
        closed_form(make_head(), features, covariances=-1)
