"""What a pair's cascades get right for how much compute: all kinds of them in one picture."""

from collections.abc import Iterator
from typing import NamedTuple

import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sidekick.leaderboard.figures.look import LOOKS, Look, short_names
from sidekick.leaderboard.figures.page import (
    Drawing,
    annotate,
    empty_figure,
    interval_note,
    new_figure,
    samples_note,
)
from sidekick.leaderboard.figures.rows import Board, Predictor, pick, pick_made, verdicts
from sidekick.leaderboard.figures.sweeps import (
    ALPHA_LOOK,
    CHOSEN_LOOK,
    CONTROL_LOOK,
    Sweep,
    choice_note,
    sweeps,
)
from sidekick.recipe_names import BASE_RECIPES, CE_CONTROL, GATEKEEPER_CHOSEN

_TITLE = "Joint accuracy against expected cost"
_CLAIMED = "accuracy_budget_50"
_WORDS = {"better": "gain", "worse": "loss", "none": "no clear difference"}
_LEARNED = Look("#029e73", "X", "Cascade, learned gate")
_RANDOM = {"color": "#9a9a9a", "linestyle": (0, (1, 1.5)), "label": "Random deferral"}


class Curve(NamedTuple):
    """A deferral curve and how it is drawn."""

    predictor: Predictor
    recipe: str
    style: dict
    has_band: bool


def draw(board: Board) -> Drawing:
    """Draw accuracy against expected cost for one pair."""
    if board.main_pair is None:
        sentence = f"A cascade needs at least two models; {board.dataset} has one."
        return empty_figure(_TITLE, sentence)
    sweep = next(iter(sweeps(board)), None)
    large, small = (sweep or board.main_pair)[:2]
    costs = [_cost(board, model) for model in (small, large)]
    unit, factor = ("MMACs", 1e3) if costs[1] < 0.1 else ("GMACs", 1.0)
    figure = new_figure(3.3)
    axes = figure.subplots()
    wanted = [(curve, _points(board, curve)) for curve in _curves(board, large, small, sweep)]
    shown = [(curve, points) for curve, points in wanted if len(points)]
    for curve, points in shown:
        _draw_curve(axes, curve, points, costs, factor)
    alone = _alone(board, large, small)
    marks = list(_draw_marks(axes, alone, factor))
    axes.set_xlabel(f"Expected cost per sample ({unit})")
    axes.set_ylabel("Joint accuracy (%)")
    seen = {}
    for curve, _ in shown:
        seen.setdefault(curve.style["label"], curve.style)
    lines = [Line2D([], [], **{**style, "label": name}) for name, style in seen.items()]
    names = short_names(board.models, 24)
    title = _title(board, large, small, sweep, names[large])
    return annotate(
        figure,
        title,
        _caption(board, names[large], names[small], sweep),
        [*lines, *marks],
        [*(points for _, points in shown), *alone.values()],
    )


def _cost(board: Board, model: str) -> float:
    single = board.test.filter((pl.col("predictor") == "single") & (pl.col("large") == model))
    return single["gmacs"].max()


def _curves(board: Board, large: str, small: str, sweep: Sweep | None) -> Iterator[Curve]:
    def base(family: str, variant: str, look: Look, mark: int, band: bool = False) -> Curve:
        return Curve(Predictor(family, variant, large, small), "", _line(look, mark), band)

    random = Predictor("cascade", "random", large, small)
    yield Curve(random, "", _RANDOM, False)
    if sweep:
        yield from _sweep_curves(sweep)
    yield base("cascade", "learned", _LEARNED, 3)
    # One band: those of the others are alike and would hide each other.
    yield base("cascade", board.gate, LOOKS["cascade"], 0, band=True)
    yield base("duo_cascade", board.gate, LOOKS["duo_cascade"], 6)


def _sweep_curves(sweep: Sweep) -> Iterator[Curve]:
    """Give the control's curve, and the chosen alpha's or, where none was chosen, each one's."""
    predictor = Predictor("cascade", sweep.gate, sweep.large, sweep.small)

    def curve(recipe: str, style: dict) -> Curve:
        return Curve(predictor, f"{sweep.base}+{recipe}", style, False)

    yield curve(CE_CONTROL, _line(CONTROL_LOOK, 9) | {"linestyle": (0, (4, 2))})
    if sweep.has_chosen:
        yield curve(GATEKEEPER_CHOSEN, _line(CHOSEN_LOOK, 2))
        return
    for recipe in sweep.alphas:
        style = {"color": ALPHA_LOOK.color, "linewidth": 0.6, "label": "Gatekeeper, each α"}
        yield curve(recipe, style)


