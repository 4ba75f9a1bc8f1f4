"""What a sidekick improves, against the compute it adds."""

from collections.abc import Iterator, Mapping, Sequence
from string import ascii_uppercase

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sidekick.leaderboard.figures.axes import balance_limits, log_axis, spread
from sidekick.leaderboard.figures.look import (
    change_unit,
    listed,
    look_of,
    method_name,
    metric_word,
    models_name,
    plural,
    scale,
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
    Pair,
    base_recipe,
    improvements,
    is_pair,
    verdicts,
)
from sidekick.metrics.registry import METRICS

_METRICS = ("accuracy", "nll", "aurc", "sac_98")
# Large models differ by factors in these.
_RELATIVE = ("nll", "aurc")
# In the order in which they stand side by side at a pair's balance.
_VARIANTS = {"weighted": "full", "unweighted": "none", "uq_only": "left", "noise_sidekick": "full"}
# With more pairs only one kind of duo and the control are shown.
_MANY_PAIRS = 12
_LETTER = {"ha": "center", "va": "top", "size": 6.5, "weight": "bold"}
_TITLE = "Improvement of duos over the temperature-scaled large model"


def draw(board: Board) -> Drawing:
    """Draw the improvement of every duo over its large model, one panel per metric."""
    if not board.pairs:
        return empty_figure(_TITLE, f"A duo needs at least two models; {board.dataset} has one.")
    crowded = len(board.pairs) > _MANY_PAIRS
    variants = ["weighted", "noise_sidekick"] if crowded else list(_VARIANTS)
    lettered = [p for p in board.pairs if not crowded or p.large == board.models[0]]
    letters = dict(zip(lettered, ascii_uppercase, strict=False))
    figure = new_figure(4.2)
    panels = figure.subplots(2, 2, sharex=True)
    shown = []
    for axes, metric in zip(panels.flat, _METRICS, strict=True):
        rows = _duos(board, metric).filter(pl.col("variant").is_in(variants))
        _draw_panel(axes, metric, rows, variants, letters)
        shown.append(rows)
    for axes in panels[1]:
        axes.set_xlabel("FLOPs balance: GMACs(small) / GMACs(large), %")
    legend = [
        Line2D([], [], label=method_name("duo", variant), **_marker(variant))
        for variant in variants
    ]
    return annotate(figure, _title(board), _caption(board, letters, crowded), legend, shown)


def _duos(board: Board, metric: str) -> pl.DataFrame:
    usual = (pl.col("predictor") == "duo") & is_pair() & base_recipe()
    return board.compared(metric).filter(usual)


def _draw_panel(
    axes: Axes,
    metric: str,
    rows: pl.DataFrame,
    variants: Sequence[str],
    letters: Mapping[Pair, str],
) -> None:
    axes.axhline(0, color="#666666", linewidth=0.8)
    low_x, high_x = balance_limits(pair.balance for pair in letters)
    log_axis(axes.xaxis, low_x, high_x)
    # Wider where there is room.
    step = max(0.0105, 0.03 / len(letters)) * np.log(high_x / low_x)
    middles = spread([np.log(100 * pair.balance) for pair in letters], (len(variants) + 1) * step)
    places = dict(zip(letters, np.exp(middles), strict=True))
    for index, variant in enumerate(variants):
        own = rows.filter(pl.col("variant") == variant)
        pairs = [Pair(*row) for row in own.select("large", "small", "flops_balance").iter_rows()]
        aside = np.exp(step * (index - (len(variants) - 1) / 2))
        x = aside * np.array([places.get(pair, 100 * pair.balance) for pair in pairs])
        y, low, high = (_factors(metric, own) * part for part in improvements(own))
        named = np.array([pair in places for pair in pairs], dtype=bool)
        color = look_of("duo", variant).color
        axes.vlines(x[named], low[named], high[named], color=color, linewidth=1)
        for part, alpha in ((~named, 0.4), (named, 1.0)):
            axes.plot(x[part], y[part], alpha=alpha, **_marker(variant))
    axes.set_title(METRICS[metric].label.partition(" (")[0])
    axes.set_ylabel("Improvement" + (" (%)" if metric in _RELATIVE else change_unit(metric)))
    axes.margins(y=0.12)
    for pair, x in places.items():
        axes.text(x, 0.99, letters[pair], transform=axes.get_xaxis_transform(), **_LETTER)


def _factors(metric: str, rows: pl.DataFrame) -> np.ndarray:
    """Give the factors to the axis's unit: percentage points, or percent of the large model's."""
    if metric not in _RELATIVE:
        return np.full(len(rows), scale(metric))
    reference = rows["value"].to_numpy() - rows["delta"].to_numpy()
    return np.divide(100, reference, out=np.full(len(rows), np.nan), where=reference > 0)


def _marker(variant: str) -> dict:
    look = look_of("duo", variant)
    return {
        "linestyle": "none",
        "marker": look.marker,
        "color": look.color,
        "fillstyle": _VARIANTS[variant],
        "markerfacecoloralt": "white",
        "markersize": 3.6,
    }


def _title(board: Board) -> str:
    parts = []
    for metric in _METRICS:
        found = verdicts(_duos(board, metric).filter(pl.col("variant") == "weighted"))
        worse = f" ({found.count('worse')} worse)" if "worse" in found else ""
        parts.append(f"{found.count('better')} in {metric_word(metric)}{worse}")
    duos = plural(len(board.pairs), "duo")
    return f"Of {duos}, better than their large model: {listed(parts)}"


def _caption(board: Board, letters: Mapping[Pair, str], crowded: bool) -> Iterator[str]:
    names = short_names(board.models)
    yield samples_note(board)
    yield interval_note(board)
    yield (
        "Difference to the temperature-scaled large model, with the sign that makes up better; "
        "for NLL and AURC, it and its interval are divided by that model's value. "
        "Neighbouring pairs are moved apart."
    )
    if crowded:
        large = names[board.models[0]]
        yield f"Bars and letters only for pairs of {large}, the largest model, with:"
        key = [f"{letter} {names[pair.small]}" for pair, letter in letters.items()]
    else:
        yield (
            "UQ only keeps the large model's answers (accuracy: 0) and has the weighted duo's NLL. "
            "Pairs:"
        )
        key = [
            f"{letter} {models_name(names, pair.large, pair.small)}"
            for pair, letter in letters.items()
        ]
    # Non-breaking spaces: a pair stays on one line.
    yield ", ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in key) + "."
