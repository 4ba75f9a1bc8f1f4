"""Whether a sidekick ever harms: how many duos are better or worse than their large model."""

from collections.abc import Iterator, Sequence

import polars as pl
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from sidekick.leaderboard.figures.look import listed, plural, variant_name
from sidekick.leaderboard.figures.page import (
    DOUBLE,
    SINGLE,
    Drawing,
    annotate,
    empty_figure,
    interval_note,
    new_figure,
)
from sidekick.leaderboard.figures.rows import Board, base_recipe, is_pair, verdicts
from sidekick.metrics.registry import METRICS

_METRICS = ("accuracy", "nll", "brier", "ece", "aurc", "auroc")
_VARIANTS = ("weighted", "unweighted", "uq_only", "weighted_as_released", "noise_sidekick")
_COLORS = {"better": "#08306b", "none": "#d9d9d9", "worse": "#a50f15"}
_MEANINGS = {
    "better": "Better: the interval excludes 0",
    "none": "No difference",
    "worse": "Worse: the interval excludes 0",
}
_TITLE = "Does a sidekick ever harm?"


def draw(board: Board) -> Drawing:
    """Draw shares of pairs that are better and worse, per metric and variant, test and shift."""
    parts = {"Clean test": _duos(board.test)}
    shifted = _duos(board.shift.filter(pl.col("severity").is_null()))
    if len(shifted):
        parts["Mean over all corruptions"] = shifted
    if parts["Clean test"].is_empty():
        return empty_figure(_TITLE, f"A duo needs at least two models; {board.dataset} has one.")
    height = 0.95 * len(_VARIANTS) * 0.16 * len(_METRICS) + 0.5
    figure = new_figure(height, SINGLE if len(parts) == 1 else DOUBLE)
    panels = figure.subplots(1, len(parts), sharey=True, squeeze=False)[0]
    shown = []
    for axes, (name, rows) in zip(panels, parts.items(), strict=True):
        counts = _counts(rows).with_columns(data=pl.lit(name.lower()))
        _draw_panel(axes, counts)
        shown.append(counts)
        axes.set_title(f"{name}: {plural(_pairs(rows), 'pair')}", size=7)
        axes.set_xlabel("Share of pairs (%)")
    legend = [Patch(color=_COLORS[word], label=meaning) for word, meaning in _MEANINGS.items()]
    return annotate(figure, _title(parts), _caption(board), legend, shown)


def _duos(rows: pl.DataFrame) -> pl.DataFrame:
    usual = (pl.col("predictor") == "duo") & pl.col("variant").is_in(_VARIANTS)
    return rows.filter(usual & is_pair() & base_recipe() & pl.col("delta").is_finite())


def _pairs(rows: pl.DataFrame) -> int:
    return rows.select("large", "small").n_unique()


def _counts(rows: pl.DataFrame) -> pl.DataFrame:
    """Count the pairs that are better, undecided and worse, by metric and variant."""
    counted = []
    for metric in _METRICS:
        for variant in _VARIANTS:
            is_own = (pl.col("metric") == metric) & (pl.col("variant") == variant)
            found = verdicts(rows.filter(is_own))
            counts = {word: found.count(word) for word in _COLORS}
            counted.append({"metric": metric, "variant": variant, "pairs": len(found), **counts})
    return pl.DataFrame(counted)


def _draw_panel(axes: Axes, counts: pl.DataFrame) -> None:
    labels, places = [], []
    for index, row in enumerate(counts.iter_rows(named=True)):
        # A gap between metrics.
        place = index + index // len(_VARIANTS)
        places.append(place)
        labels.append(f"{_short(row['metric'])}: {variant_name(row['variant'])}")
        left = 0.0
        for word, color in _COLORS.items():
            share = 100 * row[word] / max(1, row["pairs"])
            axes.barh(place, share, left=left, height=0.8, color=color, linewidth=0)
            left += share
    axes.set_yticks(places, labels, size=5.5)
    axes.set_ylim(max(places) + 0.6, -0.6)
    axes.set_xlim(0, 100)
    axes.tick_params(axis="y", length=0)


def _short(metric: str) -> str:
    return METRICS[metric].label.partition(" (")[0]


def _title(parts: dict[str, pl.DataFrame]) -> str:
    claims: list[str] = []
    for name, rows in parts.items():
        told: Sequence[str] = [
            f"{verdicts(own).count('worse')} of {len(own)} {variant}"
            for variant in ("weighted", "unweighted")
            if len(own := rows.filter((pl.col("metric") == "nll") & (pl.col("variant") == variant)))
        ]
        claims.append(f"{name.lower()} {listed(told)}")
    return f"Duos with a worse NLL than their large model: {'; '.join(claims)}"


def _caption(board: Board) -> Iterator[str]:
    yield f"{board.dataset}."
    yield interval_note(board, "Intervals")
    yield (
        "Paired differences to the temperature-scaled large model; weights and temperatures are "
        "fitted on clean val data. Not corrected for their number: where nothing differs, about "
        f"{100 * (1 - board.level):.0f} % of the intervals exclude 0. The noise sidekick is a "
        "control. UQ only has the weighted duo's NLL and Brier score."
    )
