import numpy as np
import pytest

from sidekick.evaluation.board import Board, Outcome
from sidekick.evaluation.identity import Identity
from sidekick.evaluation.tables import METRICS_SCHEMA, to_table
from sidekick.logit_cache import ShiftCell

FACTS = {"benchmark": "made_up", "dataset": "toy", "model": "not a column"}
BIG, OTHER = (
    Identity("single", "raw", "big", None, "finetune"),
    Identity("duo", "weighted", "big", "small", "finetune"),
)
B = 20
SEED_WEIGHTS = np.random.default_rng(0).multinomial(3, [1 / 3] * 3, size=B)


def replicates(seed, seeds=3, centre=0.5):
    return np.random.default_rng(seed).normal(centre, 0.05, (seeds, 1 + B))


@pytest.fixture
def board():
    return Board(FACTS, {"test": SEED_WEIGHTS, "shift": SEED_WEIGHTS}, level=0.8)


def rows_of(board):
    return {
        (r["predictor"], r.get("corruption"), r.get("severity"), r["metric"]): r for r in board.rows
    }


def mean_by_hand(values):
    """Seeds in the data as they are, then as each resample drew them."""
    resampled = [
        np.repeat(values[:, 1 + b], SEED_WEIGHTS[b]).mean() for b in range(values.shape[1] - 1)
    ]
    return values[:, 0].mean(), np.array(resampled)


def test_values_and_intervals_are_those_of_the_seeds_mean(board):
    values = replicates(1)
    board.add("test", None, {BIG: Outcome({"accuracy": values}, 70, 2.5)})
    (row,) = board.rows
    value, resampled = mean_by_hand(values)
    assert row["value"] == pytest.approx(value)
    assert (row["low"], row["high"]) == pytest.approx(tuple(np.quantile(resampled, [0.1, 0.9])))
    expected = {
        "benchmark": "made_up",
        "dataset": "toy",
        "split": "test",
        "predictor": "single",
        "variant": "raw",
        "large": "big",
        "small": None,
        "recipe": "finetune",
        "seeds": 3,
        "samples": 70,
        "gmacs": 2.5,
        "flops_balance": None,
        "metric": "accuracy",
        "higher_is_better": True,
        "note": None,
    }
    assert {key: row[key] for key in expected} == expected
    assert "model" not in row
    assert "delta" not in row
    assert to_table(board.rows, METRICS_SCHEMA).num_rows == 1


def test_one_predictor_of_all_seeds_is_not_resampled_over_seeds(board):
    values = replicates(2, seeds=1)
    board.add("test", None, {BIG: Outcome({"nll": values}, 70, 2.5)})
    assert board.rows[0]["value"] == values[0, 0]
    low, high = np.quantile(values[0, 1:], [0.1, 0.9])
    assert (board.rows[0]["low"], board.rows[0]["high"]) == pytest.approx((low, high))
    assert board.rows[0]["higher_is_better"] is False


def test_differences_are_paired(board):
    base, own = replicates(3), replicates(4)
    board.add(
        "test",
        None,
        {
            BIG: Outcome({"accuracy": base, "nll": base}, 70, 2.5),
            OTHER: Outcome({"accuracy": own, "ece": own}, 70, 3.0, 0.2, baseline=BIG),
        },
    )
    rows = rows_of(board)
    accuracy = rows["duo", None, None, "accuracy"]
    assert accuracy["baseline"] == "single:raw:big"
    assert accuracy["flops_balance"] == 0.2
    value, resampled = mean_by_hand(own - base)
    assert accuracy["delta"] == pytest.approx(value)
    interval = accuracy["delta_low"], accuracy["delta_high"]
    assert interval == pytest.approx(tuple(np.quantile(resampled, [0.1, 0.9])))
    # A metric that the baseline does not have has no difference, which is not an undefined one.
    assert "delta" not in rows["duo", None, None, "ece"]
    assert rows["duo", None, None, "ece"]["note"] is None


def test_a_predictor_does_not_differ_from_itself(board):
    values = replicates(5)
    again = Outcome({"accuracy": values.copy()}, 70, 2.5, baseline=BIG)
    board.add("test", None, {BIG: Outcome({"accuracy": values}, 70, 2.5), OTHER: again})
    row = rows_of(board)["duo", None, None, "accuracy"]
    assert (row["delta"], row["delta_low"], row["delta_high"]) == (0.0, 0.0, 0.0)


def test_a_common_shift_of_all_resamples_is_a_difference_without_spread(board):
    values = replicates(6)
    better = Outcome({"accuracy": values + 0.01}, 70, 2.5, baseline=BIG)
    board.add("test", None, {BIG: Outcome({"accuracy": values}, 70, 2.5), OTHER: better})
    row = rows_of(board)["duo", None, None, "accuracy"]
    assert (row["delta"], row["delta_low"], row["delta_high"]) == pytest.approx((0.01,) * 3)
    assert row["high"] - row["low"] > 0.01


def test_a_control_that_is_not_published_still_serves_as_baseline(board):
    hidden = Outcome({"accuracy": replicates(7)}, 70, 2.5, published=False)
    own = Outcome({"accuracy": replicates(8)}, 70, 2.5, baseline=BIG)
    board.add("test", None, {BIG: hidden, OTHER: own})
    assert [row["predictor"] for row in board.rows] == ["duo"]
    assert np.isfinite(board.rows[0]["delta"])


