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
from sidekick.leaderboard import (
    FIGURES,
    GATEKEEPER_FIGURES,
    MC_DROPOUT_FIGURES,
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


def test_every_figure_is_written_in_both_formats(drawn):
    paths = [Path(path) for path in drawn["outputs"]]
    assert len(paths) == 2 * len(DRAW)
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


def test_a_new_process_draws_the_same_bytes(drawn, tmp_path):
    # Those with placed labels, many panels and joined tables.
    figures = ("aurc_vs_gmacs", "deferral", "deltas", "accuracy_by_level", "gatekeeper_alpha")
    first = [path for path in drawn["outputs"] if Path(path).stem in figures]
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
