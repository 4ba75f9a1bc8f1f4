"""What Gatekeeper's alpha does to the small model alone, and to its cascade."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sidekick.leaderboard.figures.axes import place_labels, plain_number
from sidekick.leaderboard.figures.look import Look, listed, plural
from sidekick.leaderboard.figures.page import (
    Drawing,
    annotate,
    empty_figure,
    interval_note,
    new_figure,
    samples_note,
)
from sidekick.leaderboard.figures.rows import Board
from sidekick.leaderboard.figures.sweeps import (
    ALPHA_LOOK,
    CHOSEN_LOOK,
    CONTROL_LOOK,
    MOST_SWEEPS,
    START_LOOK,
    Sweep,
    against_control,
    choice_note,
    collapse_note,
    collapsed,
    sweep_head,
    sweep_name,
    sweeps,
)
from sidekick.recipe_names import CE_CONTROL, GATEKEEPER_CHOSEN

_TITLE = "Gatekeeper against alpha"
_COLUMNS = 3
_RATIOS = (0.25, 0.5)
# To the right of every alpha.
_CHOSEN_PLACE = 1.12
_CLAIMS = {
    "overlap": "overlap",
    "auroc": "AUROC",
    "s_d": "s_d",
    "accuracy": "accuracy",
    "deferral_area": "deferral area",
}
# A value and the ends of its interval.
Found = tuple[float, float, float]


def draw(board: Board) -> Drawing:
    """Draw s_o, s_d, accuracy and joint accuracy against alpha, and their trade-off."""
    found = sweeps(board)
    if not found:
        return empty_figure(_TITLE, f"No model of {board.dataset} is gatekept.")
    shown = found[:MOST_SWEEPS]
    figure = new_figure(3.5 * len(shown))
    panels = figure.subplots(2 * len(shown), _COLUMNS, squeeze=False)
    labelled, shown_values = [], []
    for sweep, block in zip(shown, zip(panels[::2], panels[1::2], strict=True), strict=True):
        axes = [one for row in block for one in row]
        for own, (name, value) in zip(axes, _quantities(board, sweep).items(), strict=False):
            _draw_panel(own, board, sweep, value)
            own.set_title(name)
            shown_values.append(_table(sweep, name, value))
        if len(found) > 1:
            name = sweep_head(board, sweep)
            axes[0].set_title(f"{name}\n{axes[0].get_title(loc='left')}")
        labelled.append((axes[-1], *_draw_tradeoff(axes[-1], board, sweep)))
    drawing = annotate(
        figure, _title(board, found), _caption(board, found), _legend(found), shown_values
    )
    # Labels go last, when the axes have their final size.
    for axes, points, labels in labelled:
        place_labels(axes, points, labels, size=6)
    return drawing


def _table(sweep: Sweep, panel: str, quantity: Callable[[str], Found]) -> pl.DataFrame:
    """Give what a panel shows: values of one quantity by recipe, in the panel's unit."""
    names = {"panel": panel, "large": sweep.large, "small": sweep.small}
    return pl.DataFrame(
        [
            {**names, "recipe": recipe, "alpha": sweep.alphas.get(recipe)}
            | dict(zip(_NAMES, quantity(recipe), strict=True))
            for recipe in sweep.recipes
        ],
        schema_overrides={"alpha": pl.Float64},
    )


def _quantities(board: Board, sweep: Sweep) -> dict[str, Callable[[str], Found]]:
    """Give what the panels show: from a recipe to a value with its interval."""

    def alone(metric: str, factor: float) -> Callable[[str], Found]:
        rows = board.rows(metric)
        return lambda recipe: _value(sweep.alone(rows, recipe), factor)

    def joint(ratio: float) -> Callable[[str], Found]:
        curves = board.curves.filter((pl.col("curve") == "deferral") & pl.col("y").is_finite())
        return lambda recipe: _on_curve(sweep.paired(curves, recipe), ratio)

    if board.is_generated:
        # The gate is no probability, whose density over [0, 1] could overlap.
        first = {"AUROC: higher is better": alone("auroc", 1)}
    else:
        first = {"Overlap $s_o$: lower is better": alone("overlap", 1)}
    return {
        **first,
        "Deferral $s_d$: higher is better": _s_d(board, sweep),
        "Accuracy of the small model (%)": alone("accuracy", 100),
        **{f"Joint accuracy, {100 * r:g} % deferred (%)": joint(r) for r in _RATIOS},
    }


def _s_d(board: Board, sweep: Sweep) -> Callable[[str], Found]:
    rows = board.rows("s_d")
    return lambda recipe: _value(sweep.paired(rows, recipe), 1)


def _value(rows: pl.DataFrame, factor: float) -> Found:
    if rows.is_empty():
        return math.nan, math.nan, math.nan
    value, low, high = (factor * rows[name].fill_null(math.nan)[0] for name in _NAMES)
    return value, low, high


_NAMES = ("value", "low", "high")


def _on_curve(points: pl.DataFrame, ratio: float) -> Found:
    """Read a deferral curve between its points."""
    points = points.sort("x")
    if points.is_empty():
        return math.nan, math.nan, math.nan
    x, *ends = (points[name].fill_null(math.nan).to_numpy() for name in ("x", "y", "low", "high"))
    value, low, high = (100 * float(np.interp(ratio, x, end)) for end in ends)
    return value, low, high


