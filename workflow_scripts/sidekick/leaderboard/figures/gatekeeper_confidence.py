"""How well the small model's confidence tells its right answers from its wrong ones."""

from collections.abc import Iterator, Sequence
from itertools import product

import matplotlib
import polars as pl
from matplotlib.axes import Axes
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sidekick.leaderboard.figures.axes import log_axis
from sidekick.leaderboard.figures.look import listed, plural
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
    CHOSEN_LOOK,
    CONTROL_LOOK,
    MOST_SWEEPS,
    START_LOOK,
    Sweep,
    against_control,
    against_untuned,
    collapse_note,
    sweep_head,
    sweep_name,
    sweeps,
)
from sidekick.leaderboard.recipe_words import recipe_words
from sidekick.recipe_names import CE_CONTROL, GATEKEEPER_CHOSEN

_TITLE = "Confidence of right and wrong answers"
_COLUMNS = 4
_CURVES = ("roc", "density_correct", "density_wrong")
_RIGHT, _WRONG = "#0173b2", "#d55e00"
# Below this the log axis of the densities ends.
_LEAST = 0.01


def draw(board: Board) -> Drawing:
    """Draw ROC curves of all recipes, and the densities of their confidence."""
    found = sweeps(board)
    if not found:
        return empty_figure(_TITLE, f"No model of {board.dataset} is gatekept.")
    shown = found[:MOST_SWEEPS]
    heights = [1.35 * _rows(sweep) + 0.3 for sweep in shown]
    figure = new_figure(sum(heights))
    drawn: list[pl.DataFrame] = []
    blocks = figure.add_gridspec(len(shown), 1, height_ratios=heights)
    for index, sweep in enumerate(shown):
        roc, *densities = _axes(figure, blocks[index], sweep)
        _draw_roc(roc, board, sweep)
        drawn += [_points(board, sweep, *one) for one in product(sweep.recipes, _CURVES)]
        if len(found) > 1:
            roc.set_title(f"{sweep_head(board, sweep)}\n{roc.get_title(loc='left')}")
        _draw_densities(densities, board, sweep)
    legend = [
        *_roc_legend(shown),
        Patch(color=_RIGHT, alpha=0.6, label="Density: right answers"),
        Patch(color=_WRONG, alpha=0.6, label="Density: wrong answers"),
    ]
    return annotate(figure, _title(board, found), _caption(board, found), legend, drawn)


