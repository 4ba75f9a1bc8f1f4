"""Independent implementations, on synthetic and on real classifiers.

Where a library defines a metric differently, the difference itself is asserted.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
import torch
from netcal.metrics import ECE
from scipy.special import softmax
from torchmetrics.functional.classification import (
    binary_calibration_error,
    multiclass_calibration_error,
)

from sidekick.metrics import ece, evaluate_statistics, ranking_metrics, sample_statistics
from sidekick.metrics import unit_weights as ones
from unit.metrics import naive

# torch-uncertainty computes parts in float32.
FLOAT32 = 2e-6
# torchmetrics bins in float32 and adds up thousands of terms one after the other.
FLOAT32_SUMS = 2e-5


def _torch_uncertainty(module):
    """Load one module by its file: the package itself imports lightning, which we do without."""
    package = importlib.util.find_spec("torch_uncertainty").submodule_search_locations[0]
    path = Path(package, "metrics", "classification", f"{module}.py")
    spec = importlib.util.spec_from_file_location(f"torch_uncertainty_{module}", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


RISK_COVERAGE = _torch_uncertainty("risk_coverage")
BRIER = _torch_uncertainty("brier_score")


def _compute(metric, probabilities, labels):
    metric.update(torch.as_tensor(probabilities), torch.as_tensor(labels))
    return float(metric.compute())


@pytest.fixture
def case(classifier):
    """Float64 probabilities, labels, statistics and our values."""
    logits, labels = classifier
    statistics = sample_statistics(logits, labels)
    values = evaluate_statistics(statistics, ones(labels.size))
    return softmax(logits, axis=1), labels, statistics, {k: v[0] for k, v in values.items()}


def test_sklearn(case):
    probabilities, labels, s, ours = case
    classes = np.arange(probabilities.shape[1])
    assert ours["accuracy"] == pytest.approx(
        sklearn.metrics.accuracy_score(labels, s.predicted), abs=1e-12
    )
    assert ours["macro_f1"] == pytest.approx(
        sklearn.metrics.f1_score(labels, s.predicted, average="macro"), abs=1e-12
    )
    assert ours["nll"] == pytest.approx(
        sklearn.metrics.log_loss(labels, probabilities, labels=classes), rel=1e-9
    )
    assert ours["brier"] == pytest.approx(
        sklearn.metrics.brier_score_loss(labels, probabilities, labels=classes), rel=1e-9
    )
    assert ours["auroc"] == pytest.approx(
        sklearn.metrics.roc_auc_score(s.correct, s.confidence), abs=1e-12
    )


def test_sklearn_clips_the_probability_of_a_hopeless_label():
    logits, labels = np.array([[0.0, 60.0], [60.0, 0.0]]), np.array([0, 0])
    ours = sample_statistics(logits, labels).nll.mean()
    assert ours == pytest.approx(30.0)
    p = softmax(logits, axis=1).astype(np.float32)
    clipped = sklearn.metrics.log_loss(labels, p, labels=[0, 1])
    assert clipped == pytest.approx(-np.log(np.finfo(np.float32).eps) / 2, rel=1e-3)


def test_torch_uncertainty_brier(case):
    probabilities, labels, _, ours = case
    metric = BRIER.BrierScore(num_classes=probabilities.shape[1])
    assert ours["brier"] == pytest.approx(_compute(metric, probabilities, labels), abs=FLOAT32)


def _without_ties(case):
    """Probabilities whose tied rows are left out, as torch-uncertainty ranks ties by row."""
    probabilities, labels, s, _ = case
    _, first = np.unique(s.confidence, return_index=True)
    return probabilities[first], labels[first], s.confidence[first], s.correct[first]


def test_torch_uncertainty_aurc_is_a_trapezoid_from_the_first_sample(case):
    probabilities, labels, confidence, correct = _without_ties(case)
    n = labels.size
    ours = ranking_metrics(confidence, correct, ones(n))["aurc"][0]
    theirs = _compute(RISK_COVERAGE.AURC(), probabilities, labels)
    first, last = float(~correct[confidence.argmax()]), np.mean(~correct)
    assert theirs == pytest.approx((n * ours - (first + last) / 2) / (n - 1), abs=FLOAT32)
    assert theirs == pytest.approx(ours, abs=2 / n)


def test_torch_uncertainty_augrc_leaves_out_the_first_sample(case):
    probabilities, labels, confidence, correct = _without_ties(case)
    n = labels.size
    ours = ranking_metrics(confidence, correct, ones(n))["augrc"][0]
    theirs = _compute(RISK_COVERAGE.AUGRC(), probabilities, labels)
    first = float(~correct[confidence.argmax()])
    assert theirs * (1 - 1 / n) + first / (2 * n**2) == pytest.approx(ours, abs=FLOAT32)
    assert theirs == pytest.approx(ours, abs=1 / n)


def test_torch_uncertainty_depends_on_row_order_where_confidences_tie():
    probabilities, labels = np.tile([0.4, 0.6], (10, 1)), np.arange(10) < 7
    correct = labels == 1
    theirs = [
        _compute(RISK_COVERAGE.AURC(), probabilities, labels[rows].astype(int))
        for rows in (np.arange(10), np.arange(10)[::-1])
    ]
    ours = [
        ranking_metrics(np.full(10, 0.6), correct[rows], ones(10))["aurc"][0]
        for rows in (np.arange(10), np.arange(10)[::-1])
    ]
    assert abs(theirs[0] - theirs[1]) > 0.1
    assert ours[0] == ours[1] == pytest.approx(0.3)


def test_torchmetrics_ece(case):
    """Equal when no probability is 1 or on the edge of a bin, in the float32 that they bin in."""
    probabilities, labels, s, _ = case
    inside = (s.probability.astype(np.float32) < 1.0) & (15 * s.probability % 1 != 0)
    theirs = multiclass_calibration_error(
        torch.as_tensor(probabilities[inside]),
        torch.as_tensor(labels[inside]),
        num_classes=probabilities.shape[1],
        n_bins=15,
    )
    assert inside.mean() > 0.9
    assert ece(s.probability[inside], s.correct[inside], ones(inside.sum()))[0] == pytest.approx(
        float(theirs), abs=FLOAT32_SUMS
    )


def test_torchmetrics_gives_probability_one_a_16th_bin(real):
    probabilities, labels = real
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    theirs = multiclass_calibration_error(
        torch.as_tensor(probabilities), torch.as_tensor(labels), num_classes=100, n_bins=15
    )
    wide = confidence.astype(np.float64)
    assert float(theirs) == pytest.approx(naive.ece_with_extra_bin(wide, correct), abs=FLOAT32_SUMS)
    ours = ece(wide, correct, ones(labels.size))[0]
    assert ours == pytest.approx(naive.ece(wide, correct), abs=1e-12)
    assert ours <= naive.ece_with_extra_bin(wide, correct) + 1e-12


def test_torchmetrics_bins_are_closed_at_the_lower_end():
    probability, correct = np.array([0.5, 0.25]), np.array([1, 0])
    theirs = binary_calibration_error(
        torch.as_tensor(probability), torch.as_tensor(correct), n_bins=2
    )
    assert float(theirs) == pytest.approx((0.5 + 0.25) / 2)
    assert ece(probability, correct, ones(2), bins=2)[0] == pytest.approx((0.5 - 0.25) / 2)


def test_torchmetrics_16th_bin_on_a_toy_case():
    probability, correct = np.array([1.0, 0.95]), np.array([0, 1])
    theirs = binary_calibration_error(
        torch.as_tensor(probability), torch.as_tensor(correct), n_bins=15
    )
    assert float(theirs) == pytest.approx((1.0 + 0.05) / 2)
    assert ece(probability, correct, ones(2))[0] == pytest.approx((1.0 - 0.05) / 2)


def test_netcal_ece(case):
    """Bins [lo, hi) with the last one closed: the same unless a probability is on an edge."""
    probabilities, labels, _, ours = case
    assert ours["ece"] == pytest.approx(ECE(15).measure(probabilities, labels), abs=1e-9)
