"""`plot_leaderboard`: which files it writes, and that they never vary."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import matplotlib.pyplot as plt
import polars as pl
import pytest
from PIL import Image

from sidekick.errors import SidekickError
from sidekick.leaderboard import (
    FIGURES,
    GATEKEEPER_FIGURES,
    MC_DROPOUT_FIGURES,
    REPORT_ENTRIES,
    SHIFT_FIGURES,
    TEXT_FIGURES,
)
from sidekick.leaderboard.figures import DRAW
from sidekick.leaderboard.plot import plot_leaderboard
from unit.leaderboard.boards import DATASET, board_tables, write_board


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    tables = board_tables(["tiny", "large"], gatekept=["tiny"], groups={"level": ["1", "2"]})
    arguments = write_board(folder, *tables)
    before = dict(matplotlib.rcParams)
    plot_leaderboard(**arguments)
    assert all(matplotlib.rcParams[key] == before[key] for key in before if key != "backend")
    return arguments


def test_all_figures_have_a_module():
    kinds = (FIGURES, SHIFT_FIGURES, TEXT_FIGURES, GATEKEEPER_FIGURES, MC_DROPOUT_FIGURES)
    assert sorted(DRAW) == sorted(figure for kind in kinds for figure in kind)


def test_every_figure_is_written_in_all_formats(drawn):
    paths = [Path(path) for path in drawn["outputs"]]
    assert len(paths) == 3 * len(DRAW)
    for path in paths:
        if path.suffix == ".csv":
            assert len(pl.read_csv(path)), path
        elif path.suffix == ".png":
            with Image.open(path) as image:
                # One column of a paper, or both, at 200 pixels per inch.
                assert image.size[0] in (660, 1380)
                assert image.text["Title"]
                assert "Software" not in image.text
        else:
            root = ElementTree.parse(path).getroot()
            assert root.find("{http://www.w3.org/2000/svg}title").text
    # Nothing temporary is left.
    assert sorted(paths[0].parent.iterdir()) == sorted(paths)
    assert plt.get_fignums() == []


def test_a_new_process_draws_the_same_bytes(drawn, tmp_path):
    first = drawn["outputs"]
    second = [str(tmp_path / DATASET / Path(path).name) for path in first]
    again = {**drawn, "outputs": second}
    # It has other addresses, and so other orders wherever these decide.
    code = (
        "import sys; from sidekick.leaderboard.plot import plot_leaderboard\n"
        f"plot_leaderboard(**{again!r})\n"
        "print([name for name in ('torch', 'numba', 'sidekick.evaluation') if name in sys.modules])"
    )
    library = Path(sys.modules["sidekick.leaderboard.plot"].__file__).parents[2]
    process = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(library)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.strip() == "[]"
    for one, other in zip(first, second, strict=True):
        assert Path(one).read_bytes() == Path(other).read_bytes(), one


def test_letters_are_embedded(drawn):
    """As outlines: the pictures look alike whatever fonts a reader has."""
    for path in map(Path, drawn["outputs"]):
        if path.suffix == ".svg":
            text = path.read_text(encoding="utf-8")
            assert "<text" not in text, path
            assert "font-family" not in text, path


def test_every_figure_has_a_place_and_a_caption_in_the_report():
    captions = Path(sys.modules["sidekick"].__file__).parents[2] / "rules" / "report" / "figures"
    assert sorted(REPORT_ENTRIES) == sorted(DRAW)
    titles = list(REPORT_ENTRIES.values())
    assert len(set(titles)) == len(titles)
    for figure in DRAW:
        assert len((captions / f"{figure}.rst").read_text(encoding="utf-8").split()) > 20


def test_draws_only_what_is_asked_for(drawn, tmp_path):
    output = tmp_path / DATASET / "reliability.svg"
    plot_leaderboard(**{**drawn, "outputs": [str(output)]})
    assert [path.name for path in tmp_path.rglob("*.*")] == ["reliability.svg"]


def test_unknown_figure_is_refused(drawn, tmp_path):
    output = str(tmp_path / DATASET / "pie.svg")
    with pytest.raises(SidekickError, match=r"pie\.svg: no figure 'pie'.*aurc_vs_gmacs"):
        plot_leaderboard(**{**drawn, "outputs": [output]})


def test_unknown_dataset_is_refused(drawn, tmp_path):
    output = str(tmp_path / "mnist" / "deltas.svg")
    with pytest.raises(SidekickError, match=r"leaderboard\.parquet: no rows of dataset 'mnist'"):
        plot_leaderboard(**{**drawn, "outputs": [output]})
