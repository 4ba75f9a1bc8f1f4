"""`plot_leaderboard`: which files it writes, and that they never vary."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import matplotlib.pyplot as plt
import pytest
from PIL import Image

from sidekick.errors import SidekickError
from sidekick.leaderboard import FIGURES
from sidekick.leaderboard.figures import DRAW
from sidekick.leaderboard.plot import plot_leaderboard
from unit.leaderboard.boards import DATASET, board_tables, write_board


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    arguments = write_board(folder, *board_tables(["tiny", "large"]))
    before = dict(matplotlib.rcParams)
    plot_leaderboard(**arguments)
    assert all(matplotlib.rcParams[key] == before[key] for key in before if key != "backend")
    return arguments


def test_all_figures_have_a_module():
    assert tuple(DRAW) == FIGURES


def test_every_figure_is_written_in_both_formats(drawn):
    paths = [Path(path) for path in drawn["outputs"]]
    assert len(paths) == 2 * len(FIGURES)
    for path in paths:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.size[0] == 1400
                assert image.text["Title"]
                assert "Software" not in image.text
        else:
            root = ElementTree.parse(path).getroot()
            assert root.find("{http://www.w3.org/2000/svg}title").text
    # Nothing temporary is left.
    assert sorted(paths[0].parent.iterdir()) == sorted(paths)
    assert plt.get_fignums() == []


def test_two_processes_draw_the_same_bytes(drawn, tmp_path):
    names = [Path(path).name for path in drawn["outputs"]]
    again = {**drawn, "outputs": [str(tmp_path / DATASET / name) for name in names]}
    # A new process has other addresses, and so other orders wherever these decide.
    code = f"from sidekick.leaderboard.plot import plot_leaderboard as p; p(**{again!r})"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": _library()})
    for first, second in zip(drawn["outputs"], again["outputs"], strict=True):
        assert Path(first).read_bytes() == Path(second).read_bytes(), first


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


def test_import_needs_neither_torch_nor_the_evaluation():
    code = (
        "import sys, sidekick.leaderboard.plot\n"
        "bad = [name for name in sys.modules if name.split('.')[0] in ('torch', 'sklearn', 'numba')"
        " or name.startswith('sidekick.evaluation')]\n"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": _library()})


def _library() -> str:
    return str(Path(sys.modules["sidekick.leaderboard.plot"].__file__).parents[2])
