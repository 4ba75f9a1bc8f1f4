import numpy as np
import pytest

from sidekick.methods.dropout_rule import quantile
from sidekick.methods.dropout_sampling import sampled_moments
from sidekick.methods.dropout_sensitivity import outcome, sensitivity
from sidekick.methods.mc_dropout import interval_rule
from unit.methods.heads import wide_head


def test_outcome_by_hand():
    accepted = np.array([True, True, False, False, False])
    answer = np.array([0, 1, 0, 0, 0])
    rival = np.array([0, 0, 1, 0, 1])
    labels = np.array([0, 0, 1, 1, 1])
    assert outcome(accepted, answer, rival, labels) == {
        "coverage": pytest.approx(2 / 5),
        "kept_accuracy": pytest.approx(1 / 2),
        "misclassified_ignored": pytest.approx(1 / 3),
        "false_ignore_rate": pytest.approx(2 / 4),
    }


def test_shares_of_nothing_are_undefined():
    none, every = np.zeros(2, bool), np.ones(2, bool)
    zeros, ones = np.zeros(2, int), np.ones(2, int)
    assert np.isnan(outcome(none, zeros, zeros, zeros)["kept_accuracy"])
    assert np.isnan(outcome(every, zeros, zeros, zeros)["misclassified_ignored"])
    assert np.isnan(outcome(every, zeros, ones, zeros)["false_ignore_rate"])


@pytest.fixture(scope="module")
def table():
    features = np.maximum(np.random.default_rng(0).normal(size=(300, 512)), 0)
    moments = {
        count: found.sigmoids
        for count, found in sampled_moments(
            wide_head(), features, (20, 50, 100), np.random.default_rng(1)
        ).items()
    }
    rival = labels = np.zeros(300, int)
    return moments, list(sensitivity(moments, rival, labels, (0.7, 0.9), (0.3, 0.5)))


def test_every_setting_has_a_row_and_the_rules_coverage(table):
    moments, rows = table
    settings = [(row["passes"], row["level"], row["threshold"]) for row in rows]
    assert len(set(settings)) == len(rows) == 3 * 2 * 2
    for row in rows:
        accepted, _ = interval_rule(moments[row["passes"]], row["level"], row["threshold"])
        assert row["coverage"] == accepted.mean()


def test_more_passes_do_not_narrow_the_interval_and_a_higher_level_widens_it(table):
    widths = {
        (row["passes"], row["level"]): row["top_width"]
        for row in table[1]
        if row["threshold"] == 0.5
    }
    # By the bias of a deviation with ddof 0, about 1 − 3/(4 N), it grows a little.
    assert widths[100, 0.7] == pytest.approx(widths[20, 0.7], rel=0.06)
    assert widths[50, 0.9] / widths[50, 0.7] == pytest.approx(quantile(0.9) / quantile(0.7))
