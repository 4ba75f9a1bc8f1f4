"""The headline: how well each predictor ranks its errors, for how much compute."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sidekick.leaderboard.figures.axes import log_axis, place_labels
from sidekick.leaderboard.figures.look import (
    LOOKS,
    Look,
    axis_label,
    in_sentence,
    listed,
    look_of,
    method_name,
    models_name,
    plural,
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
from sidekick.leaderboard.figures.rows import CONTROLS, REPRODUCTION, Board, pareto_front
from sidekick.leaderboard.recipe_words import brief_words

_METRIC = "aurc"
# As many as fit beside the axes.
_MOST_LISTED = 12
# With more predictors only the front has bars.
_CROWD = 100
_TITLE = "AURC against cost"


def draw(board: Board) -> Drawing:
    """Draw AURC against the expected cost of all predictors, with the Pareto front."""
    rows = board.rows(_METRIC).filter(
        pl.col("gmacs").is_finite()
        # Orderings by label or by chance stand for no method, and would set the scale.
        & ~pl.col("variant").str.contains("_ordering")
        & (pl.col("variant") != REPRODUCTION)
    )
    if rows.is_empty():
        return empty_figure(_TITLE, f"No predictor of {board.dataset} has an AURC.")
    unit, factor = ("MMACs", 1e3) if rows["gmacs"].median() < 0.1 else ("GMACs", 1.0)
    rows = rows.with_columns(cost=factor * pl.col("gmacs"))
    control = pl.col("variant").str.contains(CONTROLS)
    controls, deployable = rows.filter(control), rows.filter(~control)
    front = deployable[pareto_front(deployable["cost"], deployable["value"])]
    figure = new_figure(3.7)
    axes, side = figure.subplots(1, 2, width_ratios=[1.7, 1])
    _set_axes(axes, deployable)
    axes.set_xlabel(f"Expected cost per sample ({unit}, log scale)")
    alpha, bars = (1.0, 0.25) if len(deployable) <= _CROWD else (0.5, 0.0)
    _draw_points(axes, controls, markersize=3, markeredgewidth=0, alpha=alpha)
    _draw_points(axes, deployable, bars, markersize=3.6, markeredgewidth=0, alpha=alpha)
    axes.step(front["cost"], front["value"], where="post", color="#333333", lw=0.9, zorder=1.5)
    _draw_points(axes, front, 1.0, markersize=5.5, markeredgecolor="#222222", zorder=3)
    shown = _thinned(len(front))
    _list_front(side, front[shown], short_names(board.models), unit)
    caption = _caption(board, deployable, controls, front)
    drawing = annotate(
        figure, _title(front), caption, _legend(rows), _data(controls, deployable, front)
    )
    # Labels go last, when the axes have their final size.
    points = front["cost", "value"].rows()
    others = [point for index, point in enumerate(points) if index not in shown]
    numbers = [str(number) for number in range(1, len(shown) + 1)]
    place_labels(axes, [points[i] for i in shown] + others, numbers, size=6.5, weight="bold")
    return drawing


def _data(
    controls: pl.DataFrame, deployable: pl.DataFrame, front: pl.DataFrame
) -> list[pl.DataFrame]:
    """Give all points, with which of them are controls and which are on the front."""
    keys = ["predictor", "variant", "large", "small", "recipe"]
    same = {"on": keys, "nulls_equal": True, "maintain_order": "left"}
    others = deployable.join(front, how="anti", **same)
    kinds = {"front": front, "behind": others, "control": controls}
    return [rows.drop("cost").with_columns(kind=pl.lit(kind)) for kind, rows in kinds.items()]


def _set_axes(axes: Axes, rows: pl.DataFrame) -> None:
    log_axis(axes.xaxis, rows["cost"].min() / 1.3, rows["cost"].max() * 1.3)
    values = rows["value"]
    label = f"{axis_label(_METRIC)} (lower is better)"
    if values.min() > 0 and values.max() / values.min() > 3:
        lowest = rows.filter(pl.col("low") > values.min() / 10)["low"].min() or values.min()
        log_axis(axes.yaxis, min(lowest, values.min()) / 1.3, values.max() * 1.6)
        label = label.replace(")", ", log scale)")
    axes.set_ylabel(label)


def _draw_points(axes: Axes, rows: pl.DataFrame, bars: float = 0.0, **style) -> None:
    # A lower end of 0 has no place on a log axis: such a bar runs out of the figure.
    bottom = axes.get_ylim()[0] / 2 if axes.get_yscale() == "log" else -np.inf
    for (predictor, variant), own in rows.group_by("predictor", "variant", maintain_order=True):
        look = look_of(predictor, variant)
        if bars:
            low = np.maximum(own["low"].to_numpy(), bottom)
            axes.vlines(own["cost"], low, own["high"], color=look.color, lw=0.9, alpha=bars)
        axes.plot(own["cost"], own["value"], look.marker, color=look.color, **style)


def _thinned(count: int) -> list[int]:
    """Choose which points of the front are listed: evenly, with both ends."""
    chosen = np.linspace(0, count - 1, min(count, _MOST_LISTED))
    return np.round(chosen).astype(int).tolist()


def _list_front(axes: Axes, front: pl.DataFrame, names: dict[str, str], unit: str) -> None:
    """Write what the numbers stand for."""
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(_MOST_LISTED, 0))
    for index, row in enumerate(front.iter_rows(named=True)):
        look = look_of(row["predictor"], row["variant"])
        told = brief_words(row["recipe"])
        models = models_name(names, row["large"], row["small"], "" if told else row["recipe"])
        axes.text(0.04, index + 0.1, f"{index + 1}", ha="right", va="top", size=6.5, weight="bold")
        axes.plot(0.09, index + 0.27, look.marker, color=look.color, mec="#222222", clip_on=False)
        method = method_name(row["predictor"], row["variant"])
        head = f"{', '.join(filter(None, (method, told)))}: {row['value']:#.2g}"
        axes.text(0.14, index + 0.1, head, va="top", size=6.5)
        foot = f"{models}, {_cost(row['cost'])} {unit}"
        axes.text(0.14, index + 0.52, foot, va="top", size=5.5, color="#555555")


def _cost(value: float) -> str:
    """Write a cost with three digits at least, and without an exponent."""
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}"


def _legend(rows: pl.DataFrame) -> Sequence[Line2D]:
    looks: dict[Look, None] = {}
    for predictor, variant in rows.select("predictor", "variant").iter_rows():
        looks[look_of(predictor, variant)] = None
    order = list(LOOKS.values())
    shown = sorted(looks, key=lambda look: order.index(look) if look in order else len(order))
    handles = [
        Line2D([], [], marker=look.marker, color=look.color, ls="none", label=look.name)
        for look in shown
    ]
    return [*handles, Line2D([], [], color="#333333", lw=0.9, label="Pareto front")]


def _title(front: pl.DataFrame) -> str:
    rows = front.select("predictor", "variant").iter_rows()
    families = Counter(in_sentence(look_of(*row).name) for row in rows)
    parts = [f"{name} ({count})" for name, count in families.most_common()]
    return f"On the Pareto front of AURC and cost: {listed(parts)}"


def _caption(
    board: Board, deployable: pl.DataFrame, controls: pl.DataFrame, front: pl.DataFrame
) -> Iterator[str]:
    yield samples_note(board)
    grey = "; grey: random deferral and noise sidekicks." if len(controls) else "."
    yield plural(len(deployable), "predictor") + grey
    yield interval_note(board)
    yield (
        "The front joins point estimates and was found on the test data itself: a step down is "
        "no claim of a difference, and its values are a little optimistic."
    )
    if len(front) > _MOST_LISTED:
        yield f"{_MOST_LISTED} of its {len(front)} points are numbered."
    if front["variant"].str.contains("_budget|_target").any():
        yield "Budgets are shares of the large model's cost, targets accuracies."
    if len(deployable) > _CROWD:
        yield "Bars of the front only."
