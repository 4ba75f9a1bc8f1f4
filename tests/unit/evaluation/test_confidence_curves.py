"""ROC curves and densities of the confidence, against scikit-learn and numerical integration."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from sidekick.evaluation.confidence_curves import density_points, roc_points
from sidekick.metrics import sample_statistics


def statistics(seed, n=400, classes=5, digits=None):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), labels] += 1
    if digits is not None:
        logits = np.round(logits, digits)
    return sample_statistics(logits, labels)


@pytest.mark.parametrize("digits", [None, 0])
def test_roc_is_scikit_learns(digits):
    own = statistics(0, digits=digits)
    points = roc_points([own])
    x, y = (np.array([point[key] for point in points]) for key in "xy")
    false, true, _ = roc_curve(own.correct, own.confidence, drop_intermediate=False)
    for place, height in zip(x, y, strict=True):
        below, above = (np.searchsorted(false, place, side=side) for side in ("left", "right"))
        if above > below:
            assert height == pytest.approx(true[above - 1])
        else:
            share = (place - false[below - 1]) / (false[below] - false[below - 1])
            expected = true[below - 1] + share * (true[below] - true[below - 1])
            assert height == pytest.approx(expected)
    if digits is None:
        area = np.trapezoid(y, x)
        assert area == pytest.approx(roc_auc_score(own.correct, own.confidence), abs=0.02)


def test_roc_is_the_mean_over_seeds():
    both = [statistics(0), statistics(1)]
    separate = [[point["y"] for point in roc_points([own])] for own in both]
    assert [p["y"] for p in roc_points(both)] == pytest.approx(np.mean(separate, axis=0).tolist())


def test_densities_have_area_one():
    for name, points in density_points([statistics(0), statistics(1)]):
        x, y = (np.array([point[key] for point in points]) for key in "xy")
        assert name in ("density_correct", "density_wrong")
        assert (x[0], x[-1]) == (0, 1)
        assert np.trapezoid(y, x) == pytest.approx(1, abs=1e-3)


def test_one_kind_of_answers_only():
    logits, labels = np.eye(3)[[0, 1, 2]] * 5.0, np.arange(3)
    own = sample_statistics(logits, labels)
    assert roc_points([own]) == []
    found = dict(density_points([own]))
    assert found["density_wrong"] == []
    assert len(found["density_correct"]) > 100
