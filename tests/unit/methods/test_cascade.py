import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidekick.methods import cascade
from sidekick.methods.prediction import Prediction
from sidekick.methods.temperature import scale
from sidekick.methods.weight_fit import WeightFit

confidences = st.lists(st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9, 1.0]), min_size=1, max_size=30)


@settings(deadline=None)
@given(confidences, st.floats(0, 1))
def test_threshold_defers_as_many_as_it_can_but_never_more_than_asked(values, ratio):
    confidence = np.array(values)
    threshold = cascade.threshold_for_ratio(confidence, ratio)
    count = cascade.deferred(confidence, threshold).sum()
    assert count <= ratio * len(values) + 1e-9
    # The next threshold up, which takes in one more group of tied samples, defers too many.
    reachable = [np.sum(confidence < value) for value in [*np.unique(confidence), np.inf]]
    assert count == max(c for c in reachable if c <= ratio * len(values) + 1e-9)


@pytest.mark.parametrize("n", [1, 3, 10, 100, 1000])
def test_distinct_confidences_are_deferred_to_the_sample(n):
    confidence = np.random.default_rng(n).permutation(n) / n
    for count in range(0, n + 1, max(1, n // 20)):
        threshold = cascade.threshold_for_ratio(confidence, count / n)
        assert cascade.deferred(confidence, threshold).sum() == count


def test_ratios_at_the_ends():
    confidence = np.array([0.2, 1.0, 1.0])
    assert cascade.threshold_for_ratio(confidence, 1) == np.inf
    assert not cascade.deferred(confidence, cascade.threshold_for_ratio(confidence, 0)).any()
    assert cascade.deferred(confidence, np.inf).all()


def test_ties_are_deferred_together_or_not_at_all():
    confidence = np.array([0.5, 0.9, 0.5, 0.5])
    for ratio, count in ((0.5, 0), (0.74, 0), (0.75, 3), (0.99, 3), (1, 4)):
        threshold = cascade.threshold_for_ratio(confidence, ratio)
        assert cascade.deferred(confidence, threshold).sum() == count


def test_each_sample_is_answered_by_one_model():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(2, 4, 3)), rng.integers(0, 3, 4)
    small, large = (Prediction(own).statistics(labels) for own in logits)
    defer = np.array([True, False, False, True])
    joint = cascade.cascade(small, large, defer)
    expected = Prediction(np.where(defer[:, None], logits[1], logits[0])).statistics(labels)
    for name, value in vars(expected).items():
        np.testing.assert_array_equal(getattr(joint, name), value, err_msg=name)
    for mask, alone in ((np.zeros(4, bool), small), (np.ones(4, bool), large)):
        for name, value in vars(alone).items():
            found = getattr(cascade.cascade(small, large, mask), name)
            np.testing.assert_array_equal(found, value, err_msg=name)


def test_answers_that_are_not_the_argmax_are_passed_on():
    logits = np.array([[0.0, 1.0], [1.0, 0.0]])
    nothing = WeightFit(np.zeros(1), 0.0, 0, 0.0, True, np.array([True]), False)
    labels = np.zeros(2, int)
    large, small = scale(logits, nothing).statistics(labels), Prediction(-logits).statistics(labels)
    joint = cascade.cascade(small, large, np.array([True, False]))
    assert joint.predicted.tolist() == [1, 1]


def test_expected_cost_counts_the_small_model_always():
    assert cascade.expected_gmacs(2.0, 10.0, 0.0) == 2.0
    assert cascade.expected_gmacs(2.0, 10.0, 1.0) == 12.0
    assert cascade.expected_gmacs(2.0, 10.0, 0.25) == 4.5
