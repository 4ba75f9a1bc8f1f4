"""What a sidekick improves, against the compute it adds."""

from string import ascii_uppercase

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from sidekick.leaderboard.figures.layout import (
    Drawing,
    annotate,
    empty_figure,
    interval_note,
    log_axis,
    new_figure,
    plain_number,
    samples_note,
)
from sidekick.leaderboard.figures.look import (
    LOOKS,
    change_label,
    listed,
    look_of,
    models_name,
    scale,
    short_names,
    variant_name,
)
from sidekick.leaderboard.figures.rows import Board, Pair, improvements, verdicts
from sidekick.metrics.registry import METRICS

_METRICS = ("accuracy", "nll", "aurc", "sac_98")
# In the order in which they stand side by side at a pair's balance.
_VARIANTS = {"weighted": "full", "unweighted": "none", "uq_only": "left", "noise_sidekick": "full"}
# With more pairs only one kind of duo and the control are shown.
_MANY_PAIRS = 12
_TITLE = "Improvement of duos over the temperature-scaled large model"


def draw(board: Board) -> Drawing:
    """Draw the improvement of every duo over its large model, one panel per metric."""
    if not board.pairs:
        return empty_figure(_TITLE, f"A duo needs at least two models; {board.dataset} has one.")
    crowded = len(board.pairs) > _MANY_PAIRS
    variants = ["weighted", "noise_sidekick"] if crowded else list(_VARIANTS)
    lettered = [p for p in board.pairs if not crowded or p.large == board.models[0]]
    letters = dict(zip(lettered, ascii_uppercase, strict=False))
    figure = new_figure(4.3)
    panels = figure.subplots(2, 2, sharex=True).flat
    for axes, metric in zip(panels, _METRICS, strict=True):
        rows = board.compared(metric).filter(
            (pl.col("predictor") == "duo") & pl.col("variant").is_in(variants)
        )
        _draw_panel(axes, metric, rows, variants, letters)
        _write_letters(axes, letters)
    _add_legend(figure, variants)
    return annotate(figure, _title(board), _caption(board, letters, crowded))


def _draw_panel(axes: Axes, metric: str, rows: pl.DataFrame, variants, letters) -> None:
    axes.axhline(0, color="#666666", linewidth=0.8)
    for step, variant in enumerate(variants):
        look = look_of("duo", variant)
        own = rows.filter(pl.col("variant") == variant)
        pairs = [Pair(*row) for row in own.select("large", "small", "flops_balance").iter_rows()]
        x = _positions([pair.balance for pair in pairs], step, len(variants))
        y, low, high = (scale(metric) * part for part in improvements(own))
        labelled = np.array([pair in letters for pair in pairs], dtype=bool)
        axes.vlines(x[labelled], low[labelled], high[labelled], color=look.color, linewidth=1)
        for part, alpha in ((~labelled, 0.4), (labelled, 1.0)):
            axes.plot(
                x[part],
                y[part],
                look.marker,
                color=look.color,
                fillstyle=_VARIANTS[variant],
                markerfacecoloralt="white",
                markersize=3.6,
                alpha=alpha,
            )
    axes.set_title(METRICS[metric].label.partition(" (")[0])
    axes.set_ylabel(f"Improvement, {_unit(metric)}")
    balances = [100 * pair.balance for pair in letters] or [1.0, 100.0]
    if max(balances) / min(balances) > 10:
        log_axis(axes.xaxis, min(balances) / 1.5, 130)
    else:
        axes.set_xlim(0, 105)
        axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
    axes.label_outer()
    if axes.get_subplotspec().is_last_row():
        axes.set_xlabel("FLOPs balance: GMACs(small) / GMACs(large), %")


def _positions(balances: list[float], step: int, count: int) -> np.ndarray:
    """Set the duos of one pair side by side, in percent."""
    return 100 * np.array(balances) + 0.95 * (step - (count - 1) / 2)


def _write_letters(axes: Axes, letters: dict[Pair, str]) -> None:
    """Write a pair's letter above its duos, unless the letter before it is too near."""
    last = -np.inf
    axes.margins(y=0.12)
    for pair, letter in letters.items():
        x = axes.transData.transform((100 * pair.balance, 0))[0] / axes.figure.dpi * 72
        if x - last > 6:
            axes.text(
                100 * pair.balance,
                0.99,
                letter,
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="top",
                size=6.5,
                weight="bold",
            )
            last = x


def _add_legend(figure: Figure, variants: list[str]) -> None:
    handles = []
    for variant in variants:
        look = look_of("duo", variant)
        handles.append(
            Line2D(
                [],
                [],
                marker=look.marker,
                color=look.color,
                fillstyle=_VARIANTS[variant],
                markerfacecoloralt="white",
                label=f"{LOOKS['duo'].name}, {variant_name(variant)}",
            )
        )
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))


def _unit(metric: str) -> str:
    label = change_label(metric)
    return label.partition("(")[2].rstrip(")") or label


def _title(board: Board) -> str:
    parts = []
    for metric in _METRICS:
        rows = board.compared(metric).filter(
            (pl.col("predictor") == "duo") & (pl.col("variant") == "weighted")
        )
        found = verdicts(rows)
        words = f"{METRICS[metric].label.partition(' (')[0]} in {found.count('better')}"
        if "worse" in found:
            words += f" (worse in {found.count('worse')})"
        parts.append(words)
    return f"Of {len(board.pairs)} duos, weighted, better than their large model: {listed(parts)}"


def _caption(board: Board, letters: dict[Pair, str], crowded: bool):
    names = short_names(board.models)
    yield samples_note(board)
    yield interval_note(board)
    yield "Difference to the temperature-scaled large model, sign set so that up is better."
    if crowded:
        yield f"Bars and letters: pairs with {names[board.models[0]]}, the largest model, only."
    else:
        yield (
            "UQ only keeps the large model's answers (accuracy: 0) and has the weighted duo's NLL."
        )
    key = [f"{letter} {models_name(names, p.large, p.small)}" for p, letter in letters.items()]
    yield "Pairs: " + ", ".join(key) + "."
