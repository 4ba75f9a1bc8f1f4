"""The page around the axes: size, title, legend, caption."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import polars as pl
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend

from sidekick.leaderboard.figures.look import plural
from sidekick.leaderboard.figures.rows import Board

SINGLE, DOUBLE = 3.3, 6.9
"""Widths in inches that fit one column of a paper, and both. All lengths here are in inches."""

_MARGIN = 0.06
_CAPTION = {"size": 6.5}
_LINE_SPACING = 1.2
# SVG's letters are not hinted: a line is up to 2 % wider there than it was measured.
_SLACK = 0.97


class Drawing(NamedTuple):
    """A figure, what it says in words, for the files' metadata, and what it shows as a table."""

    figure: Figure
    title: str
    caption: str
    data: pl.DataFrame


def new_figure(height: float, width: float = DOUBLE) -> Figure:
    """Start a figure whose axes together are `height` inches high."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def annotate(
    figure: Figure,
    title: str,
    caption: Iterable[str],
    legend: Sequence[Artist] = (),
    data: Iterable[pl.DataFrame] = (),
) -> Drawing:
    """Add title and legend above and a caption below; the figure grows by what they need.

    Parameters
    ----------
    figure
        With its axes.
    title, caption, legend
        Empty sentences of the caption are left out.
    data
        Tables of what the axes show, in the units of the board. They are put together, and
        columns in which nothing stands are left out.
    """
    words = " ".join(filter(None, caption))
    width, body = figure.get_size_inches()
    bold = {"size": 9.0 if width > SINGLE else 7.5, "weight": "bold"}
    head, head_height = _wrap(figure, title, bold)
    foot, foot_height = _wrap(figure, words, _CAPTION)
    key, key_height = _add_legend(figure, legend)
    below = foot_height + _MARGIN
    height = _MARGIN + head_height + key_height + body + below
    figure.set_size_inches(width, height)
    left, top = _MARGIN / width, 1 - _MARGIN / height
    figure.text(left, top, head, va="top", linespacing=_LINE_SPACING, **bold)
    if key:
        key.set_bbox_to_anchor((left, top - head_height / height))
    style = {"color": "#555555", "linespacing": _LINE_SPACING, **_CAPTION}
    figure.text(left, _MARGIN / height, foot, va="bottom", **style)
    rect = (0, below / height, 1, body / height)
    figure.get_layout_engine().set(rect=rect, w_pad=0.05, h_pad=0.05)
    _settle(figure)
    return Drawing(figure, title, words, _joined(data))


def empty_figure(title: str, sentence: str) -> Drawing:
    """Say why there is nothing to draw."""
    figure = new_figure(1.2)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.text(0.5, 0.5, sentence, ha="center", va="center", size=8, wrap=True)
    return annotate(figure, title, [])


def samples_note(board: Board) -> str:
    """Say how many samples and seeds the values rest on."""
    samples, seeds = board.test["samples"].max() or 0, board.test["seeds"].max() or 0
    return f"{board.dataset}, test: {plural(samples, 'sample')} × {plural(seeds, 'seed')}."


def interval_note(board: Board, what: str = "Bars") -> str:
    """Say what the intervals are."""
    over = "samples and seeds" if (board.metrics["seeds"].max() or 0) > 1 else "samples"
    return f"{what}: {100 * board.level:g} % bootstrap intervals over {over}."


def _joined(tables: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Put tables together; without any row there is nothing but the name of a column."""
    filled = [table for table in tables if len(table)]
    if not filled:
        return pl.DataFrame(schema={"dataset": pl.String})
    table = pl.concat(filled, how="diagonal_relaxed").unique(maintain_order=True)
    return table.select(column.name for column in table if column.null_count() < len(table))


def _settle(figure: Figure) -> None:
    """Lay the figure out once, for all formats.

    The solver's last digits vary from run to run, and with them shades of pixels: hence rounded.
    """
    figure.get_layout_engine().execute(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position([round(edge, 4) for edge in axes.get_position().bounds])


def _add_legend(figure: Figure, handles: Sequence[Artist]) -> tuple[Legend | None, float]:
    """Add a legend in as few rows as fit; give it and its height in inches."""
    renderer = figure.canvas.get_renderer()
    for columns in range(len(handles), 0, -1):
        legend = figure.legend(handles=handles, loc="upper left", ncols=columns)
        size = legend.get_window_extent(renderer).size / figure.dpi
        if columns == 1 or size[0] < _SLACK * (figure.get_figwidth() - _MARGIN):
            return legend, size[1]
        legend.remove()
    return None, 0.0


def _wrap(figure: Figure, text: str, font: dict) -> tuple[str, float]:
    """Break a text into lines that fit the figure; give it and its height with a gap."""
    renderer, properties = figure.canvas.get_renderer(), FontProperties(**font)
    widest = _SLACK * (figure.get_figwidth() - 2 * _MARGIN) * figure.dpi
    lines: list[str] = []
    # Not at non-breaking spaces.
    for word in text.split(" ") if text else ():
        longer = f"{lines[-1]} {word}" if lines else word
        size = renderer.get_text_width_height_descent(longer, properties, False)
        if lines and size[0] > widest:
            lines.append(word)
        else:
            lines[-1:] = [longer]
    # A line is a little higher than its spacing says.
    return "\n".join(lines), len(lines) * 1.1 * _LINE_SPACING * font["size"] / 72 + _MARGIN