def _draw_panel(axes: Axes, board: Board, sweep: Sweep, quantity: Callable[[str], Found]) -> None:
    for recipe, look, line in (
        (sweep.start, START_LOOK, "-"),
        (CE_CONTROL, CONTROL_LOOK, (0, (4, 2))),
    ):
        value, low, high = quantity(recipe)
        axes.axhspan(low, high, color=look.color, alpha=0.14, linewidth=0)
        axes.axhline(value, color=look.color, linestyle=line)
    broken = collapsed(board, sweep)
    places = {**sweep.alphas} | ({GATEKEEPER_CHOSEN: _CHOSEN_PLACE} if sweep.has_chosen else {})
    points = {recipe: quantity(recipe) for recipe in places}
    known = [recipe for recipe in sweep.alphas if math.isfinite(points[recipe][0])]
    line = [[places[r] for r in known], [points[r][0] for r in known]]
    axes.plot(*line, color=ALPHA_LOOK.color, linewidth=0.8)
    for recipe, (value, low, high) in points.items():
        look = CHOSEN_LOOK if recipe == GATEKEEPER_CHOSEN else ALPHA_LOOK
        face = "white" if recipe in broken else look.color
        axes.vlines(places[recipe], low, high, color=look.color, linewidth=1)
        axes.plot(places[recipe], value, **_marker(look) | {"markerfacecolor": face})
    labels = [plain_number(alpha) for alpha in sweep.alphas.values()]
    ticks = list(sweep.alphas.values())
    if sweep.has_chosen:
        ticks, labels = [*ticks, _CHOSEN_PLACE], [*labels, "chosen"]
    axes.set_xticks(ticks, labels)
    axes.set_xlim(0, _CHOSEN_PLACE + 0.12 if sweep.has_chosen else 1)
    axes.set_xlabel("α")
    if not any(math.isfinite(value) for value, _, _ in points.values()):
        axes.text(0.5, 0.5, "undefined", transform=axes.transAxes, ha="center", va="center")


def _marker(look: Look) -> dict:
    size = 6 if look is CHOSEN_LOOK else 3.8
    return {"marker": look.marker, "color": look.color, "linestyle": "none", "markersize": size}


def _draw_tradeoff(
    axes: Axes, board: Board, sweep: Sweep
) -> tuple[list[tuple[float, float]], list[str]]:
    """Draw accuracy against s_d; give the points, and names for those of alphas, the first."""
    accuracy = board.rows("accuracy")
    s_d = _s_d(board, sweep)
    broken = collapsed(board, sweep)
    points, labels = [], []
    others = [recipe for recipe in sweep.recipes if recipe not in sweep.alphas]
    for recipe in [*sweep.alphas, *others]:
        x, *x_ends = _value(sweep.alone(accuracy, recipe), 100)
        y, *y_ends = s_d(recipe)
        if not (math.isfinite(x) and math.isfinite(y)):
            continue
        look = _look(sweep, recipe)
        axes.hlines(y, *x_ends, color=look.color, linewidth=0.8, alpha=0.5)
        axes.vlines(x, *y_ends, color=look.color, linewidth=0.8, alpha=0.5)
        face = "white" if recipe in broken else look.color
        axes.plot(x, y, zorder=3, **_marker(look) | {"markerfacecolor": face})
        points.append((x, y))
        if recipe in sweep.alphas:
            labels.append(plain_number(sweep.alphas[recipe]))
    axes.set(xlabel="Accuracy of the small model (%)", title="Trade-off: upper right is better")
    axes.set_ylabel("Deferral $s_d$")
    if not points:
        axes.text(0.5, 0.5, "$s_d$ undefined", transform=axes.transAxes, ha="center", va="center")
    return points, labels


def _look(sweep: Sweep, recipe: str) -> Look:
    others = {sweep.start: START_LOOK, CE_CONTROL: CONTROL_LOOK, GATEKEEPER_CHOSEN: CHOSEN_LOOK}
    return others.get(recipe, ALPHA_LOOK)


def _legend(found: Sequence[Sweep]) -> Sequence[Line2D]:
    looks = [START_LOOK, CONTROL_LOOK, ALPHA_LOOK]
    if any(sweep.has_chosen for sweep in found):
        looks.append(CHOSEN_LOOK)
    return [Line2D([], [], label=look.name, **_marker(look)) for look in looks]


def _title(board: Board, found: Sequence[Sweep]) -> str:
    count = sum(len(sweep.alphas) for sweep in found)
    told = []
    for metric, word in _CLAIMS.items():
        own = against_control(board, found, metric)
        if own:
            worse = f" ({own.count('worse')} worse)" if "worse" in own else ""
            # Non-breaking spaces: a count stays with its word.
            told.append(f"{word} {own.count('better')}{worse}".replace(" ", "\N{NO-BREAK SPACE}"))
    if not told:
        return f"{_TITLE}: nothing to compare with the control"
    return f"Of {plural(count, 'alpha')}, better than the equal-steps control: {', '.join(told)}"


def _caption(board: Board, found: Sequence[Sweep]) -> Iterator[str]:
    yield samples_note(board)
    yield interval_note(board, "Bars and bands")
    yield (
        f"{listed(sweep_name(board, sweep) for sweep in found[:MOST_SWEEPS])}. The title counts "
        "paired differences whose interval excludes 0, not corrected for their number; bars that "
        "overlap are no verdict. s_d is undefined where the two models' accuracies do not "
        "differ, and rewards a worse small model, which the deferral area does not."
    )
    yield choice_note(board, found)
    yield collapse_note(board, found)
    if len(found) > MOST_SWEEPS:
        yield f"The first {MOST_SWEEPS} of {len(found)} sweeps."
