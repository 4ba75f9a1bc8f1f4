"""How the accept/ignore rule of MC dropout answers to its settings."""

from collections.abc import Iterator, Sequence

import polars as pl
import seaborn
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sidekick.leaderboard.figures.dropout import (
    CLOSED_NAME,
    MOST_NETWORKS,
    headed,
    headed_name,
    pass_counts,
    rule_levels,
)
from sidekick.leaderboard.figures.page import (
    Drawing,
    annotate,
    empty_figure,
    new_figure,
    samples_note,
)
from sidekick.leaderboard.figures.rows import Board

_TITLE = "What the accept/ignore rule answers to"
# Measure and setting of each panel, its title and its axis.
_PANELS = (
    ("coverage", "threshold", "Coverage (%)", "Threshold"),
    ("kept_accuracy", "threshold", "Kept accuracy (%)", "Threshold"),
    ("coverage", "dropout", "Coverage (%)", "Rates / as trained"),
    ("top_width", "threshold", "Interval width", "Passes N"),
)
_CURVES = sorted({f"{measure}_by_{setting}" for measure, setting, *_ in _PANELS})
_LINES = ("-", (0, (4, 2)), (0, (1, 1)), (0, (6, 1, 1, 1)))


def draw(board: Board) -> Drawing:
    """Draw coverage and kept accuracy against threshold, dropout rate, level and passes."""
    found = headed(board)
    if not found:
        return empty_figure(_TITLE, f"No model of {board.dataset} has an MC-dropout head.")
    shown = found[:MOST_NETWORKS]
    figure = new_figure(1.9 * len(shown))
    panels = figure.subplots(len(shown), len(_PANELS), squeeze=False)
    rows = [network.of(board.test) for network in shown]
    drawn = []
    for network, own, line in zip(shown, rows, panels, strict=True):
        curves = network.of(board.curves).filter(pl.col("y").is_finite())
        drawn.append(curves.filter(pl.col("curve").is_in(_CURVES)))
        levels, counts = rule_levels(own), pass_counts(own)
        for axes, (measure, setting, title, label) in zip(line, _PANELS, strict=True):
            if measure == "top_width":
                _draw_widths(axes, curves, levels, counts)
            else:
                names = counts if setting == "threshold" else [CLOSED_NAME]
                _draw_setting(axes, curves, f"{measure}_by_{setting}", levels, names)
            axes.set(title=title, xlabel=label)
        line[0].set_title(f"{headed_name(board, network)}\n{_PANELS[0][2]}")
    return annotate(figure, _TITLE, _caption(board), _legend(rows[0]), drawn)


def _draw_setting(
    axes: Axes, curves: pl.DataFrame, name: str, levels: Sequence[int], names: Sequence
) -> None:
    for level, color in zip(levels, _colors(levels), strict=True):
        for passes, line in zip(names, _LINES, strict=False):
            own = curves.filter(
                (pl.col("curve") == name) & (pl.col("variant") == f"interval{level}_{passes}")
            ).sort("x")
            axes.plot(own["x"], 100 * own["y"], color=color, linestyle=line, linewidth=0.9)


def _draw_widths(
    axes: Axes, curves: pl.DataFrame, levels: Sequence[int], counts: Sequence[int]
) -> None:
    widths = curves.filter((pl.col("curve") == "top_width_by_threshold") & (pl.col("x") == 0.5))
    by_variant = dict(widths.select("variant", "y").iter_rows())
    drawn: list[float | None] = []
    for level, color in zip(levels, _colors(levels), strict=True):
        found = [by_variant.get(f"interval{level}_{count}") for count in counts]
        axes.plot(counts, found, color=color, marker="o", markersize=3)
        drawn += found
    axes.set_xticks(counts)
    # Nothing that is drawn has no height.
    axes.set_ylim(0, 1.08 * max((y for y in drawn if y is not None), default=1.0))


def _colors(levels: Sequence[int]) -> list:
    return seaborn.color_palette("viridis", len(levels))


def _legend(rows: pl.DataFrame) -> list[Line2D]:
    levels, counts = rule_levels(rows), pass_counts(rows)
    return [
        Line2D([], [], color=color, label=f"Confidence factor {level / 100:g}")
        for level, color in zip(levels, _colors(levels), strict=True)
    ] + [
        Line2D([], [], color="#666666", linestyle=line, label=f"{count} passes")
        for count, line in zip(counts, _LINES, strict=False)
    ]


def _caption(board: Board) -> Iterator[str]:
    yield samples_note(board)
    yield (
        "Means over seeds, without intervals. Dropout rates are changed after training and their "
        "effect is computed in closed form. The interval estimates the spread of passes, not the "
        "error of their mean: more passes do not narrow it."
    )
