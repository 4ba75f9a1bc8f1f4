"""Metrics of what is kept and ignored, against repeated rows and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from sidekick.metrics import rejection_metrics, top_share_weights, unit_weights
from unit.metrics import naive

N, CLASSES = 40, 5


@pytest.fixture
def data():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, CLASSES, N)
    answer = np.where(rng.random(N) < 0.7, labels, rng.integers(0, CLASSES, N))
    answers = rng.random((N, CLASSES)) < 0.1
    answers[np.arange(N), answer] = True
    return {
        "answers": answers,
        "correct": answer == labels,
        "labels": labels,
        "rival_correct": rng.random(N) < 0.6,
    }


def test_against_repeated_rows(data):
    rng = np.random.default_rng(0)
    accepted = rng.random(N) < 0.6
    weights = rng.integers(0, 3, (6, N)).astype(np.uint8)
    found = rejection_metrics(weights * accepted.astype(float), weights, **data)
    for b in range(6):
        rows = np.repeat(np.arange(N), weights[b])
        kept, ignored = rows[accepted[rows]], rows[~accepted[rows]]
        right = data["rival_correct"]
        truth = np.eye(CLASSES, dtype=bool)[data["labels"][kept]]
        said = data["answers"][kept]
        occurs = np.flatnonzero(truth.any(axis=0) | said.any(axis=0))
        expected = {
            "coverage": len(kept) / len(rows),
            "selective_accuracy": data["correct"][kept].mean(),
            "kept_error": 1 - data["correct"][kept].mean(),
            "kept_micro_f1": f1_score(truth, said, average="micro"),
            "kept_macro_f1": f1_score(truth[:, occurs], said[:, occurs], average="macro"),
            "misclassified_ignored": (~right)[ignored].mean(),
            "false_ignore_rate": right[ignored].sum() / right[rows].sum(),
        }
        assert list(found) == list(expected)
        for metric, value in expected.items():
            assert found[metric][b] == pytest.approx(value), metric


def test_with_one_answer_each_micro_f1_is_accuracy(data):
    answers = np.zeros((N, CLASSES), bool)
    wrong = (data["labels"] + 1) % CLASSES
    answers[np.arange(N), np.where(data["correct"], data["labels"], wrong)] = True
    weights = unit_weights(N)
    found = rejection_metrics(weights * 1.0, weights, **data | {"answers": answers})
    assert found["kept_micro_f1"] == pytest.approx(data["correct"].mean())


def test_sums_of_many_small_weights_do_not_overflow():
    labels = np.zeros(1000, dtype=int)
    right = np.arange(1000) < 900
    weights = np.full((2, 1000), 3, dtype=np.uint8)
    accepted = np.arange(1000) >= 90
    answers = np.zeros((1000, 2), dtype=bool)
    answers[:, 0] = True
    kept = weights * accepted.astype(float)
    found = rejection_metrics(kept, weights, answers, right, labels, right)
    np.testing.assert_allclose(found["coverage"], 0.91)
    np.testing.assert_allclose(found["false_ignore_rate"], 0.1)
    np.testing.assert_allclose(found["selective_accuracy"], 810 / 910)


def test_nothing_kept_and_nothing_ignored_is_undefined(data):
    weights = unit_weights(N)
    nothing = rejection_metrics(np.zeros((1, N)), weights, **data)
    undefined = {"selective_accuracy", "kept_error", "kept_micro_f1", "kept_macro_f1"}
    assert {name for name, values in nothing.items() if np.isnan(values[0])} == undefined
    assert nothing["coverage"] == 0
    assert nothing["false_ignore_rate"] == 1
    everything = rejection_metrics(weights * 1.0, weights, **data)
    assert np.isnan(everything["misclassified_ignored"])
    assert everything["false_ignore_rate"] == 0


def test_the_top_share_is_the_expectation_over_orders_of_ties():
    rng = np.random.default_rng(1)
    score, correct = rng.integers(0, 4, N).astype(float), rng.random(N) < 0.7
    errors = naive.expected_errors(score, correct)
    for count in (1, 7, N):
        kept = top_share_weights(score, unit_weights(N), np.array([count / N]))
        assert kept.sum() == pytest.approx(count)
        assert (kept @ ~correct)[0] == pytest.approx(errors[count - 1])
    assert not top_share_weights(score, unit_weights(N), np.array([0.0])).any()


def test_the_top_share_of_a_resample_is_that_of_repeated_rows():
    rng = np.random.default_rng(2)
    score = rng.normal(size=N)
    weights = rng.integers(0, 3, (4, N))
    kept = top_share_weights(score, weights, np.full(4, 0.5))
    for own, weight in zip(kept, weights, strict=True):
        rows = np.repeat(np.arange(N), weight)
        limit = np.sort(score[rows])[::-1][: len(rows) // 2][-1]
        assert own.sum() == pytest.approx(weight.sum() / 2)
        np.testing.assert_allclose(own[score > limit], weight[score > limit])
