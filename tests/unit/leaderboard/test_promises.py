"""What thresholds promise and what comes of it, against looking it up by hand."""

import numpy as np
import polars as pl
import pytest

from sidekick.evaluation.tables import FITS_SCHEMA, to_table
from sidekick.leaderboard.promises import what_promises_brought
from unit.leaderboard.boards import DATASET, board_tables

NAMES = {"large": "big", "small": "tiny", "recipe": "finetune"}


@pytest.fixture(scope="module")
def board():
    return board_tables(["tiny", "big"])[0]


def promise(variant, seed, accuracy, note=None, **other):
    place = {"benchmark": "b", "dataset": DATASET, "seed": seed, "predictor": "cascade"}
    numbers = {"promised_accuracy": accuracy, "promised_gmacs": 0.001 * (seed + 1)}
    return {**place, "variant": variant, **NAMES, **numbers, "note": note, **other}


def brought(board, *rows):
    return what_promises_brought(board, pl.DataFrame(to_table(list(rows), FITS_SCHEMA)))


def on_board(board, split, variant="max_softmax_budget50", **other):
    found = board.filter(
        pl.col("corruption").eq_missing("mean" if split == "shift" else None),
        pl.col("severity").is_null(),
        split=split, predictor="cascade", metric="accuracy", variant=variant, **NAMES,
    )  # fmt: skip
    return found.row(0, named=True)


def test_promises_are_averaged_over_seeds_beside_what_came_of_them(board):
    rows = [promise("max_softmax_budget50", seed, 0.9 + 0.01 * seed) for seed in (0, 1, 2)]
    table = brought(board, *rows)
    assert table["split"].to_list() == ["test", "shift"]
    for found in table.iter_rows(named=True):
        expected = on_board(board, found["split"])
        assert found["seeds"] == 3
        assert found["promised_accuracy"] == pytest.approx(0.91)
        assert found["promised_gmacs"] == pytest.approx(0.002)
        assert found["accuracy"] == expected["value"]
        assert [found[key] for key in ("low", "high", "gmacs")] == [
            expected[key] for key in ("low", "high", "gmacs")
        ]
        assert found["note"] is None


@pytest.mark.parametrize(("above", "kept"), [(-1e-9, True), (0.0, True), (1e-9, False)])
def test_a_promise_is_kept_up_to_the_upper_end_of_the_interval(board, above, kept):
    high = on_board(board, "test")["high"]
    table = brought(board, promise("max_softmax_budget50", 0, high + above))
    assert table.filter(split="test")["kept"].to_list() == [kept]


def test_without_an_interval_there_is_no_verdict(board):
    none = board.with_columns(high=pl.lit(np.nan))
    assert brought(none, promise("max_softmax_budget50", 0, 0.9))["kept"].to_list() == [None] * 2


def test_a_threshold_that_some_seed_lacks_is_told_without_numbers(board):
    rows = [
        promise("max_softmax_budget1", 0, 0.9),
        promise("max_softmax_budget1", 1, None, "a budget of …", promised_gmacs=None),
    ]
    table = brought(board, *rows)
    assert table["seeds"].to_list() == [1, 1]
    assert table["accuracy"].to_list() == [None, None]
    assert table["kept"].to_list() == [None, None]


def test_notes_of_seeds_are_joined(board):
    rows = [
        promise("max_softmax_target97", 0, 0.9, "out of reach: 0.91"),
        promise("max_softmax_target97", 1, 0.9, "out of reach: 0.92"),
        promise("max_softmax_target97", 2, 0.9),
    ]
    assert set(brought(board, *rows)["note"]) == {"out of reach: 0.91; out of reach: 0.92"}


def test_what_promises_nothing_has_no_row(board):
    weights = {**promise("weighted", 0, None), "predictor": "duo", "weight_small": 0.3}
    assert brought(board, weights).is_empty()


def test_without_shift_there_are_rows_of_test_only():
    board, _, fits, _ = board_tables(["tiny", "big"], shift=False)
    table = what_promises_brought(board, fits)
    assert set(table["split"]) == {"test"}
    # Three aims of a cascade and of a duo cascade, each by two gates.
    assert len(table) == 3 * 2 * 2
