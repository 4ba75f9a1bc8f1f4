"""The deferral curves of Gatekeeper's alphas, beside those of its controls."""

from collections.abc import Iterator, Sequence

import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sidekick.leaderboard.figures.look import Look, plural
from sidekick.leaderboard.figures.page import (
    Drawing,
    annotate,
    empty_figure,
    interval_note,
    new_figure,
    samples_note,
)
from sidekick.leaderboard.figures.rows import Board, verdicts
from sidekick.leaderboard.figures.sweeps import (
    ALPHA_LOOK,
    CHOSEN_LOOK,
    CONTROL_LOOK,
    START_LOOK,
    Sweep,
    against_control,
    against_untuned,
    choice_note,
    collapse_note,
    collapsed,
    sweep_head,
    sweep_name,
    sweeps,
)
from sidekick.leaderboard.recipe_words import recipe_words
from sidekick.recipe_names import CE_CONTROL, GATEKEEPER_CHOSEN

_TITLE = "Deferral curves of Gatekeeper"
_AREA = "deferral_area"
_COLUMNS = 3
_MOST_PANELS = 12
_RANDOM = {"color": "#9a9a9a", "linestyle": (0, (1, 1.5)), "linewidth": 1}
_WORDS = {"better": "beats", "worse": "is worse than", "none": "does not clearly differ from"}
_LINES = {"start": "-", "control": (0, (4, 2)), "own": "-"}


