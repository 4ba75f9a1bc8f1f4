"""What a budget of compute buys: sidekicks that were chosen for it on `val`."""

from collections.abc import Iterator, Sequence

import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sidekick.leaderboard.budgets import best_choices
from sidekick.leaderboard.figures.look import change_unit, look_of, metric_word, plural, short_names
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
from sidekick.leaderboard.figures.rows import Board, base_recipe, improvements, verdicts

_METRICS = ("nll", "aurc")
_MOST_COLUMNS = 3
_TITLE = "What a budget of compute buys"
_NAMES = ["large", "small", "variant"]
_CHOSEN = {"color": look_of("duo").color, "marker": "D", "markersize": 4.5}
_OTHERS = {"color": "#9a9a9a", "marker": "D", "markersize": 3, "linestyle": "none"}
_ENSEMBLE = {"color": look_of("ensemble").color, "marker": "^", "markersize": 4.5}


def draw(board: Board) -> Drawing:
    """Draw the improvement over the large model against total cost, one column per large model."""
    chosen = _chosen(board)
    if chosen.is_empty():
        return empty_figure(_TITLE, f"No budget bought a sidekick on {board.dataset}.")
    bought = set(chosen["large"])
    larges = [model for model in board.models if model in bought][:_MOST_COLUMNS]
    figure = new_figure(1.7 * len(_METRICS) + 0.3, SINGLE if len(larges) == 1 else DOUBLE)
    panels = figure.subplots(len(_METRICS), len(larges), sharex=True, sharey="row", squeeze=False)
    names = short_names(board.models, 24)
    shown = []
    for row, metric in zip(panels, _METRICS, strict=True):
        for axes, large in zip(row, larges, strict=True):
            axes.axhline(0, color="#666666", linewidth=0.8)
            shown += _draw_panel(axes, board, metric, large, chosen)
        row[0].set_ylabel(f"Improvement in {metric_word(metric)}{change_unit(metric)}")
    for axes, large in zip(panels[0], larges, strict=True):
        axes.set_title(f"{names[large]} with sidekicks", size=7)
        axes.set_xlim(left=1)
    for axes in panels[-1]:
        axes.set_xlabel("Cost, as a multiple of the large model's")
    return annotate(figure, _title(board, chosen), _caption(board, larges), _legend(), shown)


def _chosen(board: Board) -> pl.DataFrame:
    """Give what was bought, and the smallest budget that bought it."""
    bought = best_choices(board.fits).filter(pl.col("small").is_not_null())
    return bought.group_by(_NAMES).agg(pl.col("budget").min()).sort("large", "budget")


def _draw_panel(
    axes: Axes, board: Board, metric: str, large: str, chosen: pl.DataFrame
) -> list[pl.DataFrame]:
    """Draw what was bought for a large model and what was not; give the tables of both."""
    rows = board.compared(metric).filter((pl.col("large") == large) & base_recipe())
    duos = rows.filter(
        (pl.col("predictor") == "duo") & pl.col("variant").str.contains("^weighted($|_[0-9])")
    )
    own = duos.join(chosen, on=_NAMES, how="semi")
    others = duos.join(chosen, on=_NAMES, how="anti")
    ensembles = rows.filter(pl.col("variant") == "mean_softmax")
    return [
        _draw_points(axes, others, "other", _OTHERS, bars=False),
        _draw_points(axes, ensembles, "ensemble", {**_ENSEMBLE, "linestyle": "none"}),
        _draw_points(axes, own, "chosen", {**_CHOSEN, "linewidth": 0.8}),
    ]


def _draw_points(
    axes: Axes, rows: pl.DataFrame, group: str, style: dict, bars: bool = True
) -> pl.DataFrame:
    # The cost in units of the large model's: an ensemble is as many of it as there are seeds.
    share = pl.col("flops_balance").fill_null(pl.col("seeds") - 1)
    rows = rows.with_columns(relative_cost=1 + share, group=pl.lit(group)).sort("gmacs")
    value, low, high = improvements(rows)
    x = rows["relative_cost"].to_numpy()
    if bars:
        axes.vlines(x, low, high, color=style["color"], linewidth=0.9, alpha=0.8)
    axes.plot(x, value, **style)
    return rows


def _legend() -> Sequence[Line2D]:
    return [
        Line2D([], [], label="Chosen on val for a budget", **{**_CHOSEN, "linewidth": 0.8}),
        Line2D([], [], label="Other duos", **_OTHERS),
        Line2D([], [], label="Ensemble of all seeds", **{**_ENSEMBLE, "linestyle": "none"}),
    ]


def _title(board: Board, chosen: pl.DataFrame) -> str:
    rows = board.compared("nll").join(chosen, on=_NAMES, how="semi").filter(base_recipe())
    several = rows.filter(pl.col("small").str.contains("+", literal=True))
    found = verdicts(rows)
    worse = f" ({found.count('worse')} worse)" if "worse" in found else ""
    return (
        f"Budgets bought {plural(len(rows), 'group')}, {len(several)} with several sidekicks; "
        f"NLL better than the large model's in {found.count('better')}{worse}"
    )


def _caption(board: Board, larges: Sequence[str]) -> Iterator[str]:
    yield samples_note(board)
    yield interval_note(board)
    yield (
        "Differences to the temperature-scaled large model, with the sign that makes up better. "
        "Sidekicks were chosen greedily by the NLL on val, as long as each takes at least 1/n "
        "off it; the line joins what rising budgets bought. Others have no bars, for clarity."
    )
    if len(larges) == _MOST_COLUMNS:
        yield f"The {_MOST_COLUMNS} largest models that any budget bought something for."
