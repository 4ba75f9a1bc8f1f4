"""What the packed board says: the numbers of the tables, as much of them as fits."""

import numpy as np
import polars as pl
import pytest

from sidekick.leaderboard.findings import summarise_comparisons
from sidekick.leaderboard.page.board import DETAILS, Tables, pack_board
from sidekick.leaderboard.page.predictors import key_of
from sidekick.leaderboard.page.tables import CELL_METRICS
from unit.leaderboard.boards import DATASET, board_tables
from unit.leaderboard.page.made import opened
from unit.leaderboard.page.test_payload import unpacked

MODELS = ["tiny", "middle", "large"]


@pytest.fixture(scope="module")
def tables() -> Tables:
    board, curves, fits, _ = board_tables(MODELS, gatekept=["tiny"])
    empty = pl.DataFrame(schema={"dataset": pl.String, "large": pl.String})
    bought = dict.fromkeys(("budget", "gmacs"), pl.Float64) | {"small": pl.String}
    for metric in ("accuracy", "nll", "aurc"):
        bought |= {
            f"{metric}{end}": pl.Float64 for end in ("", "_delta", "_delta_low", "_delta_high")
        }
    budgets = pl.DataFrame(schema=empty.schema | bought)
    promises = pl.DataFrame(schema={"dataset": pl.String, "kept": pl.Boolean})
    return Tables(board, curves, fits, summarise_comparisons(board), budgets, _promises(promises))


def _promises(table: pl.DataFrame) -> pl.DataFrame:
    names = ("split", "predictor", "variant", "large", "small", "recipe", "note")
    numbers = ("promised_accuracy", "accuracy", "low", "high", "promised_gmacs", "gmacs")
    return table.with_columns(
        *(pl.lit(None, pl.String).alias(name) for name in names),
        *(pl.lit(None, pl.Float64).alias(name) for name in numbers),
    )


@pytest.fixture(scope="module")
def packed(tables) -> str:
    return pack_board(tables, {}, {}, 10**9)[0]


def test_every_number_of_the_board_is_on_the_page(tables, packed):
    header, _ = opened(packed)
    (dataset,) = header["datasets"]
    texts = dataset["predictors"]["texts"]
    rows = {texts[number]: row for row, number in enumerate(dataset["predictors"]["key"])}
    checked = 0
    for number, place in enumerate(dataset["places"]):
        values = unpacked(packed, f"0/values{number}")
        gmacs = unpacked(packed, f"0/gmacs{number}")
        own = tables.board.filter(
            pl.col("split") == place["split"],
            pl.col("corruption").eq_missing(place["corruption"]),
            pl.col("severity").eq_missing(place["severity"]),
        )
        assert place["samples"] == own["samples"][0]
        for row in own.iter_rows(named=True):
            if row["metric"] not in place["metrics"]:
                assert place["corruption"] == "blur"
                assert row["metric"] not in CELL_METRICS
                continue
            column, predictor = place["metrics"].index(row["metric"]), rows[key_of(row)]
            found = values[:, column, predictor]
            expected = [np.nan if row[name] is None else row[name] for name in place["fields"]]
            np.testing.assert_allclose(found, expected, rtol=1.6e-5)
            cost = np.nan if row["gmacs"] is None else row["gmacs"]
            np.testing.assert_allclose(gmacs[predictor], cost, rtol=1.6e-5)
            checked += 1
    assert checked > 0.8 * len(tables.board)


def test_places_come_in_the_order_of_the_page(packed):
    header, _ = opened(packed)
    places = header["datasets"][0]["places"]
    found = [(one["split"], one["corruption"], one["severity"]) for one in places]
    means = [("shift", "mean", severity) for severity in (None, 1, 2, 3, 4, 5)]
    assert found == [("test", None, None), *means, ("shift", "blur", 1)]


def test_each_baseline_is_the_row_of_its_key(tables, packed):
    header, _ = opened(packed)
    columns = header["datasets"][0]["predictors"]
    keys = [columns["texts"][number] for number in columns["key"]]
    assert (
        len(set(keys))
        == len(keys)
        == tables.board.select("predictor", "variant", "large", "small", "recipe").n_unique()
    )
    named = 0
    for row, control in enumerate(columns["control"]):
        if control >= 0:
            baseline = columns["baseline"][row]
            expected = columns["texts"][control]
            assert baseline == (keys.index(expected) if expected in keys else -1)
            named += 1
    assert named > 50


def test_curves_are_those_of_the_table(tables, packed):
    header, _ = opened(packed)
    dataset = header["datasets"][0]
    columns = dataset["predictors"]
    keys = [columns["texts"][number] for number in columns["key"]]
    curve = dataset["curves"]["risk_coverage"]
    numbers = unpacked(packed, "0/curve_risk_coverage")
    starts = np.cumsum([0, *curve["lengths"]])
    for index in (0, len(curve["rows"]) - 1):
        own = numbers[:, starts[index] : starts[index + 1]]
        key = keys[curve["rows"][index]]
        points = tables.curves.filter(pl.col("curve") == "risk_coverage")
        table = next(
            part
            for _, part in points.group_by("predictor", "variant", "large", "small", "recipe")
            if key_of(part.row(0, named=True)) == key
        ).sort("x")
        for layer, name in enumerate(("x", "y", "low", "high")):
            np.testing.assert_allclose(own[layer], table[name], rtol=1.6e-5)


def test_headlines_name_a_predictor_of_the_page(packed):
    header, _ = opened(packed)
    dataset = header["datasets"][0]
    texts = dataset["predictors"]["texts"]
    keys = {texts[number] for number in dataset["predictors"]["key"]}
    assert set(dataset["headlines"]) == {"test", "shift"}
    assert {"aurc", "accuracy", "nll"} <= set(dataset["headlines"]["test"])
    for found in dataset["headlines"]["test"].values():
        assert found["key"] in keys
        assert found["sentence"]


def test_what_does_not_fit_is_left_out_and_told(tables):
    whole, nothing = pack_board(tables, {}, {}, 10**9)
    assert nothing == [
        f"{DATASET}: of single corruptions only the main metrics, without differences to the "
        "controls."
    ]
    smaller, told = pack_board(tables, {}, {}, len(whole) - 1)
    assert len(smaller) < len(whole)
    assert told == [f"{DATASET}: of shifted data means over corruptions, no single corruptions."]
    least, told = pack_board(tables, {}, {}, 1)
    header, _ = opened(least)
    kept = len(header["datasets"][0]["predictors"]["key"])
    singles = tables.board.filter(pl.col("small").is_null())
    assert kept <= max(
        DETAILS[-1].predictors, singles.select("predictor", "variant", "large", "recipe").n_unique()
    )
    assert header["left_out"] == told
    total = tables.board.select("predictor", "variant", "large", "small", "recipe").n_unique()
    assert f"{kept:,} of {total:,} predictors" in told[0]
    assert "the Pareto front" in told[0]
    assert (
        told[-1] == f"{DATASET}: of shifted data only the mean over all corruptions and severities."
    )


def test_findings_leave_controls_out(tables, packed):
    header, _ = opened(packed)
    findings = header["datasets"][0]["findings"]
    methods = set(findings["method"])
    assert "Duo, weighted" in methods
    assert not {name for name in methods if "random" in name or "noise" in name}
    index = findings["method"].index("Duo, weighted")
    assert findings["better"][index] + findings["worse"][index] + findings["undecided"][index] == 3
    assert findings["main"][index] is True