def undefined(values, seed=0, resamples=slice(0, None)):
    values = values.copy()
    values[seed, resamples] = np.nan
    return values


@pytest.mark.parametrize(
    ("base", "own", "given", "note"),
    [
        (1, undefined(replicates(9)), "no errors", "no errors"),
        (1, undefined(replicates(9)), None, "undefined"),
        (
            1,
            undefined(replicates(9), resamples=slice(1, 8)),
            None,
            "no interval: undefined in over",
        ),
        (undefined(replicates(9)), 1, None, "no difference: the baseline is undefined"),
        (
            undefined(replicates(9), resamples=slice(1, 8)),
            1,
            "unstable",
            "unstable; no interval of the difference: undefined in over 5 % of resamples",
        ),
    ],
)
def test_every_undefined_number_has_its_reason(board, base, own, given, note):
    base, own = (replicates(10) if isinstance(part, int) else part for part in (base, own))
    notes = {} if given is None else {"auroc": given}
    board.add(
        "test",
        None,
        {
            BIG: Outcome({"auroc": base}, 70, 2.5),
            OTHER: Outcome({"auroc": own}, 70, 2.5, baseline=BIG, notes=notes),
        },
    )
    row = rows_of(board)["duo", None, None, "auroc"]
    numbers = [row[key] for key in ("value", "low", "high", "delta", "delta_low", "delta_high")]
    assert np.isnan(numbers).any()
    assert row["note"].startswith(note)


CELLS = [ShiftCell("fog", 1), ShiftCell("fog", 2), ShiftCell("snow", 1), ShiftCell("snow", 2)]


def test_shift_means_are_means_over_cells_within_each_resample(board):
    values = {cell: replicates(20 + index) for index, cell in enumerate(CELLS)}
    for index, cell in enumerate(CELLS):
        outcome = Outcome({"accuracy": values[cell]}, 30, 2.0 + index)
        board.add("shift", cell, {BIG: outcome})
    board.add_shift_means()
    rows = rows_of(board)
    assert len(rows) == 4 + 2 + 1
    for severity in (1, 2, None):
        members = [cell for cell in CELLS if severity in (None, cell.severity)]
        value, resampled = mean_by_hand(np.mean([values[cell] for cell in members], axis=0))
        row = rows["single", "mean", severity, "accuracy"]
        assert row["value"] == pytest.approx(value)
        low, high = np.quantile(resampled, [0.1, 0.9])
        assert (row["low"], row["high"]) == pytest.approx((low, high))
        assert row["gmacs"] == np.mean([2.0 + CELLS.index(cell) for cell in members])
        assert row["split"] == "shift"
        assert row["samples"] == 30
        cells = [rows["single", *cell, "accuracy"]["value"] for cell in members]
        assert row["value"] == pytest.approx(np.mean(cells))
    board.add_shift_means()
    assert len(board.rows) == 7


def test_means_of_differences_use_the_cells_where_both_are_defined(board):
    """Else a mean over one set of corruptions would be compared with that over another."""
    base = {cell: replicates(30 + i, centre=0.1 * i) for i, cell in enumerate(CELLS)}
    own = {cell: base[cell] + 0.01 for cell in CELLS}
    own[CELLS[0]] = undefined(own[CELLS[0]])
    base[CELLS[3]] = undefined(base[CELLS[3]])
    for cell in CELLS:
        board.add(
            "shift",
            cell,
            {
                BIG: Outcome({"auroc": base[cell]}, 30, 2.0),
                OTHER: Outcome({"auroc": own[cell]}, 30, 2.0, baseline=BIG),
            },
        )
    board.add_shift_means()
    row = rows_of(board)["duo", "mean", None, "auroc"]
    assert (row["delta"], row["delta_low"], row["delta_high"]) == pytest.approx((0.01,) * 3)
    assert row["note"] == "undefined on 1 of 4 corruptions"
    assert row["value"] == pytest.approx(np.mean([own[cell][:, 0].mean() for cell in CELLS[1:]]))
    other = rows_of(board)["duo", "mean", 2, "auroc"]
    assert other["note"] == "difference undefined on 1 of 2 corruptions"


def test_a_metric_that_is_undefined_everywhere_has_no_mean(board):
    for cell in CELLS:
        outcome = Outcome(
            {"auroc": undefined(replicates(40))}, 30, None, notes={"auroc": "no errors"}
        )
        board.add("shift", cell, {BIG: outcome})
    board.add_shift_means()
    row = rows_of(board)["single", "mean", None, "auroc"]
    assert np.isnan([row["value"], row["low"], row["high"]]).all()
    assert row["note"] == "undefined on 4 of 4 corruptions"
    assert row["gmacs"] is None


def test_interval_is_that_of_the_row(board):
    values = replicates(50)
    board.add("test", None, {BIG: Outcome({"accuracy": values}, 70, 2.5)})
    row = board.rows[0]
    assert board.interval("test", values) == (row["value"], row["low"], row["high"])


def test_labels_of_predictors():
    assert BIG.label == "single:raw:big"
    assert OTHER.label == "duo:weighted:big+small"
