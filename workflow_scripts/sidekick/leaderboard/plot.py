"""Draw the figures of the leaderboard, and write what they show as tables."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.style
import polars as pl

from sidekick.artifacts import atomic_path, read_table
from sidekick.errors import SidekickError
from sidekick.leaderboard.figures import DRAW
from sidekick.leaderboard.figures.page import Drawing
from sidekick.leaderboard.figures.rows import Board
from sidekick.leaderboard.fits import read_fits

STYLE = Path(__file__).with_name("style.mplstyle")
"""The matplotlib style of all figures."""


def plot_leaderboard(
    *,
    leaderboard: str,
    curves: str,
    fits: str,
    parts: str,
    outputs: Sequence[str],
    level: float,
) -> None:
    """Draw each figure of each dataset once and save it, and its data, as asked for.

    Parameters
    ----------
    leaderboard, curves, fits, parts
        The board's tables: Parquet but for `fits`, which is CSV.
    outputs
        Paths `…/{dataset}/{figure}.{format}` with a figure of `sidekick.leaderboard.FIGURES` or
        its like and the format `svg`, `png` or, of its data, `csv`.
    level
        Coverage of the intervals in the tables, to say so in the figures.

    Raises
    ------
    SidekickError
        If an output names a figure that does not exist or a dataset that is not on the board.
    """
    metrics = pl.DataFrame(read_table(leaderboard))
    points = pl.DataFrame(read_table(curves))
    divided = pl.DataFrame(read_table(parts))
    fitted = read_fits(fits)
    wanted: dict[tuple[str, str], list[Path]] = {}
    for path in map(Path, outputs):
        wanted.setdefault((path.parent.name, path.stem), []).append(path)
    boards: dict[str, Board] = {}
    with matplotlib.style.context(["default", STYLE]):
        for (dataset, figure), paths in wanted.items():
            if figure not in DRAW:
                raise SidekickError(f"{paths[0]}: no figure '{figure}'; there are {list(DRAW)}")
            if dataset not in boards:
                boards[dataset] = _board(
                    dataset, (metrics, points, fitted, divided), level, leaderboard
                )
            drawing = DRAW[figure](boards[dataset])
            for path in paths:
                save_drawing(drawing, path)


def _board(dataset: str, tables: Sequence[pl.DataFrame], level: float, source: str) -> Board:
    own, *others = (table.filter(pl.col("dataset") == dataset) for table in tables)
    if own.is_empty():
        raise SidekickError(f"{source}: no rows of dataset '{dataset}'")
    return Board(dataset, own, *others, level)


def save_drawing(drawing: Drawing, path: Path) -> None:
    """Save a figure as `svg` or `png`, or its data as `csv`: the same bytes every time."""
    if path.suffix == ".csv":
        with atomic_path(path) as temporary:
            drawing.data.write_csv(temporary)
        return
    # No date and no version of matplotlib in the file: the same board gives the same bytes.
    kind = path.suffix.removeprefix(".")
    stamps = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
    described = {"Title": drawing.title, "Description": drawing.caption}
    with atomic_path(path) as temporary:
        drawing.figure.savefig(temporary, format=kind, metadata=stamps[kind] | described)
