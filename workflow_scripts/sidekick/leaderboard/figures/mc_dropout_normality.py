"""Whether the passes of MC dropout are normally distributed, as its intervals suppose."""

from collections.abc import Iterator

import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sidekick.leaderboard.figures.dropout import (
    CLOSED,
    DROPOUT,
    MOST_NETWORKS,
    headed,
    headed_name,
)
from sidekick.leaderboard.figures.page import Drawing, annotate, empty_figure, new_figure
from sidekick.leaderboard.figures.rows import Board

_TITLE = "Are the passes normally distributed?"
_LOOKS = {"logit": CLOSED, "sigmoid": DROPOUT}
# What the test leaves of samples that are all normal.
_EXPECTED = 95


def draw(board: Board) -> Drawing:
    """Draw the share of samples whose passes pass for normal, by severity and by class."""
    found = headed(board)
    if not found:
        return empty_figure(_TITLE, f"No model of {board.dataset} has an MC-dropout head.")
    shown = found[:MOST_NETWORKS]
    figure = new_figure(1.9 * len(shown))
    panels = figure.subplots(len(shown), 2, squeeze=False)
    drawn = []
    for network, (by_severity, by_class) in zip(shown, panels, strict=True):
        curves = network.of(board.curves).filter(pl.col("y").is_finite())
        drawn.append(curves.filter(pl.col("curve").str.starts_with("normal_share")))
        _draw(by_severity, curves, "normal_share")
        _draw(by_class, curves, "normal_share_by_class")
        severities = sorted(curves.filter(pl.col("curve") == "normal_share")["x"].unique())
        names = [f"{severity:g}" if severity else "clean" for severity in severities]
        by_severity.set_xticks(severities, names)
        by_severity.set(title=headed_name(board, network), xlabel="Severity")
        by_class.set(title="Clean, by class", xlabel="Class")
        by_severity.set_ylabel("Not rejected (%)")
    return annotate(figure, _claim(board), _caption(board), _legend(), drawn)


def _draw(axes: Axes, curves: pl.DataFrame, name: str) -> None:
    for variant, look in _LOOKS.items():
        own = curves.filter((pl.col("curve") == name) & (pl.col("variant") == variant)).sort("x")
        axes.plot(own["x"], 100 * own["y"], color=look.color, marker=look.marker, markersize=3)
    axes.axhline(_EXPECTED, color="#999999", linestyle=(0, (4, 2)), linewidth=0.8)
    axes.set_ylim(0, 102)


def _legend() -> list[Line2D]:
    return [
        Line2D([], [], color=look.color, marker=look.marker, label=variant.capitalize())
        for variant, look in _LOOKS.items()
    ] + [Line2D([], [], color="#999999", linestyle=(0, (4, 2)), label="If all were normal")]


def _claim(board: Board) -> str:
    clean = board.curves.filter((pl.col("curve") == "normal_share") & (pl.col("x") == 0))
    network = headed(board)[0]
    shares = dict(network.of(clean).select("variant", "y").iter_rows())
    if set(shares) != set(_LOOKS):
        return _TITLE
    return (
        f"Passes that a test takes for normal: {100 * shares['logit']:.0f} % of logits, "
        f"{100 * shares['sigmoid']:.0f} % of sigmoids ({headed_name(board, network)}, clean)"
    )


def _caption(board: Board) -> Iterator[str]:
    yield f"{board.dataset}: means over seeds, of the class with the largest mean."
    yield (
        "Share of samples (at most 100 per seed and severity) whose 50 passes the Shapiro-Wilk "
        "test does not reject at level 0.05; saturated sigmoids, all equal, are left out."
    )
