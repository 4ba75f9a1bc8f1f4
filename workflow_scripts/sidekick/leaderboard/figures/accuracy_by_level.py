"""Which questions are hard for whom: accuracy by their level and by their subject."""

from collections.abc import Iterator, Sequence

import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sidekick.leaderboard.figures.look import axis_label, look_of, method_name, plural, short_names
from sidekick.leaderboard.figures.page import (
    Drawing,
    annotate,
    empty_figure,
    interval_note,
    new_figure,
    samples_note,
)
from sidekick.leaderboard.figures.rows import Board, Predictor, pick, verdicts

_TITLE = "Accuracy by level and subject"
# As many subjects as have room, the hardest for the large model and the easiest.
_MOST_SUBJECTS = 20
# Between two predictors in one group, so that their bars do not hide each other.
_STEP = 0.16
_SUBJECT_HEIGHT = 0.21
_LEAST_HEIGHT = 1.2
_LEVEL_HEIGHT = 2.2


def draw(board: Board) -> Drawing:
    """Draw the accuracy of the main pair, alone and as a duo, on parts of the test set."""
    rows = board.parts.filter((pl.col("metric") == "accuracy") & pl.col("value").is_finite())
    if rows.is_empty():
        return empty_figure(_TITLE, f"The questions of {board.dataset} have no groups.")
    entries = {entry: _style(entry, board) for entry in _subset(board)}
    levels = _groups(rows, "level")
    subjects = _hardest(rows, entries, _groups(rows, "subject"))
    tall = max(_SUBJECT_HEIGHT * len(subjects), _LEAST_HEIGHT)
    heights = [_LEVEL_HEIGHT] * bool(levels) + [tall] * bool(subjects)
    figure = new_figure(sum(heights))
    panels = iter(figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
    if levels:
        _draw_levels(next(panels), rows, entries, levels)
    if subjects:
        _draw_subjects(next(panels), rows, entries, subjects)
    legend = [
        Line2D([], [], label=_name(entry, board), **style) for entry, style in entries.items()
    ]
    caption = _caption(board, len(subjects), len(_groups(rows, "subject")))
    data = [pick(_of(rows, "level", level), entry) for level in levels for entry in entries]
    data += [pick(_of(rows, "subject", name), entry) for name in subjects for entry in entries]
    return annotate(figure, _title(board, rows, levels), caption, legend, data)


def _subset(board: Board) -> Iterator[Predictor]:
    large, pair = board.models[0], board.main_pair
    if pair:
        yield Predictor("temperature", "scaled", pair.small)
    yield Predictor("temperature", "scaled", large)
    if pair:
        yield Predictor("duo", "weighted", large, pair.small)


def _style(entry: Predictor, board: Board) -> dict:
    look = look_of(*entry[:2])
    style = {"color": look.color, "marker": look.marker, "linestyle": "none"}
    if entry.large != board.models[0]:
        style["markerfacecolor"] = "white"
    return style


def _name(entry: Predictor, board: Board) -> str:
    if entry.predictor == "temperature":
        return short_names(board.models)[entry.large]
    return method_name(*entry[:2])


def _groups(rows: pl.DataFrame, grouping: str) -> list[str]:
    return sorted(rows.filter(pl.col("grouping") == grouping)["group"].unique())


def _hardest(
    rows: pl.DataFrame, entries: dict[Predictor, dict], subjects: Sequence[str]
) -> list[str]:
    """Order subjects by the large model's accuracy, and leave out the middle if they are many."""
    large = next(entry for entry in list(entries)[::-1] if entry.predictor == "temperature")
    own = pick(rows.filter(pl.col("grouping") == "subject"), large)
    value = dict(own.select("group", "value").iter_rows())
    ordered = sorted(subjects, key=lambda subject: (value.get(subject, 0.0), subject))
    if len(ordered) <= _MOST_SUBJECTS:
        return ordered
    half = _MOST_SUBJECTS // 2
    return ordered[:half] + ordered[-half:]


def _draw_levels(
    axes: Axes, rows: pl.DataFrame, entries: dict[Predictor, dict], levels: Sequence[str]
) -> None:
    for index, (entry, style) in enumerate(entries.items()):
        aside = _STEP * (index - (len(entries) - 1) / 2)
        for place, level in enumerate(levels):
            for value, low, high in _values(rows, entry, "level", level):
                axes.vlines(place + aside, low, high, color=style["color"], linewidth=0.9)
                axes.plot(place + aside, value, markersize=4, **style)
    axes.set_xticks(range(len(levels)), [f"level {level}" for level in levels])
    axes.set_ylabel(axis_label("accuracy"))


def _draw_subjects(
    axes: Axes, rows: pl.DataFrame, entries: dict[Predictor, dict], subjects: Sequence[str]
) -> None:
    for index, (entry, style) in enumerate(entries.items()):
        aside = _STEP * (index - (len(entries) - 1) / 2)
        for place, subject in enumerate(subjects):
            for value, low, high in _values(rows, entry, "subject", subject):
                axes.hlines(place + aside, low, high, color=style["color"], linewidth=0.9)
                axes.plot(value, place + aside, markersize=3.2, **style)
    axes.set_yticks(range(len(subjects)), [name.replace("_", " ") for name in subjects])
    axes.set_ylim(len(subjects) - 0.4, -0.6)
    axes.set_xlabel(axis_label("accuracy"))


def _values(
    rows: pl.DataFrame, entry: Predictor, grouping: str, group: str
) -> list[tuple[float, float, float]]:
    """Give value, low and high in percent; none if there is no such row."""
    own = pick(rows.filter((pl.col("grouping") == grouping) & (pl.col("group") == group)), entry)
    return [tuple(100 * part for part in row) for row in own.select("value", "low", "high").rows()]


def _title(board: Board, rows: pl.DataFrame, levels: Sequence[str]) -> str:
    if board.main_pair is None or not levels:
        return _TITLE
    large, small, _ = board.main_pair
    duo = Predictor("duo", "weighted", large, small)
    words = {
        level: verdicts(pick(_of(rows, "level", level), duo))[0]
        for level in levels
        if len(pick(_of(rows, "level", level), duo))
    }
    better = [level for level, word in words.items() if word == "better"]
    worse = [level for level, word in words.items() if word == "worse"]
    told = f"The duo is more accurate on {len(better)} of {plural(len(levels), 'level')}"
    return told + (f", less on {len(worse)}" if worse else ", and less on none")


def _of(rows: pl.DataFrame, grouping: str, group: str) -> pl.DataFrame:
    return rows.filter((pl.col("grouping") == grouping) & (pl.col("group") == group))


def _caption(board: Board, shown: int, known: int) -> Iterator[str]:
    yield samples_note(board)
    yield interval_note(board)
    yield (
        "Subjects are ordered by the large model's accuracy. The title counts paired differences "
        "to it whose interval excludes 0, not corrected for their number."
    )
    if shown < known:
        yield f"Of {known} subjects the {shown // 2} hardest and the {shown // 2} easiest."
    if board.main_pair:
        yield "The pair: the largest model and its smallest sidekick."
