import re

import numpy as np

from sidekick.metrics import METRICS, evaluate_statistics, sample_statistics, unit_weights

BOARD_ORDER = [
    "accuracy",
    "macro_f1",
    "nll",
    "brier",
    "ece",
    "auroc",
    "aurc",
    "e_aurc",
    "augrc",
    *(f"sac_{percent}" for percent in range(90, 100)),
    "overlap",
    "s_d",
    "deferral_area",
    "deferral_gain_area",
    "coverage",
    "selective_accuracy",
    "kept_error",
    "kept_micro_f1",
    "kept_macro_f1",
    "misclassified_ignored",
    "false_ignore_rate",
    "accuracy_budget_25",
    "accuracy_budget_50",
    "accuracy_budget_75",
    "accuracy_flexible",
    "truncated",
]


def test_board_order():
    assert list(METRICS) == BOARD_ORDER


def test_entries():
    for name, metric in METRICS.items():
        assert metric.name == name
        assert re.fullmatch("[a-z0-9_]+", name)
        assert 0 < len(metric.label) <= 20
        assert metric.description.endswith(".")
    assert len({metric.label for metric in METRICS.values()}) == len(METRICS)
    lower = {name for name, metric in METRICS.items() if not metric.higher_is_better}
    assert lower == {"nll", "brier", "ece", "aurc", "e_aurc", "augrc", "overlap"} | {
        "kept_error",
        "false_ignore_rate",
        "truncated",
    }


def test_every_metric_of_one_predictor_is_registered_in_board_order():
    rng = np.random.default_rng(0)
    s = sample_statistics(rng.normal(size=(30, 3)), rng.integers(0, 3, 30))
    names = list(evaluate_statistics(s, unit_weights(30)))
    assert names == BOARD_ORDER[: BOARD_ORDER.index("overlap") + 1]


def test_direction_agrees_with_a_better_predictor():
    """Of two predictors, the one whose logits carry more signal is better in every metric."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 4000)
    noise = rng.normal(size=(4000, 5))
    signal = np.eye(5)[labels]
    bad, good = (
        evaluate_statistics(sample_statistics(s * signal + noise, labels), unit_weights(4000))
        for s in (1.0, 3.0)
    )
    for name in good:
        if name not in ("ece", "e_aurc"):  # both depend on more than the amount of signal
            better = good[name] > bad[name]
            assert better == METRICS[name].higher_is_better, name
