"""How the error rate falls as the least confident samples are left out."""

from collections.abc import Iterator, Sequence

import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sidekick.leaderboard.figures.axes import log_axis
from sidekick.leaderboard.figures.look import (
    LOOKS,
    Look,
    look_of,
    method_name,
    plain_interval,
    short_names,
)
from sidekick.leaderboard.figures.page import (
    Drawing,
    annotate,
    empty_figure,
    interval_note,
    new_figure,
    samples_note,
)
from sidekick.leaderboard.figures.rows import (
    Board,
    Predictor,
    improvements,
    operating_points,
    pick,
    verdicts,
)

_TITLE = "Selective risk against coverage"
_REFERENCES = {"random_ordering": (0, (4, 2)), "oracle_ordering": (0, (1, 1))}
# The axis starts a little before the first curve has this share of its greatest risk.
_VISIBLE = 0.04
# Of generated answers, each with a colour and marker of its own.
_GATES = {
    "nent": LOOKS["single"],
    "sum_logprob": LOOKS["cascade"],
    "logprob_q10": LOOKS["duo"],
    "brevity": LOOKS["ensemble"],
}


def draw(board: Board) -> Drawing:
    """Draw risk-coverage curves of the largest model and what helps it, and their AURC."""
    curves = board.curves.filter((pl.col("curve") == "risk_coverage") & pl.col("y").is_finite())
    found = {entry: pick(curves, entry).sort("x") for entry in _subset(board)}
    shown = {entry: points for entry, points in found.items() if len(points)}
    if not shown:
        return empty_figure(_TITLE, f"No risk-coverage curves on {board.dataset}.")
    figure = new_figure(2.7)
    axes, side = figure.subplots(1, 2, width_ratios=[1.5, 1])
    for order, (entry, points) in enumerate(shown.items()):
        _draw_curve(axes, entry, points, order)
    axes.set_xlim(_first_coverage(shown), 100)
    axes.set_ylim(0)
    axes.set(xlabel="Coverage (%)", ylabel="Error rate among the covered (%)")
    _draw_areas(side, board, list(shown))
    legend = [Line2D([], [], label=method_name(*entry[:2]), **_style(entry)) for entry in shown]
    rows = board.rows("aurc")
    data = [*shown.values(), *(pick(rows, entry) for entry in shown)]
    return annotate(figure, _title(board), _caption(board), legend, data)


def _subset(board: Board) -> Iterator[Predictor]:
    large = board.models[0]
    if board.is_generated:
        for variant in ("random_ordering", *_GATES, "oracle_ordering"):
            yield Predictor("single", variant, large)
        return
    yield Predictor("temperature", "random_ordering", large)
    yield Predictor("temperature", "scaled", large)
    if board.main_pair:
        for variant in operating_points(board.test)[:1]:
            yield Predictor("duo_cascade", variant, large, board.main_pair.small)
        yield Predictor("duo", "weighted", large, board.main_pair.small)
    yield Predictor("ensemble", "mean_softmax", large)
    yield Predictor("temperature", "oracle_ordering", large)


def _look(entry: Predictor) -> Look:
    return _GATES.get(entry.variant) or look_of(*entry[:2])


def _style(entry: Predictor) -> dict:
    look = _look(entry)
    if entry.variant in _REFERENCES:
        return {"color": look.color, "linestyle": _REFERENCES[entry.variant]}
    return {"color": look.color, "marker": look.marker}


def _draw_curve(axes: Axes, entry: Predictor, points: pl.DataFrame, order: int) -> None:
    x, y, low, high = (100 * points[name].to_numpy() for name in ("x", "y", "low", "high"))
    if entry.variant not in _REFERENCES:
        axes.fill_between(x, low, high, color=_style(entry)["color"], alpha=0.12, linewidth=0)
    # Markers start at different points, so that none hides another.
    axes.plot(x, y, markevery=(order % 4, 4), **_style(entry))


def _first_coverage(shown: dict[Predictor, pl.DataFrame]) -> float:
    """Find the coverage (%) below which all methods' risks are next to 0."""
    starts = [90.0]
    for entry, points in shown.items():
        if entry.variant != "random_ordering":
            seen = points.filter(pl.col("y") > _VISIBLE * points["y"].max())
            starts += [100 * seen["x"].min() - 5] if len(seen) else []
    return max(min(starts), 0)


def _draw_areas(axes: Axes, board: Board, entries: Sequence[Predictor]) -> None:
    rows = board.rows("aurc")
    values = []
    for place, entry in enumerate(entries):
        color = _style(entry)["color"]
        for row in pick(rows, entry).iter_rows(named=True):
            axes.hlines(place, row["low"], row["high"], color=color, linewidth=1.2)
            axes.plot(row["value"], place, _look(entry).marker, color=color)
            values += [row["value"], row["high"]]
    label = "AURC (lower is better)"
    if values and min(values) > 0:
        log_axis(axes.xaxis, min(values) / 5, max(values) * 1.5)
        label = "AURC (lower is better, log scale)"
    axes.set_yticks(range(len(entries)), [method_name(*entry[:2]) for entry in entries])
    axes.set_ylim(len(entries) - 0.5, -0.5)
    axes.set_xlabel(label)


def _title(board: Board) -> str:
    names = short_names(board.models)
    large = names[board.models[0]]
    if board.main_pair is None or board.is_generated:
        return f"{_TITLE}: {large}"
    duo = pick(board.compared("aurc"), Predictor("duo", "weighted", *board.main_pair[:2]))
    if duo.is_empty():
        return f"{_TITLE}: {large}"
    change, low, high = (part[0] for part in improvements(duo))
    words = {"better": "lowers", "worse": "raises", "none": "does not clearly change"}
    return (
        f"A sidekick {words[verdicts(duo)[0]]} the AURC of {large}: "
        f"{plain_interval(-change, -high, -low)}"
    )


def _caption(board: Board) -> Iterator[str]:
    names = short_names(board.models)
    yield samples_note(board)
    yield interval_note(board, "Bands (pointwise) and bars")
    yield f"Lower is better. All curves: {names[board.models[0]]}, the largest model;"
    if board.is_generated:
        yield (
            "its answers are ranked by minus the mean entropy of their tokens (Single) and by "
            "other gates."
        )
    elif board.main_pair:
        yield (
            f"duo and duo cascade: with {names[board.main_pair.small]}, its smallest sidekick, "
            "chosen by cost and not by result."
        )
    yield "Oracle: its correct answers first; random: confidence that knows nothing."
