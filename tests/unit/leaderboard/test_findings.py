"""Counts of gains and losses, against counting by hand."""

import polars as pl
import pytest
from scipy.stats import spearmanr

from sidekick.evaluation.tables import METRICS_SCHEMA
from sidekick.leaderboard.findings import summarise_comparisons


def board(rows):
    """A board of duos of test, unless a row says otherwise."""
    usual = {
        "benchmark": "made_up",
        "dataset": "toy",
        "split": "test",
        "predictor": "duo",
        "variant": "weighted",
        "large": "big",
        "recipe": "finetune",
        "metric": "nll",
        "value": 1.0,
        "higher_is_better": False,
        "flops_balance": 0.5,
    }
    names = METRICS_SCHEMA.names
    empty = pl.DataFrame(METRICS_SCHEMA.empty_table())
    filled = [{name: {**usual, **row}.get(name) for name in names} for row in rows]
    return pl.DataFrame(filled, schema=empty.schema)


def difference(delta, low, high, **other):
    return {"delta": delta, "delta_low": low, "delta_high": high, **other}


def only(table):
    assert len(table) == 1
    return table.row(0, named=True)


def test_gains_and_losses_are_those_whose_intervals_exclude_0():
    rows = [difference(-0.2, -0.3, -0.1), difference(-0.1, -0.2, 0.1), difference(0.1, 0.05, 0.2)]
    found = only(summarise_comparisons(board(rows)))
    assert [found[key] for key in ("comparisons", "better", "worse", "undecided")] == [3, 1, 1, 1]
    assert found["worse_share"] == pytest.approx(1 / 3)
    assert found["median_improvement"] == pytest.approx(0.1)


def test_the_direction_of_the_metric_counts():
    rows = [difference(0.2, 0.1, 0.3, metric="accuracy", higher_is_better=True)]
    found = only(summarise_comparisons(board(rows)))
    assert (found["better"], found["worse"], found["median_improvement"]) == (1, 0, 0.2)


def test_the_trend_over_flops_balance_is_spearmans():
    balances, deltas = [0.1, 0.3, 0.5, 0.7, 0.9], [-0.1, -0.3, -0.2, -0.5, -0.4]
    rows = [
        difference(d, d - 1, d + 1, flops_balance=b) for b, d in zip(balances, deltas, strict=True)
    ]
    found = only(summarise_comparisons(board(rows)))
    expected = spearmanr(balances, [-d for d in deltas]).statistic
    assert found["balance_correlation"] == pytest.approx(expected)
    assert only(summarise_comparisons(board(rows[:3])))["balance_correlation"] is None
    same = [{**row, "flops_balance": 0.5} for row in rows]
    assert only(summarise_comparisons(board(same)))["balance_correlation"] is None


def test_predictors_of_one_model_have_no_balance():
    rows = [difference(-0.1, -0.2, -0.05, flops_balance=None, predictor="soup")] * 5
    assert only(summarise_comparisons(board(rows)))["balance_correlation"] is None


def test_of_shift_the_overall_mean_counts():
    rows = [
        difference(-0.1, -0.2, -0.05, split="shift", corruption="fog", severity=1),
        difference(-0.1, -0.2, -0.05, split="shift", corruption="mean", severity=1),
        difference(0.1, 0.05, 0.2, split="shift", corruption="mean"),
    ]
    found = only(summarise_comparisons(board(rows)))
    assert (found["split"], found["comparisons"], found["worse"]) == ("shift", 1, 1)


def test_undefined_differences_are_not_counted():
    rows = [difference(float("nan"), float("nan"), float("nan")), difference(None, None, None)]
    assert summarise_comparisons(board(rows)).is_empty()
    # Without an interval there is a difference, but no verdict.
    found = only(summarise_comparisons(board([difference(-0.1, float("nan"), float("nan"))])))
    assert (found["comparisons"], found["undecided"]) == (1, 1)