def _rows(sweep: Sweep) -> int:
    return max(2, -(-len(sweep.recipes) // (_COLUMNS - 1)))


def _axes(figure, block: SubplotSpec, sweep: Sweep) -> Iterator[Axes]:
    """Give the axes of the ROC curves, and small ones for the densities."""
    grid = block.subgridspec(_rows(sweep), _COLUMNS, width_ratios=[1.9, 1, 1, 1])
    yield figure.add_subplot(grid[:, 0])
    first = None
    for index in range(len(sweep.recipes)):
        place = grid[index // (_COLUMNS - 1), 1 + index % (_COLUMNS - 1)]
        axes = figure.add_subplot(place, sharex=first, sharey=first)
        first = first or axes
        yield axes


def _color(sweep: Sweep, recipe: str) -> str:
    others = {sweep.start: START_LOOK, CE_CONTROL: CONTROL_LOOK, GATEKEEPER_CHOSEN: CHOSEN_LOOK}
    if recipe in others:
        return others[recipe].color
    # From dark to light with alpha; not so light that it fades on white.
    return matplotlib.colors.to_hex(matplotlib.colormaps["viridis"](0.85 * sweep.alphas[recipe]))


def _style(sweep: Sweep, recipe: str) -> dict:
    # The chosen alpha's curve is close to another one's.
    line = {CE_CONTROL: (0, (4, 2)), GATEKEEPER_CHOSEN: (0, (1, 1))}.get(recipe, "-")
    return {"color": _color(sweep, recipe), "linestyle": line, "linewidth": 1}


def _points(board: Board, sweep: Sweep, recipe: str, curve: str) -> pl.DataFrame:
    points = board.curves.filter((pl.col("curve") == curve) & pl.col("y").is_finite())
    return sweep.alone(points, recipe).sort("x")


def _draw_roc(axes: Axes, board: Board, sweep: Sweep) -> None:
    axes.plot([0, 100], [0, 100], color="#9a9a9a", linewidth=0.8, linestyle=(0, (1, 1.5)))
    for recipe in sweep.recipes:
        points = _points(board, sweep, recipe, "roc")
        axes.plot(100 * points["x"], 100 * points["y"], **_style(sweep, recipe))
    axes.set(xlim=(0, 100), ylim=(0, 101), title="ROC: upper left is better")
    axes.set_xticks(range(0, 101, 25))
    axes.set_yticks(range(0, 101, 25))
    axes.set(xlabel="Wrong answers kept (%)", ylabel="Right answers kept (%)")


def _draw_densities(panels: Sequence[Axes], board: Board, sweep: Sweep) -> None:
    rows = board.rows("auroc")
    for axes, recipe in zip(panels, sweep.recipes, strict=True):
        for kind, color in (("correct", _RIGHT), ("wrong", _WRONG)):
            points = _points(board, sweep, recipe, f"density_{kind}")
            x, y = 100 * points["x"].to_numpy(), points["y"].to_numpy().clip(_LEAST)
            axes.fill_between(x, _LEAST, y, color=color, alpha=0.25, linewidth=0)
            axes.plot(x, y, color=color, linewidth=0.9)
        name = "Untuned" if recipe == sweep.start else recipe_words(recipe)
        title = name[0].upper() + name[1:]
        for row in sweep.alone(rows, recipe).iter_rows(named=True):
            value, low, high = (100 * row[end] for end in ("value", "low", "high"))
            title += f"\nAUROC {value:.1f} [{low:.1f}, {high:.1f}]"
        axes.set_title(title, size=6)
        axes.set_xlim(0, 100)
        axes.set_xticks((0, 50, 100))
    highest = max(axes.dataLim.y1 for axes in panels)
    log_axis(panels[0].yaxis, _LEAST, 2 * max(highest, 1.0))
    columns = _COLUMNS - 1
    for index, axes in enumerate(panels):
        axes.tick_params(labelleft=index % columns == 0, which="both")
        if index % columns == 0:
            axes.set_ylabel("Density (log scale)", size=6)
        is_lowest = index + columns >= len(panels)
        axes.tick_params(labelbottom=is_lowest)
        if is_lowest:
            axes.set_xlabel("Confidence (%)", size=6)


def _roc_legend(shown: Sequence[Sweep]) -> Iterator[Line2D]:
    styles = {}
    for sweep in shown:
        for recipe in sweep.recipes:
            name = "untuned" if recipe == sweep.start else recipe_words(recipe)
            styles.setdefault(f"ROC: {name}", _style(sweep, recipe))
    for name, style in styles.items():
        yield Line2D([], [], label=name, **style)


def _title(board: Board, found: Sequence[Sweep]) -> str:
    control, untuned = (
        judge(board, found, "auroc") for judge in (against_control, against_untuned)
    )
    told = [
        f"{name} in {words.count('better')} of {plural(len(words), 'alpha')}"
        + (f" (worse in {words.count('worse')})" if "worse" in words else "")
        for name, words in (("the equal-steps control", control), ("the untuned model", untuned))
    ]
    return f"Gatekeeper's AUROC of right against wrong answers beats {listed(told)}"


def _caption(board: Board, found: Sequence[Sweep]) -> Iterator[str]:
    yield samples_note(board)
    yield interval_note(board, "Brackets")
    yield (
        f"{listed(sweep_name(board, sweep) for sweep in found[:MOST_SWEEPS])}; confidence is the "
        "small model's largest probability. Curves are means over seeds and have no intervals; "
        "the title counts paired differences whose interval excludes 0, not corrected for their "
        "number. Densities: Gaussian kernel, mass reflected at 0 and 1; s_o is the area both "
        "share."
    )
    yield collapse_note(board, found)
    if len(found) > MOST_SWEEPS:
        yield f"The first {MOST_SWEEPS} of {len(found)} sweeps."
