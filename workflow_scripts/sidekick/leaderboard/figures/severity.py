"""How predictors degrade as the data get worse."""

from collections.abc import Iterator, Sequence

import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sidekick.leaderboard.figures.look import (
    axis_label,
    listed,
    look_of,
    method_name,
    metric_word,
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
)
from sidekick.leaderboard.figures.rows import Board, Predictor, pick, verdicts
from sidekick.metrics.registry import METRICS

_METRICS = ("accuracy", "aurc", "ece")
_TITLE = "Metrics against corruption severity"
_WORDS = {"better": "beats", "worse": "is worse than", "none": "does not clearly differ from"}
# Between two predictors at one severity, so that their bars do not hide each other.
_STEP = 0.09


def draw(board: Board) -> Drawing:
    """Draw accuracy, AURC and ECE against the severity of corruptions."""
    rows = board.shift.filter(pl.col("severity").is_not_null() & pl.col("value").is_finite())
    if rows.is_empty():
        return empty_figure(_TITLE, f"No results on corrupted data of {board.dataset}.")
    figure = new_figure(2.4)
    styles = {entry: _style(entry, board) for entry in _subset(board)}
    shown = []
    for axes, metric in zip(figure.subplots(1, 3), _METRICS, strict=True):
        for index, (entry, style) in enumerate(styles.items()):
            aside = _STEP * (index - (len(styles) - 1) / 2)
            clean = pick(board.rows(metric), entry).with_columns(severity=0)
            shifted = pick(rows.filter(pl.col("metric") == metric), entry).sort("severity")
            _draw_line(axes, metric, style, [clean, shifted], aside)
            shown += [clean, shifted]
        _finish(axes, metric, rows["severity"].max())
    legend = [Line2D([], [], label=_name(entry, board), **style) for entry, style in styles.items()]
    return annotate(figure, _title(board), _caption(board, rows), legend, shown)


def _subset(board: Board) -> Iterator[Predictor]:
    large, pair = board.models[0], board.main_pair
    yield Predictor("temperature", "scaled", large)
    if pair:
        yield Predictor("temperature", "scaled", pair.small)
        yield Predictor("duo", "weighted", large, pair.small)
        yield Predictor("duo", "unweighted", large, pair.small)
    yield Predictor("ensemble", "mean_softmax", large)


def _style(entry: Predictor, board: Board) -> dict:
    look = look_of(*entry[:2])
    style = {"color": look.color, "marker": look.marker}
    # The second of a family is told apart by hollow markers and dashes.
    if entry.variant == "unweighted" or entry.large != board.models[0]:
        style |= {"markerfacecolor": "white", "linestyle": (0, (3, 1.5))}
    return style


def _name(entry: Predictor, board: Board) -> str:
    name = short_names(board.models)[entry.large]
    names = {"temperature": name, "ensemble": f"Ensemble of {name}"}
    return names.get(entry.predictor) or method_name(*entry[:2])


def _draw_line(
    axes: Axes, metric: str, style: dict, parts: Sequence[pl.DataFrame], aside: float
) -> None:
    for part in parts:
        x = part["severity"].to_numpy() + aside
        y, low, high = (scale(metric) * part[name].to_numpy() for name in ("value", "low", "high"))
        axes.vlines(x, low, high, color=style["color"], linewidth=0.8, alpha=0.7)
        # Two lines: none from clean to corrupted data, which are different samples.
        axes.plot(x, y, markersize=3.2, linewidth=1, **style)


def _finish(axes: Axes, metric: str, worst: int) -> None:
    axes.axvline(0.5, color="#bbbbbb", linewidth=0.6)
    direction = "higher" if METRICS[metric].higher_is_better else "lower"
    axes.set(
        xlabel="Severity (0: clean test set)",
        ylabel=axis_label(metric),
        title=f"{METRICS[metric].label}: {direction} is better",
        xlim=(-0.5, worst + 0.5),
        xticks=range(worst + 1),
    )
    if not METRICS[metric].higher_is_better:
        axes.set_ylim(0)


def _title(board: Board) -> str:
    if board.main_pair is None:
        return _TITLE
    large, small, _ = board.main_pair
    names = short_names(board.models)
    overall = board.shift.filter(pl.col("severity").is_null() & pl.col("value").is_finite())
    found: dict[str, list[str]] = {}
    surpassed = []
    for metric in _METRICS:
        rows = overall.filter(pl.col("metric") == metric)
        duo = pick(rows, Predictor("duo", "weighted", large, small))
        alone = pick(rows, Predictor("temperature", "scaled", small))
        for word in verdicts(duo):
            found.setdefault(word, []).append(metric_word(metric))
        sign = 1 if METRICS[metric].higher_is_better else -1
        if len(duo) and len(alone) and sign * (alone["value"][0] - duo["value"][0]) > 0:
            surpassed.append(metric_word(metric))
    claims = [f"{_WORDS[word]} {names[large]} in {listed(m)}" for word, m in found.items()]
    if not claims:
        return _TITLE
    more = f"; {names[small]} alone does better still in {listed(surpassed)}" if surpassed else ""
    return f"Under corruption the duo {listed(claims)}{more}"


def _caption(board: Board, rows: pl.DataFrame) -> Iterator[str]:
    corruptions = board.metrics.filter(pl.col("split") == "shift")["corruption"].unique()
    count = len(corruptions.filter(corruptions != "mean"))
    clean, shifted = (part["samples"].max() or 0 for part in (board.test, rows))
    yield (
        f"{board.dataset}: severity 0 is the whole test set ({plural(clean, 'sample')}), others "
        f"are means over {plural(count, 'corruption')} of {plural(shifted, 'sample')} of it; "
        f"{plural(rows['seeds'].max(), 'seed')}."
    )
    yield interval_note(board)
    yield (
        "Points of one severity stand side by side. Models alone are temperature-scaled. The title "
        "is about means over severities; it has intervals for the duo's difference to the large "
        "model only."
    )
    if board.main_pair:
        yield "The pair: the largest model and its smallest sidekick."
