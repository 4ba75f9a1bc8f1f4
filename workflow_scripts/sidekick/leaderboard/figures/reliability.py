"""Whether a predictor is right as often as it says."""

import math
from collections.abc import Iterator

import polars as pl
from matplotlib.axes import Axes

from sidekick.leaderboard.figures.axes import log_axis
from sidekick.leaderboard.figures.look import (
    in_sentence,
    look_of,
    method_name,
    short_names,
)
from sidekick.leaderboard.figures.page import (
    Drawing,
    annotate,
    empty_figure,
    new_figure,
    samples_note,
)
from sidekick.leaderboard.figures.rows import Board, Predictor, pick

_TITLE = "Reliability diagrams"
_BINS = 15
# A little more than 0 to 100 %, for markers at the ends.
_LIMITS = (-4, 104)


def draw(board: Board) -> Drawing:
    """Draw reliability diagrams of the largest model and what helps it."""
    curves = board.curves.filter((pl.col("curve") == "reliability") & pl.col("y").is_finite())
    found = {entry: pick(curves, entry).sort("x") for entry in _subset(board)}
    shown = {entry: points for entry, points in found.items() if len(points)}
    if not shown:
        return empty_figure(_TITLE, f"No reliability curves on {board.dataset}.")
    figure = new_figure(2.6)
    panels = figure.subplots(
        2, len(shown), sharex=True, sharey="row", height_ratios=[4, 1], squeeze=False
    )
    most = max(points["count"].max() for points in shown.values())
    for (upper, lower), (entry, points) in zip(panels.T, shown.items(), strict=True):
        _draw_diagram(upper, board, entry, points)
        _draw_counts(lower, entry, points, most)
    panels[0, 0].set_ylabel("Accuracy in the bin (%)")
    panels[1, 0].set_ylabel("Samples")
    for axes in panels[1]:
        axes.set_xlabel("Mean probability (%)")
    data = [*shown.values(), *(pick(board.rows("ece"), entry) for entry in shown)]
    return annotate(figure, _title(board, shown), _caption(board), data=data)


def _subset(board: Board) -> Iterator[Predictor]:
    large = board.models[0]
    yield Predictor("single", "raw", large)
    yield Predictor("temperature", "scaled", large)
    if board.main_pair:
        yield Predictor("duo", "weighted", large, board.main_pair.small)
    yield Predictor("ensemble", "mean_softmax", large)


def _draw_diagram(axes: Axes, board: Board, entry: Predictor, points: pl.DataFrame) -> None:
    look = look_of(*entry[:2])
    x, y, low, high = (100 * points[name].to_numpy() for name in ("x", "y", "low", "high"))
    axes.plot([0, 100], [0, 100], color="#888888", linewidth=0.8, linestyle=(0, (4, 2)))
    axes.vlines(x, low, high, color=look.color, linewidth=1)
    axes.plot(x, y, look.marker, color=look.color)
    axes.set(xlim=_LIMITS, ylim=_LIMITS)
    axes.set_xticks(range(0, 101, 25))
    axes.set_yticks(range(0, 101, 25))
    title = method_name(*entry[:2])
    for row in pick(board.rows("ece"), entry).iter_rows(named=True):
        value, low, high = (100 * row[name] for name in ("value", "low", "high"))
        title += f"\nECE {value:.1f} % [{low:.1f}, {high:.1f}]"
    axes.set_title(title)


def _draw_counts(axes: Axes, entry: Predictor, points: pl.DataFrame, most: int) -> None:
    width = 100 / _BINS
    log_axis(axes.yaxis, 0.8, 2 * most)
    lefts = [width * (math.ceil(x * _BINS) - 1) for x in points["x"]]
    color = look_of(*entry[:2]).color
    axes.bar(lefts, points["count"], width, align="edge", color=color, edgecolor="white", lw=0.4)


def _title(board: Board, shown: dict[Predictor, pl.DataFrame]) -> str:
    name = short_names(board.models)[board.models[0]]
    parts = [
        f"{in_sentence(look_of(*entry[:2]).name)} {100 * value:.1f} %"
        for entry in shown
        for value in pick(board.rows("ece"), entry)["value"]
    ]
    return f"ECE of {name}: {', '.join(parts)}" if parts else f"{_TITLE}: {name}"


def _caption(board: Board) -> Iterator[str]:
    yield samples_note(board)
    yield (
        f"Bars: {100 * board.level:g} % Clopper-Pearson intervals over the samples of all seeds "
        "together, which share test samples, so that true ones are wider. Above the diagonal: "
        "underconfident. ECE (15 bins, lower is better) with its bootstrap interval. The ensemble "
        "averages unscaled probabilities."
    )
    names = short_names(board.models)
    if board.main_pair:
        small = names[board.main_pair.small]
        yield f"Duo: with {small}, the smallest sidekick of {names[board.models[0]]}."
