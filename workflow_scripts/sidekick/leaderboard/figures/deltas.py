"""What every method gains over its matched control."""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from sidekick.leaderboard.figures.comparisons import KEY, Line, fit_page, headed_lines, methods
from sidekick.leaderboard.figures.look import change_unit, metric_word, scale
from sidekick.leaderboard.figures.page import (
    Drawing,
    annotate,
    empty_figure,
    interval_note,
    new_figure,
    samples_note,
)
from sidekick.leaderboard.figures.rows import CONTROLS, REPRODUCTION, Board, improvements, verdicts
from sidekick.recipe_names import CE_CONTROL

# One block of rows each. The accept/ignore rule of MC dropout ranks no samples: it has no AURC.
_BLOCKS = (("aurc", "nll"), ("selective_accuracy",))
_GENERATED_BLOCKS = (("aurc", "auroc"), ("deferral_area",), ("accuracy",))
_TITLE = "Differences to matched controls"
# Inches, and the height of an axis's ticks and label in rows.
_ROW_HEIGHT, _AXIS_ROWS = 0.135, 3.2
MARKS = {
    "better": {"marker": ">", "color": "#08306b"},
    "worse": {"marker": "<", "color": "#a50f15"},
    "none": {"marker": "o", "color": "#8c8c8c", "markerfacecolor": "white"},
}
"""How a difference is drawn, by the verdict of its interval."""
_MEANINGS = {
    "better": "Better: the interval excludes 0",
    "worse": "Worse: the interval excludes 0",
    "none": "No difference: the interval includes 0",
}


def draw(board: Board) -> Drawing:
    """Draw a forest plot of all differences to matched controls."""
    wanted = _GENERATED_BLOCKS if board.is_generated else _BLOCKS
    found = {metric: _compared(board, metric) for block in wanted for metric in block}
    every = pl.concat(found.values()).unique(KEY, maintain_order=True)
    if every.is_empty():
        return empty_figure(_TITLE, f"Nothing on {board.dataset} has a matched control.")
    chosen, told = fit_page(board, every)
    same = {"on": KEY, "how": "semi", "nulls_equal": True, "maintain_order": "left"}
    shown = {metric: rows.join(chosen, **same) for metric, rows in found.items()}
    blocks = [block for block in wanted if any(len(shown[metric]) for metric in block)]
    lines = [headed_lines(board, [shown[metric] for metric in block]) for block in blocks]
    heights = [len(own) + _AXIS_ROWS for own in lines]
    figure = new_figure(_ROW_HEIGHT * sum(heights))
    panels = figure.subplots(len(blocks), 2, height_ratios=heights, squeeze=False)
    for row, block, own in zip(panels, blocks, lines, strict=True):
        for axes, metric in zip(row, block, strict=False):
            _draw_panel(axes, metric, shown[metric], own)
        for axes in row[len(block) :]:
            axes.set_visible(False)
        _write_names(row[0], own)
    legend = [
        Line2D([], [], linestyle="none", label=_MEANINGS[verdict], **mark)
        for verdict, mark in MARKS.items()
    ]
    return annotate(figure, _title(found), _caption(board, told), legend, _judged(shown))


def _judged(shown: Mapping[str, pl.DataFrame]) -> Iterator[pl.DataFrame]:
    for rows in shown.values():
        yield rows.with_columns(verdict=pl.Series(verdicts(rows), dtype=pl.String))


def _compared(board: Board, metric: str) -> pl.DataFrame:
    """Give the differences that are worth a row."""
    rows = methods(board.compared(metric))
    if metric != "accuracy":
        return rows
    # Another gate ranks the same answers.
    is_gate = (pl.col("predictor") == "single") & ~pl.col("variant").str.starts_with(board.plain)
    return rows.filter(~is_gate)


def _draw_panel(axes: Axes, metric: str, rows: pl.DataFrame, lines: Sequence[Line]) -> None:
    places = {line.key: place for place, line in enumerate(lines)}
    axes.axvline(0, color="#666666", linewidth=0.8)
    parts = zip(
        rows.select(KEY).iter_rows(),
        verdicts(rows),
        *(scale(metric) * part for part in improvements(rows)),
        strict=True,
    )
    for key, found, value, low, high in parts:
        mark = MARKS[found]
        axes.hlines(places[key], low, high, color=mark["color"], linewidth=0.9, zorder=2)
        axes.plot(value, places[key], markersize=3.6, zorder=3, **mark)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_yticks(range(len(lines)), [])
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.set_xlabel(f"Improvement in {metric_word(metric)}{change_unit(metric)} →")


def _write_names(axes: Axes, lines: Sequence[Line]) -> None:
    axes.set_yticks(range(len(lines)), [line.text for line in lines], size=6)
    for label, line in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_weight("normal" if line.key else "bold")


def _title(found: Mapping[str, pl.DataFrame]) -> str:
    parts = []
    for metric, rows in found.items():
        own = rows.filter(
            ~pl.col("variant").str.contains(f"{CONTROLS}|{REPRODUCTION}")
            & ~pl.col("recipe").str.ends_with(CE_CONTROL)
        )
        words = verdicts(own)
        if words:
            parts.append(
                f"{metric_word(metric)} {words.count('better')} better, "
                f"{words.count('worse')} worse of {len(words)}"
            )
    return f"Against matched controls: {'; '.join(parts)}"


def _caption(board: Board, told: Sequence[str]) -> Iterator[str]:
    yield samples_note(board)
    yield interval_note(board)
    yield (
        "Paired differences, with the sign that makes the right the better side. Not corrected "
        f"for their number: where nothing differs, about {100 * (1 - board.level):.0f} % of the "
        "intervals exclude 0."
    )
    if told:
        yield f"Drawn, for space: only {', '.join(told)}."
    if board.is_generated:
        yield "The title counts all on the board but controls."
        return
    yield (
        "The title counts all on the board but controls, duos as released, and of MC dropout "
        "fewer passes and other uncertainties."
    )
    if board.pairs:
        yield (
            "UQ only has the weighted duo's NLL. Budgets are shares of the large model's cost, "
            "targets accuracies."
        )
