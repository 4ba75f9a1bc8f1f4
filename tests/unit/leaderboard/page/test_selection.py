"""Which predictors of a large board the page holds."""

import polars as pl
import pytest

from sidekick.leaderboard.page.selection import KEYS, select
from unit.leaderboard.boards import board_tables

MODELS = ["a", "b", "c", "d", "e"]


@pytest.fixture(scope="module")
def board() -> pl.DataFrame:
    return board_tables(MODELS, shift=False)[0]


def test_a_small_board_is_held_whole(board):
    chosen = select(board, 10_000)
    assert len(chosen.predictors) == chosen.total == board.select(KEYS).n_unique()
    assert chosen.pairs == chosen.total_pairs == 10


def test_pairs_stay_or_go_whole_and_single_models_stay(board):
    whole = select(board, 10_000).predictors
    alone = whole.filter(pl.col("small").is_null())
    chosen = select(board, len(alone) + 70)
    kept = chosen.predictors
    assert len(alone) < len(kept) <= len(alone) + 70
    assert kept.filter(pl.col("small").is_null()).equals(alone)
    sizes = whole.group_by("large", "small").len()
    of_kept = kept.drop_nulls("small").group_by("large", "small").len()
    assert len(of_kept.join(sizes, on=["large", "small", "len"])) == len(of_kept) == chosen.pairs
    assert chosen.total == len(whole)


def test_the_best_pair_of_the_board_comes_first(board):
    aurc = board.filter(
        (pl.col("metric") == "aurc")
        & pl.col("small").is_not_null()
        & ~pl.col("variant").str.contains("oracle|noise|random")
    )
    best = aurc.sort("value").row(0, named=True)
    alone = board.filter(pl.col("small").is_null()).select(KEYS).n_unique()
    kept = select(board, alone + 160).predictors
    assert (best["large"], best["small"]) in kept.select("large", "small").rows()


def test_no_room_leaves_the_single_models(board):
    chosen = select(board, 1)
    assert chosen.pairs == 0
    assert set(chosen.predictors["large"]) == set(MODELS)