def _line(look: Look, first: int) -> dict:
    # Markers start at different points, so that none hides another.
    return {
        "color": look.color,
        "marker": look.marker,
        "markersize": 3.5,
        "markevery": (first, 10),
        "linewidth": 1,
        "label": look.name,
    }


def _points(board: Board, curve: Curve) -> pl.DataFrame:
    points = board.curves.filter((pl.col("curve") == "deferral") & pl.col("y").is_finite())
    if curve.recipe:
        return pick_made(points, curve.predictor, curve.recipe).sort("x")
    return pick(points, curve.predictor).sort("x")


def _draw_curve(
    axes: Axes, curve: Curve, points: pl.DataFrame, costs: list[float], factor: float
) -> None:
    gmacs = factor * (costs[0] + points["x"].to_numpy() * costs[1])
    y, low, high = (100 * points[name].to_numpy() for name in ("y", "low", "high"))
    if curve.has_band:
        axes.fill_between(gmacs, low, high, color=curve.style["color"], alpha=0.18, linewidth=0)
    axes.plot(gmacs, y, **curve.style)


def _alone(board: Board, large: str, small: str) -> dict[str, pl.DataFrame]:
    """Give the rows of both models alone and of their duo, by what the legend calls them."""
    rows = board.rows("accuracy")
    return {
        "Small model alone": pick(rows, Predictor("single", board.plain, small)),
        "Large model alone": pick(rows, Predictor("single", board.plain, large)),
        "Duo": pick(rows, Predictor("duo", "weighted", large, small)),
    }


def _draw_marks(axes: Axes, alone: dict[str, pl.DataFrame], factor: float) -> Iterator[Line2D]:
    """Draw both models alone and their duo, with bars; give what the legend needs."""
    markers = {"Small model alone": "o", "Large model alone": "s", "Duo": LOOKS["duo"].marker}
    for name, rows in alone.items():
        color = LOOKS["duo"].color if name == "Duo" else "#222222"
        style = {"color": color, "marker": markers[name], "markersize": 5.5, "linestyle": "none"}
        style |= {"markerfacecolor": "white", "zorder": 4}
        for row in rows.iter_rows(named=True):
            x = factor * row["gmacs"]
            axes.vlines(x, 100 * row["low"], 100 * row["high"], color=color, linewidth=1, zorder=3)
            axes.plot(x, 100 * row["value"], **style)
            yield Line2D([], [], label=name, **style)


def _title(board: Board, large: str, small: str, sweep: Sweep | None, name: str) -> str:
    rows = board.compared(_CLAIMED)
    claims = [
        (claim, verdicts(pick(rows, Predictor(family, variant, large, small))))
        for family, variant, claim in (
            ("cascade", board.gate, "cascade over random deferral"),
            ("duo_cascade", board.gate, "duo cascade over cascade"),
            ("cascade", "learned", "learned gate over max softmax"),
        )
    ]
    if sweep and sweep.has_chosen:
        gatekept = sweep.paired(rows, GATEKEEPER_CHOSEN)
        claims.append(("Gatekeeper over its equal-steps control", verdicts(gatekept)))
    elif sweep:
        claims += [
            (f"Gatekeeper α {alpha:g} over its control", verdicts(sweep.paired(rows, recipe)))
            for recipe, alpha in sweep.alphas.items()
        ]
    parts = [
        f"{word}: {', '.join(own)}"
        for kind, word in _WORDS.items()
        if (own := [claim for claim, found in claims if kind in found])
    ]
    return f"At half the cost of {name}, {'; '.join(parts)}" if parts else _TITLE


def _caption(board: Board, large: str, small: str, sweep: Sweep | None) -> Iterator[str]:
    yield samples_note(board)
    yield interval_note(board, "Bars, and the band of the cascade (pointwise)")
    why = "the gatekept model" if sweep else "the largest model and its smallest sidekick"
    yield (
        f"{small} → {large}: {why}. Up and left is better. A cascade always runs the small model "
        "and adds the large one for what it defers, so that deferring all costs both. The title is "
        "about paired differences in accuracy, by their intervals."
    )
    if not board.is_generated:
        yield ("The duo runs both on everything; the duo cascade answers deferred samples with it.")
    if sweep:
        yield choice_note(board, [sweep])
    if sweep and sweep.start not in BASE_RECIPES:
        yield "The other cascades are those of the small model as fine-tuned."
