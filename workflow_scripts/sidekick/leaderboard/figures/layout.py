"""Space, titles, captions, ticks and labels: what every figure shares."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from sidekick.leaderboard.figures.look import plural
from sidekick.leaderboard.figures.rows import Board

TEXT_WIDTH = 7.0
_TITLE, _CAPTION = 9.0, 6.5
# Average width of a DejaVu Sans letter, relative to the font size; bold is wider.
_LETTER, _BOLD_LETTER = 0.53, 0.6
_MARGIN = 0.06


def new_figure(height: float, width: float = TEXT_WIDTH) -> Figure:
    """Start a figure whose axes together are `height` inches high."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


class Drawing(NamedTuple):
    """A figure and what it says in words, for the files' metadata."""

    figure: Figure
    title: str
    caption: str


def annotate(figure: Figure, title: str, caption: Iterable[str]) -> Drawing:
    """Add a title above and a caption below; the figure grows by what they need."""
    words = " ".join(caption)
    width, body = figure.get_size_inches()
    head = _wrap(title, width, _TITLE, _BOLD_LETTER)
    foot = _wrap(words, width, _CAPTION, _LETTER)
    above = _block_height(head, _TITLE) + _MARGIN
    below = _block_height(foot, _CAPTION) + _MARGIN
    height = above + body + below
    figure.set_size_inches(width, height)
    left = _MARGIN / width
    figure.text(
        left, 1 - _MARGIN / height, head, size=_TITLE, weight="bold", va="top", linespacing=1.2
    )
    figure.text(left, _MARGIN / height, foot, size=_CAPTION, color="#555555", va="bottom")
    figure.get_layout_engine().set(
        rect=(0, below / height, 1, body / height), w_pad=0.05, h_pad=0.05
    )
    return Drawing(figure, title, words)


def empty_figure(title: str, sentence: str) -> Drawing:
    """Say why there is nothing to draw."""
    figure = new_figure(1.2)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.text(0.5, 0.5, sentence, ha="center", va="center", size=8, wrap=True)
    return annotate(figure, title, [])


def samples_note(board: Board, rows: pl.DataFrame | None = None) -> str:
    """Say how many samples and seeds the values rest on."""
    rows = board.test if rows is None else rows
    samples, seeds = rows["samples"].max() or 0, rows["seeds"].max() or 0
    return f"{board.dataset}, test: {plural(samples, 'sample')} × {plural(seeds, 'seed')}."


def interval_note(board: Board, what: str = "Bars") -> str:
    """Say what the intervals are."""
    over = "samples and seeds" if (board.metrics["seeds"].max() or 0) > 1 else "samples"
    return f"{what}: {100 * board.level:g} % bootstrap intervals over {over}."


def plain_number(value: float, _position: int | None = None) -> str:
    """Write a number without an exponent."""
    return np.format_float_positional(float(f"{value:.10g}"), trim="-")


def log_axis(axis: Axis, low: float, high: float) -> None:
    """Make an axis logarithmic, with plain numbers at its ticks."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log", f"{axis.axis_name}lim": (low, high)})
    steps = (1, 2, 5) if high / low < 300 else (1,)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(FuncFormatter(plain_number))
    axis.set_minor_formatter(NullFormatter())


def place_labels(
    axes: Axes, points: Sequence[tuple[float, float]], texts: Sequence[str], **style
) -> None:
    """Write short texts beside points, none over another one or over a point.

    Parameters
    ----------
    axes
        With its final limits.
    points
        In data coordinates; all are kept free.
    texts
        For the first points.
    **style
        Of the text.
    """
    figure = axes.figure
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    unit = figure.dpi / 72
    pixels = axes.transData.transform(points)
    taken = [Bbox.from_bounds(x - 3 * unit, y - 3 * unit, 6 * unit, 6 * unit) for x, y in pixels]
    frame = axes.get_window_extent(renderer)
    for point, text in zip(points, texts, strict=False):
        label = axes.annotate(
            text, point, (0, 0), textcoords="offset points", ha="center", va="center", **style
        )
        # Below and left first: that side of a front is free.
        for x, y in _offsets():
            label.set_position((x, y))
            box = label.get_window_extent(renderer)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0
            if inside and not any(box.overlaps(other) for other in taken):
                break
        taken.append(label.get_window_extent(renderer))


def _offsets() -> Iterable[tuple[float, float]]:
    for distance in (7, 10, 14, 19, 25):
        for angle in (225, 180, 270, 200, 250, 315, 135, 0, 90, 45):
            radians = np.deg2rad(angle)
            yield distance * np.cos(radians), distance * np.sin(radians)


def _wrap(text: str, width: float, size: float, letter: float) -> str:
    letters = int((width - 2 * _MARGIN) * 72 / (size * letter))
    return "\n".join(textwrap.wrap(text, letters)) if text else ""


def _block_height(text: str, size: float) -> float:
    lines = text.count("\n") + 1 if text else 0
    return (lines * 1.25 * size + 4) / 72 if lines else 0.0
