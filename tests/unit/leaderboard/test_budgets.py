"""What budgets buy, against looking it up by hand."""

import polars as pl
import pytest

from sidekick.evaluation.tables import FITS_SCHEMA, to_table
from sidekick.leaderboard.budgets import what_budgets_buy
from unit.leaderboard.boards import DATASET, board_tables


@pytest.fixture(scope="module")
def board():
    return board_tables(["tiny", "middle", "big"])[0]


def bought(large, small, budget, seed):
    predictor, variant = ("duo", "weighted") if small else ("temperature", "scaled")
    return {
        "benchmark": "b", "dataset": DATASET, "seed": seed, "predictor": predictor,
        "variant": variant, "large": large, "small": small, "recipe": "finetune",
        "budget": budget, "val_nll": 0.1 * seed,
    }  # fmt: skip


@pytest.fixture(scope="module")
def table(board):
    choices = [("big", None, 1.1), ("big", "middle", 1.8), ("big", "middle", 2.0)]
    rows = [bought(*choice, seed) for choice in choices for seed in (0, 1)]
    weights = {**bought("big", "tiny", None, 0), "weight_small": 0.3}
    return what_budgets_buy(board, pl.DataFrame(to_table([*rows, weights], FITS_SCHEMA)))


def test_each_budget_has_a_row(table):
    assert table.select("large", "budget", "small").rows() == [
        ("big", 1.1, None),
        ("big", 1.8, "middle"),
        ("big", 2.0, "middle"),
    ]


@pytest.mark.parametrize("metric", ["accuracy", "nll", "aurc"])
def test_values_are_those_of_the_board(board, table, metric):
    names = {"predictor": "duo", "variant": "weighted", "large": "big", "small": "middle"}
    same = [pl.col(name) == value for name, value in names.items()]
    expected = board.filter(*same, split="test", metric=metric).row(0, named=True)
    found = table.row(1, named=True)
    assert found[metric] == expected["value"]
    for name in ("delta", "delta_low", "delta_high"):
        assert found[f"{metric}_{name}"] == expected[name]
    assert found["gmacs"] == expected["gmacs"]


def test_the_large_model_alone_is_not_compared_with_itself(table):
    found = table.row(0, named=True)
    assert found["nll"] > 0
    assert found["nll_delta"] is None
