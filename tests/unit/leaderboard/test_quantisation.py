"""Sizes, errors and answers of quantised networks, side by side."""

import polars as pl
import pytest

from sidekick.artifacts import write_json, write_table
from sidekick.errors import SidekickError
from sidekick.leaderboard.quantisation import what_quantisation_costs
from unit.leaderboard.boards import DATASET, board_tables

MODELS = ["tiny", "big"]


@pytest.fixture(scope="module")
def board():
    made = board_tables(MODELS)[0]
    others = made.filter(metric="accuracy").with_columns(
        pl.col("value", "delta", "delta_low", "delta_high") / 2, metric=pl.lit("macro_f1")
    )
    return pl.concat([made, others])


@pytest.fixture
def network(tmp_path):
    """Write what a quantisation job says of one network."""

    def write(model="big", seed=0, worst="conv1", **changes):
        rows = [
            {"layer": "conv1", "operator": "Conv", "output_sqnr": 21.5, "rounding_sqnr": 22.0},
            {"layer": "conv2", "operator": "Conv", "output_sqnr": 19.5, "rounding_sqnr": 42.0},
            {
                "layer": "features",
                "operator": "Flatten",
                "output_sqnr": 30.0,
                "rounding_sqnr": 50.0,
            },
        ]
        report = {
            "float_bytes": 4000 + seed,
            "int8_bytes": 1000,
            "size_ratio": (4000 + seed) / 1000,
            "calibration": {"images": 100, "split": "train"},
            "worst_layers": [row for row in rows if row["layer"] == worst],
        } | changes
        facts = {"dataset": DATASET, "model": model, "seed": seed, "architecture": "test_resnet"}
        paths = tmp_path / f"{model}{seed}.json", tmp_path / f"{model}{seed}.layers.parquet"
        write_json(report, paths[0])
        write_table(pl.DataFrame(rows).to_arrow(), paths[1], facts)
        return tuple(map(str, paths))

    return write


def costs(board, *networks):
    return what_quantisation_costs(board, *zip(*networks, strict=True))


def test_a_network_is_a_row_with_its_files_its_worst_layer_and_its_answers(board, network):
    row = costs(board, network(seed=1)).row(0, named=True)
    assert [row[key] for key in ("dataset", "model", "seed", "architecture")] == [
        DATASET, "big", 1, "test_resnet",
    ]  # fmt: skip
    assert (row["float_bytes"], row["int8_bytes"], row["size_ratio"]) == (4001, 1000, 4.001)
    assert row["calibration_images"] == 100
    assert (row["worst_layer"], row["worst_operator"]) == ("conv1", "Conv")
    assert (row["worst_output_sqnr"], row["worst_rounding_sqnr"]) == (21.5, 22.0)
    assert row["features_sqnr"] == 30.0
    for metric in ("accuracy", "macro_f1"):
        same = {"predictor": "mc_dropout", "variant": "deterministic", "split": "test"}
        found = board.filter(**same, metric=metric, large="big")
        [as_float] = found.filter(recipe="mc_dropout").to_dicts()
        [as_int8] = found.filter(recipe="mc_dropout_int8").to_dicts()
        assert row[f"float_{metric}"] == as_float["value"]
        assert row[f"int8_{metric}"] == as_int8["value"]
        for key in ("delta", "delta_low", "delta_high"):
            assert row[f"{metric}_{key}"] == as_int8[key]


def test_rows_are_sorted_and_none_is_lost(board, network):
    networks = [network(model, seed) for model in ("tiny", "big") for seed in (10, 2)]
    table = costs(board, *networks)
    places = table.select("model", "seed").rows()
    assert places == [("big", 2), ("big", 10), ("tiny", 2), ("tiny", 10)]


def test_without_a_row_on_the_board_or_a_rounded_layer_there_are_nulls(board, network):
    row = costs(board, network("stranger", worst="none")).row(0, named=True)
    assert row["float_bytes"] == 4000
    for key in ("worst_layer", "worst_rounding_sqnr", "int8_accuracy", "macro_f1_delta"):
        assert row[key] is None


def test_nothing_quantised_is_a_header(board, network):
    none = what_quantisation_costs(board, [], [])
    assert none.is_empty()
    assert none.columns == costs(board, network()).columns
    assert none.schema == costs(board, network()).schema


def test_a_missing_report_is_named(board, network, tmp_path):
    _, errors = network()
    with pytest.raises(SidekickError, match=r"gone\.json: no such file"):
        what_quantisation_costs(board, [str(tmp_path / "gone.json")], [errors])