def draw(board: Board) -> Drawing:
    """Draw the deferral curve of every alpha, one panel each, with both controls."""
    found = sweeps(board)
    if not found:
        return empty_figure(_TITLE, f"No model of {board.dataset} is gatekept.")
    every = [(sweep, recipe) for sweep in found for recipe in sweep.recipes[2:]]
    shown = every[:_MOST_PANELS]
    columns = min(_COLUMNS if len(shown) != 4 else 2, len(shown))
    rows = -(-len(shown) // columns)
    figure = new_figure(2.0 * rows + 0.2)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    curves = board.curves.filter((pl.col("curve") == "deferral") & pl.col("y").is_finite())
    areas = board.compared(_AREA)
    drawn = []
    for axes, (sweep, recipe) in zip(panels.flat, shown, strict=False):
        drawn += _draw_panel(axes, curves, sweep, recipe)
        head = f"{sweep_head(board, sweep)}\n" if len(found) > 1 else ""
        axes.set_title(f"{head}{recipe_words(recipe)}\n{_change(areas, sweep, recipe)}", size=6.5)
    _set_bottom(panels[0, 0], board, curves, shown)
    for axes in panels.flat[len(shown) :]:
        axes.set_visible(False)
    for column in panels.T:
        lowest = max(i for i, axes in enumerate(column) if axes.get_visible())
        column[lowest].set_xlabel("Deferral ratio (%)")
        column[lowest].tick_params(labelbottom=True)
    for axes in panels[:, 0]:
        axes.set_ylabel("Joint accuracy (%)")
    caption = _caption(board, found, len(shown), len(every))
    return annotate(figure, _title(board, found), caption, _legend(found), drawn)


def _draw_panel(
    axes: Axes, curves: pl.DataFrame, sweep: Sweep, recipe: str
) -> Iterator[pl.DataFrame]:
    """Draw an alpha's curve and what it is read against; give the points."""
    # Random deferral joins the accuracies of this recipe's model and of the large one.
    random = sweep.paired(curves, recipe, "random").sort("x")
    axes.plot(100 * random["x"], 100 * random["y"], **_RANDOM)
    yield random
    own = CHOSEN_LOOK if recipe == GATEKEEPER_CHOSEN else ALPHA_LOOK
    for kind, name, look in (
        ("start", sweep.start, START_LOOK),
        ("control", CE_CONTROL, CONTROL_LOOK),
        ("own", recipe, own),
    ):
        points = sweep.paired(curves, name).sort("x")
        x, y, low, high = (100 * points[column].to_numpy() for column in ("x", "y", "low", "high"))
        # Bands of all three would hide each other and compare nothing: differences are paired.
        if kind == "own":
            axes.fill_between(x, low, high, color=look.color, alpha=0.16, linewidth=0)
        axes.plot(x, y, color=look.color, linestyle=_LINES[kind], linewidth=1)
        yield points
    axes.set_xlim(0, 100)
    axes.set_xticks(range(0, 101, 25))


def _set_bottom(
    axes: Axes, board: Board, curves: pl.DataFrame, shown: Sequence[tuple[Sweep, str]]
) -> None:
    """Let the curves of collapsed models leave the frame, lest they flatten all others."""
    kept = [
        sweep.paired(curves, name)["low"].min()
        for sweep, recipe in shown
        for name in (sweep.start, CE_CONTROL, recipe)
        if name not in collapsed(board, sweep)
    ]
    lowest = min((value for value in kept if value is not None), default=None)
    if lowest is not None and len(kept) < 3 * len(shown):
        top = axes.get_ylim()[1]
        axes.set_ylim(100 * lowest - 0.05 * (top - 100 * lowest), top)


def _change(areas: pl.DataFrame, sweep: Sweep, recipe: str) -> str:
    """Say how an alpha's area differs from the control's."""
    rows = sweep.paired(areas, recipe)
    if rows.is_empty():
        return "area: no difference known"
    told = [100 * rows[name][0] for name in ("delta", "delta_low", "delta_high")]
    value, low, high = (f"{one:+.2f}".replace("-", "\N{MINUS SIGN}") for one in told)
    return f"area {value} [{low}, {high}] points"


def _legend(found: Sequence[Sweep]) -> Sequence[Line2D]:
    looks: list[tuple[Look, str]] = [
        (START_LOOK, "start"),
        (CONTROL_LOOK, "control"),
        (ALPHA_LOOK, "own"),
    ]
    if any(sweep.has_chosen for sweep in found):
        looks.append((CHOSEN_LOOK, "own"))
    lines = [
        Line2D([], [], color=look.color, linestyle=_LINES[kind], label=look.name)
        for look, kind in looks
    ]
    return [*lines, Line2D([], [], label="Random deferral", **_RANDOM)]


def _title(board: Board, found: Sequence[Sweep]) -> str:
    control, untuned = (judge(board, found, _AREA) for judge in (against_control, against_untuned))
    chosen = verdicts(
        pl.concat(sweep.paired(board.compared(_AREA), GATEKEEPER_CHOSEN) for sweep in found)
    )
    title = f"Gatekeeper's deferral area beats the equal-steps control in {_count(control)}"
    title += f", the untuned model in {_count(untuned)}"
    if len(chosen) == 1:
        return f"{title}; the α chosen on val {_WORDS[chosen[0]]} the control"
    return f"{title}; the α chosen on val beats the control in {_count(chosen, 'sweep')}"


def _count(found: Sequence[str], noun: str = "alpha") -> str:
    worse = f" (worse in {found.count('worse')})" if "worse" in found else ""
    return f"{found.count('better')} of {plural(len(found), noun)}{worse}"


def _caption(board: Board, found: Sequence[Sweep], shown: int, count: int) -> Iterator[str]:
    yield samples_note(board)
    yield interval_note(board, "Bands (pointwise, of the panel's own curve) and brackets")
    if len(found) == 1:
        yield f"{sweep_name(board, found[0])}."
    yield (
        "Higher is better. Above each panel: the paired difference to the control in the area "
        "under the curve; the title counts those whose interval excludes 0, not corrected for "
        "their number. Every curve ends at the large model's accuracy. Random: deferral by chance "
        "from the panel's own small model."
    )
    yield choice_note(board, found)
    yield collapse_note(board, found)
    if shown < count:
        yield f"The first {shown} of {count} curves."
