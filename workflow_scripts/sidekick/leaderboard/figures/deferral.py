"""What a pair gets right as more samples go to its large model."""

from collections.abc import Iterator, Sequence

import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sidekick.leaderboard.figures.look import LOOKS, plural, short_names
from sidekick.leaderboard.figures.page import (
    DOUBLE,
    SINGLE,
    Drawing,
    annotate,
    empty_figure,
    interval_note,
    new_figure,
    samples_note,
)
from sidekick.leaderboard.figures.rows import (
    Board,
    Pair,
    Predictor,
    base_recipe,
    is_pair,
    pick,
    verdicts,
)

_TITLE = "Joint accuracy against deferral ratio"
_COLUMNS = 3
_MOST_PANELS = 12
_GREY, _DARK = LOOKS["control"].color, "#444444"
# Lines to read the curves against, the curves last and so on top.
_LINES = {
    ("cascade", "oracle"): {"color": _DARK, "linestyle": (0, (1, 1)), "label": "True oracle"},
    ("cascade", "ideal"): {
        "color": _GREY,
        "linestyle": (0, (5, 1.5, 1, 1.5)),
        "label": "Ideal of Eq. 11 (not an upper bound)",
    },
    ("cascade", "random"): {"color": _GREY, "linestyle": (0, (4, 2)), "label": "Random deferral"},
}
_MARK_FIRST = {"cascade": 0, "duo_cascade": 5}


def draw(board: Board) -> Drawing:
    """Draw the deferral curves, one panel per pair."""
    if not board.pairs:
        sentence = f"Deferral needs at least two models; {board.dataset} has one."
        return empty_figure(_TITLE, sentence)
    shown = _shown(board)
    names = short_names(board.models, 24)
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = new_figure(1.85 * rows + 0.25, SINGLE if columns == 1 else DOUBLE)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    curves = board.curves.filter((pl.col("curve") == "deferral") & pl.col("y").is_finite())
    drawn = []
    for axes, pair in zip(panels.flat, shown, strict=False):
        drawn += _draw_panel(axes, board, curves, pair)
        balance = f"({100 * pair.balance:.2g} %)"
        axes.set_title(f"{names[pair.large]}\n+ {names[pair.small]} {balance}", size=6.5)
    for axes in panels.flat[len(shown) :]:
        axes.set_visible(False)
    for column in panels.T:
        lowest = max(i for i, axes in enumerate(column) if axes.get_visible())
        column[lowest].set_xlabel("Deferral ratio (%)")
        column[lowest].tick_params(labelbottom=True)
    for axes in panels[:, 0]:
        axes.set_ylabel("Joint accuracy (%)")
    legend = [Line2D([], [], **style) for style in reversed(_styles(board).values())]
    return annotate(figure, _title(board), _caption(board, shown), legend, drawn)


def _shown(board: Board) -> Sequence[Pair]:
    if len(board.pairs) <= _MOST_PANELS:
        return board.pairs
    return [pair for pair in board.pairs if pair.large == board.models[0]][:_MOST_PANELS]


def _styles(board: Board) -> dict[tuple[str, str], dict]:
    """Say how the curves are drawn, by predictor and variant; the last are on top."""
    # Generated answers cannot be combined.
    families = ("cascade",) if board.is_generated else ("cascade", "duo_cascade")
    return _LINES | {
        (family, board.gate): {
            "color": LOOKS[family].color,
            "marker": LOOKS[family].marker,
            "label": LOOKS[family].name,
        }
        for family in families
    }


def _draw_panel(
    axes: Axes, board: Board, curves: pl.DataFrame, pair: Pair
) -> Iterator[pl.DataFrame]:
    """Draw the curves of a pair; give their points."""
    for (predictor, variant), style in _styles(board).items():
        points = pick(curves, Predictor(predictor, variant, pair.large, pair.small)).sort("x")
        x, y = 100 * points["x"].to_numpy(), 100 * points["y"].to_numpy()
        if variant == board.gate:
            low, high = (100 * points[end].to_numpy() for end in ("low", "high"))
            axes.fill_between(x, low, high, color=style["color"], alpha=0.18, linewidth=0)
            style = style | {"markevery": (_MARK_FIRST[predictor], 10), "markersize": 3.5}
        axes.plot(x, y, **style)
        yield points
    axes.set_xlim(0, 100)
    axes.set_xticks(range(0, 101, 25))


def _title(board: Board) -> str:
    # Against random deferral, what a gate adds; of two answers to the same samples, which is more.
    counted = {"cascade": "deferral_gain_area", "duo_cascade": "deferral_area"}
    usual = (pl.col("variant") == board.gate) & is_pair() & base_recipe()
    found = {
        family: verdicts(board.compared(area).filter(usual & (pl.col("predictor") == family)))
        for family, area in counted.items()
    }
    worse = {
        family: f" (worse in {own.count('worse')})" if "worse" in own else ""
        for family, own in found.items()
    }
    title = (
        f"Deferral by confidence beats random in {found['cascade'].count('better')} of "
        f"{plural(len(board.pairs), 'pair')}{worse['cascade']}"
    )
    if board.is_generated:
        return title
    return (
        f"{title}; duos add to it in {found['duo_cascade'].count('better')}{worse['duo_cascade']}"
    )


def _caption(board: Board, shown: Sequence[Pair]) -> Iterator[str]:
    yield samples_note(board)
    yield interval_note(board, "Bands (pointwise)")
    if board.is_generated:
        yield (
            "Higher is better; in brackets the FLOPs balance. The title counts pairs where the "
            "area between the cascade's curve and random deferral has an interval that excludes "
            "0. The gate is minus the mean entropy of the small model's tokens."
        )
    else:
        yield (
            "Higher is better; in brackets the FLOPs balance. The title counts pairs where the "
            "area between the cascade's curve and random deferral, and that between the duo "
            "cascade's and the cascade's, has an interval that excludes 0. Duo cascade: deferred "
            "samples are answered by the duo, at the cascade's cost."
        )
    if len(shown) < len(board.pairs):
        yield (
            f"The {len(shown)} smallest sidekicks of the largest model; "
            f"the board has {plural(len(board.pairs), 'pair')}."
        )
