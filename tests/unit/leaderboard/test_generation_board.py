"""A board of nothing but generated answers: its tables, its summary and its figures."""

import polars as pl
import pytest

from sidekick.leaderboard import GENERATION_FIGURES, GENERATION_GATEKEEPER_FIGURES
from sidekick.leaderboard.collect import collect_leaderboard
from sidekick.leaderboard.figures import DRAW
from sidekick.leaderboard.plot import plot_leaderboard
from unit.evaluation.generated import BIG, SMALL, Generated

FIGURES = GENERATION_FIGURES + GENERATION_GATEKEEPER_FIGURES
PARQUET = ("leaderboard", "curves", "parts")
CSV = ("wide", "wide_parts", "fits", "findings", "budgets", "promises", "quantisation")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    made = Generated(folder).write()
    made.evaluate(BIG)
    made.evaluate(SMALL, [BIG], BIG)
    outputs = {name: str(folder / f"{name}.parquet") for name in PARQUET}
    outputs |= {name: str(folder / f"{name}.csv") for name in CSV}
    tables = {
        name: [made.outputs(model)[name] for model in (BIG, SMALL)]
        for name in ("metrics", "curves", "fits")
    }
    collect_leaderboard(
        **tables,
        parts=[],
        models=[BIG, SMALL],
        benchmark="made_up",
        outputs={**outputs, "summary": str(folder / "summary.txt")},
    )
    return folder


def test_tables(folder):
    board = pl.read_parquet(folder / "leaderboard.parquet")
    assert set(board["predictor"]) == {"single", "cascade"}
    assert "nll" not in set(board["metric"])
    assert pl.read_parquet(folder / "parts.parquet").is_empty()
    promises = pl.read_csv(folder / "promises.csv")
    assert {"nent_defer25", "nent_budget50"} < set(promises["variant"])
    assert promises["kept"].null_count() == 0
    findings = pl.read_csv(folder / "findings.csv")
    assert "nent_vs_untuned" in set(findings["variant"])


def test_summary(folder):
    text = (folder / "summary.txt").read_text()
    assert "maths: " in text
    # Of all gates the best, and a cascade, which has an accuracy only.
    assert f": {BIG}\n" in text
    assert "The cascade zeta + alpha raises accuracy" in " ".join(text.split())
    assert "   none " in text
    assert "ordering" not in text
    assert max(map(len, text.split("Page:")[0].splitlines())) <= 80


def drawn(folder, names):
    paths = [str(folder / "figures" / "maths" / f"{name}.svg") for name in names]
    plot_leaderboard(
        leaderboard=str(folder / "leaderboard.parquet"),
        curves=str(folder / "curves.parquet"),
        fits=str(folder / "fits.csv"),
        parts=str(folder / "parts.parquet"),
        outputs=paths,
        level=0.9,
    )
    return paths


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_something_to_show(folder, name):
    (path,) = drawn(folder, [name])
    with open(path) as file:
        svg = file.read()
    # An empty figure is a sentence and nothing else.
    assert svg.count("<path") > 40
    assert name in DRAW


def test_orderings_are_in_no_list_of_choices(folder):
    text = (folder / "summary.txt").read_text()
    assert "random_" not in text
    assert "oracle" not in text
