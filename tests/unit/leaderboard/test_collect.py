import random
from itertools import combinations

import numpy as np
import polars as pl
import pytest

from sidekick.artifacts import read_facts, read_table, write_table
from sidekick.errors import SidekickError
from sidekick.evaluation.tables import (
    CURVES_SCHEMA,
    FITS_SCHEMA,
    METRICS_SCHEMA,
    PARTS_SCHEMA,
)
from sidekick.leaderboard.collect import KEYS, collect_leaderboard
from unit.evaluation.benchmark import TABLES, Benchmark

MODELS = {"one": (3.0, 2.0), "two": (2.0, 1.5), "three": (1.0, 1.2)}
NAMES = list(MODELS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The tables of three models and their pairs, as the rules name them."""
    made = Benchmark(
        tmp_path_factory.mktemp("board"),
        models=MODELS,
        cells=(("fog", 1),),
        sizes={"val": 30, "test": 20, "shift": 10},
        replicates=20,
    ).write()
    for index, model in enumerate(NAMES):
        made.single(model)
        if index:
            made.pairs(model, *NAMES[:index])
    return made


def jobs(*models):
    """The evaluation jobs of a board of these models, in this order."""
    return [f"single/{m}" for m in models] + [f"pairs/{m}" for m in models[1:]]


@pytest.fixture
def collect(made, tmp_path):
    def run(models=NAMES, folders=None, name="board"):
        folders = [made.folder / job for job in jobs(*models)] if folders is None else folders
        outputs = {
            "leaderboard": tmp_path / name / "leaderboard.parquet",
            "wide": tmp_path / name / "leaderboard.csv",
            "curves": tmp_path / name / "curves.parquet",
            "parts": tmp_path / name / "parts.parquet",
            "wide_parts": tmp_path / name / "parts.csv",
            "fits": tmp_path / name / "fits.csv",
            "findings": tmp_path / name / "findings.csv",
            "budgets": tmp_path / name / "budgets.csv",
            "promises": tmp_path / name / "promises.csv",
            "quantisation": tmp_path / name / "quantisation.csv",
            "summary": tmp_path / name / "summary.txt",
        }
        tables = {
            table: [str(folder / f"{table}.parquet") for folder in folders] for table in TABLES
        }
        collect_leaderboard(**tables, models=sorted(models), benchmark="made_up", outputs=outputs)
        return outputs

    return run


def contents(outputs):
    """What was written, but for the folder's name."""
    folder = str(outputs["summary"].parent).encode()
    return {name: path.read_bytes().replace(folder, b"") for name, path in outputs.items()}


def test_the_board_holds_every_row_of_every_job(made, collect):
    outputs = collect()
    board = pl.DataFrame(read_table(outputs["leaderboard"]))
    parts = pl.concat(
        [pl.read_parquet(made.folder / job / "metrics.parquet") for job in jobs(*NAMES)]
    )
    assert board.columns == METRICS_SCHEMA.names
    assert board.equals(parts.sort([*KEYS, "metric"]))
    assert not board.select(*KEYS, "metric").is_duplicated().any()
    facts = read_facts(outputs["leaderboard"])
    assert facts["benchmark"] == "made_up"
    assert facts["models"] == '["one", "three", "two"]'
    curves = pl.DataFrame(read_table(outputs["curves"]))
    assert curves.columns == CURVES_SCHEMA.names
    assert set(curves["curve"]) == {"risk_coverage", "reliability", "deferral"}
    fits = pl.read_csv(outputs["fits"])
    assert fits.columns == FITS_SCHEMA.names
    # Of a model its temperature; of a pair two duos, and two kinds of cascades at two thresholds.
    assert len(fits) == 2 * (3 + 3 * (2 + 2 * 2))


def test_the_wide_table_has_a_row_per_predictor_and_a_column_per_metric(collect):
    outputs = collect()
    board = pl.DataFrame(read_table(outputs["leaderboard"]))
    wide = pl.read_csv(outputs["wide"])
    assert len(wide) == len(board.select(KEYS).unique())
    assert set(wide.columns) == {
        *KEYS,
        "seeds",
        "samples",
        "gmacs",
        "flops_balance",
        *board["metric"],
    }
    for row in board.sample(20, seed=1).iter_rows(named=True):
        same = [pl.col(key).eq_missing(pl.lit(row[key])) for key in KEYS]
        (found,) = wide.filter(same).select(row["metric"]).to_series()
        assert found == pytest.approx(row["value"], nan_ok=True)


def test_promises_are_of_all_thresholds(collect):
    promises = pl.read_csv(collect()["promises"])
    assert len(promises) == 2 * 3 * 2 * 2
    assert set(promises["split"]) == {"test", "shift"}
    assert promises["kept"].null_count() == 0


def test_without_a_quantised_network_its_table_is_a_header(collect):
    table = pl.read_csv(collect()["quantisation"])
    assert table.is_empty()
    assert {"size_ratio", "worst_layer", "int8_accuracy"} < set(table.columns)


def test_a_sweep_joins_the_board(made, collect):
    """Its job scores the pair that it started from, too; that is on the board once."""
    recipes = {"gatekeeper_a10": "two", "gatekeeper_a50": "three", "ce_control": "two"}
    made.gatekeeper(recipes, small="three", large="one")
    folders = [made.folder / job for job in [*jobs(*NAMES), "gatekeeper/three"]]
    outputs = collect(folders=folders)
    board = pl.DataFrame(read_table(outputs["leaderboard"]))
    swept = {*recipes, "gatekeeper_chosen"}
    assert set(board["recipe"]) == {"finetune"} | swept | {f"finetune+{name}" for name in swept}
    curves = pl.DataFrame(read_table(outputs["curves"]))
    lines = curves.filter(pl.col("curve") == "deferral")
    assert (
        not lines.select("predictor", "variant", "large", "small", "recipe", "x")
        .is_duplicated()
        .any()
    )
    assert {"roc", "density_correct", "density_wrong"} < set(curves["curve"])
    assert set(pl.read_csv(outputs["promises"])["recipe"]) > {f"finetune+{name}" for name in swept}


def test_the_order_of_input_files_does_not_matter(made, collect):
    folders = [made.folder / job for job in jobs(*NAMES)]
    random.Random(0).shuffle(folders)
    assert contents(collect(folders=folders)) == contents(collect())


def test_removed_models_are_left_out_although_their_pairs_are_still_there(collect):
    """`three` was evaluated with `two`, which is not on the board any more."""
    outputs = collect(["one", "three"])
    board = pl.DataFrame(read_table(outputs["leaderboard"]))
    assert set(board["large"]) == {"one", "three"}
    assert set(board["small"].drop_nulls()) == {"three"}
    assert "two" not in outputs["wide"].read_text()
    assert "two" not in outputs["fits"].read_text()
    curves = pl.DataFrame(read_table(outputs["curves"]))
    assert "two" not in set(curves["large"]) | set(curves["small"])
    assert "Leaderboard: 2 models" in outputs["summary"].read_text()


def test_a_duo_with_several_sidekicks_is_no_pair_and_goes_with_any_of_its_models(made, collect):
    table = pl.read_parquet(made.folder / "pairs/two/metrics.parquet")
    duo = table.filter(pl.col("predictor") == "duo")
    folder = made.folder / "several"
    folder.mkdir(exist_ok=True)
    for name in TABLES:
        pl.read_parquet(made.folder / f"pairs/two/{name}.parquet").clear().write_parquet(
            folder / f"{name}.parquet"
        )
    several = duo.with_columns(large=pl.lit("one"), small=pl.lit("three+two"))
    several.write_parquet(folder / "metrics.parquet")
    for models, kept in ((NAMES, len(several)), (["one", "three"], 0)):
        folders = [made.folder / job for job in jobs(*models)] + [folder]
        board = pl.DataFrame(read_table(collect(models, folders)["leaderboard"]))
        assert len(board.filter(pl.col("small") == "three+two")) == kept


@pytest.mark.parametrize("pair", list(combinations(NAMES, 2)))
def test_a_pair_that_was_not_evaluated_is_named_with_the_remedy(made, collect, tmp_path, pair):
    folders = [made.folder / job for job in jobs(*NAMES)]
    changed = []
    for index, folder in enumerate(folders):
        table = pl.read_parquet(folder / "metrics.parquet")
        gone = (
            pl.col("small").is_not_null()
            & pl.col("large").is_in(pair)
            & pl.col("small").is_in(pair)
        )
        other = tmp_path / str(index)
        write_table(table.filter(~gone).to_arrow(), other / "metrics.parquet", {})
        for name in TABLES[1:]:
            (other / f"{name}.parquet").write_bytes((folder / f"{name}.parquet").read_bytes())
        changed.append(other)
    with pytest.raises(
        SidekickError, match=r"on toy was not evaluated.*--forcerun evaluate_pairs"
    ) as e:
        collect(folders=changed)
    assert all(model in str(e.value) for model in pair)


def test_a_pair_that_two_jobs_hold_is_on_the_board_once(made, collect, tmp_path):
    """`one` was taken off and put back last: `two` and `three` still hold their pairs with it."""
    again = Benchmark(
        tmp_path / "again",
        models=MODELS,
        cells=(("fog", 1),),
        sizes={"val": 30, "test": 20, "shift": 10},
        replicates=20,
    ).write()
    again.pairs("one", "two", "three")
    folders = [made.folder / job for job in jobs(*NAMES)] + [again.folder / "pairs" / "one"]
    random.Random(0).shuffle(folders)
    assert contents(collect(folders=folders)) == contents(collect(name="plain"))


def test_tables_that_disagree_are_refused_with_the_remedy(made, collect, tmp_path):
    folder = made.folder / "pairs" / "two"
    stale = pl.read_parquet(folder / "metrics.parquet").with_columns(pl.col("value") + 1e-9)
    write_table(stale.to_arrow(), tmp_path / "stale" / "metrics.parquet", {})
    for name in TABLES[1:]:
        (tmp_path / "stale" / f"{name}.parquet").write_bytes(
            (folder / f"{name}.parquet").read_bytes()
        )
    folders = [*(made.folder / job for job in jobs(*NAMES)), tmp_path / "stale"]
    with pytest.raises(SidekickError, match=r"one and two on toy were evaluated twice.*--forcerun"):
        collect(folders=folders)


def test_one_model_alone_is_a_board(collect):
    outputs = collect(["two"])
    board = pl.DataFrame(read_table(outputs["leaderboard"]))
    assert set(board["large"]) == {"two"}
    assert board["small"].null_count() == len(board)


def test_a_damaged_table_is_named_and_leaves_no_board(made, collect, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in TABLES:
        (broken / f"{name}.parquet").write_bytes(b"PAR1 broken PAR1")
    with pytest.raises(SidekickError, match=r"broken/metrics\.parquet: not a readable Parquet"):
        collect(folders=[made.folder / "single" / "one", broken])
    assert not (tmp_path / "board").exists()


def test_two_collections_agree(collect):
    assert contents(collect(name="first")) == contents(collect(name="second"))


@pytest.fixture(scope="module")
def of_questions(tmp_path_factory):
    """Two models on questions that have a level."""
    made = Benchmark(
        tmp_path_factory.mktemp("questions"),
        models={"one": (3.0, 2.0), "two": (2.0, 1.5)},
        cells=(),
        sizes={"val": 30, "test": 40, "shift": 0},
        replicates=20,
    )
    for columns in made.data.values():
        rows = range(len(columns["labels"]))
        columns["extras"] = {"level": np.array([str(row % 2) for row in rows], dtype=object)}
    made.write()
    made.single("one")
    made.single("two")
    made.pairs("two", "one")
    return made


def test_parts_are_collected_in_both_forms(of_questions, collect):
    folders = [of_questions.folder / job for job in jobs("one", "two")]
    outputs = collect(["one", "two"], folders)
    parts = pl.DataFrame(read_table(outputs["parts"]))
    assert parts.columns == PARTS_SCHEMA.names
    own = pl.concat([pl.read_parquet(folder / "parts.parquet") for folder in folders])
    order = ["group", *KEYS[5:], "metric"]
    assert parts.sort(order).equals(own.unique().sort(order))
    wide = pl.read_csv(outputs["wide_parts"])
    assert len(wide) == len(parts.select("grouping", "group", *KEYS[5:]).unique())
    assert {"grouping", "group", "samples", "accuracy", "nll", "ece", "auroc", "aurc"} < set(
        wide.columns
    )
    for row in parts.sample(20, seed=1).iter_rows(named=True):
        keys = ["grouping", *KEYS[5:]]
        same = [pl.col(key).cast(pl.String).eq_missing(pl.lit(row[key])) for key in keys]
        same.append(pl.col("group").cast(pl.String) == row["group"])
        (found,) = wide.filter(same).select(row["metric"]).to_series()
        assert found == pytest.approx(row["value"], nan_ok=True)


def test_removed_models_leave_the_parts_too(of_questions, collect):
    folders = [of_questions.folder / job for job in jobs("one", "two")]
    parts = pl.DataFrame(read_table(collect(["one"], folders)["parts"]))
    assert set(parts["large"]) == {"one"}
    assert parts["small"].null_count() == len(parts)


def test_without_groups_the_parts_are_headers(collect):
    outputs = collect()
    assert pl.DataFrame(read_table(outputs["parts"])).is_empty()
    assert pl.read_csv(outputs["wide_parts"]).is_empty()
