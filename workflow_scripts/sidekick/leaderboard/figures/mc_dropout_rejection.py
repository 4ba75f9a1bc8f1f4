"""What the accept/ignore rule of MC dropout keeps, beside a network without dropout."""

from collections.abc import Iterator, Sequence

import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sidekick.leaderboard.figures.dropout import (
    CLOSED,
    CLOSED_NAME,
    CONTROL,
    DROPOUT,
    MOST_NETWORKS,
    Headed,
    headed,
    headed_name,
    pass_counts,
    rule_levels,
    values,
)
from sidekick.leaderboard.figures.page import (
    Drawing,
    annotate,
    empty_figure,
    interval_note,
    new_figure,
    samples_note,
)
from sidekick.leaderboard.figures.rows import Board, verdicts

# The axis starts a little before the first curve reaches this error.
_VISIBLE = 0.0005
# Of the control and of the score, which lie one on the other.
_LINES = ("-", (0, (3, 1.5)))
_TITLE = "Accept or ignore: error of what is kept"


def draw(board: Board) -> Drawing:
    """Draw the kept error against coverage: the rule, its score, and the control."""
    found = headed(board)
    if not found:
        return empty_figure(_TITLE, f"No model of {board.dataset} has an MC-dropout head.")
    shown = found[:MOST_NETWORKS]
    figure = new_figure(2.5 * len(shown))
    rows = figure.subplots(len(shown), 2, squeeze=False)
    drawn = []
    for network, (clean, shifted) in zip(shown, rows, strict=True):
        drawn += _draw_curves(clean, network.of(board.curves))
        overall = board.shift.filter(pl.col("severity").is_null())
        for axes, table in ((clean, board.test), (shifted, overall)):
            _draw_rules(axes, network.of(table))
            drawn.append(_rules(network.of(table)))
            axes.set_xlabel("Coverage (%)")
            axes.set_ylabel("Error of the kept (%)")
            axes.margins(y=0.1)
        clean.set_ylim(0)
        clean.set_title(f"{headed_name(board, network)}: clean test")
        shifted.set_title("All corruptions and severities")
        if network.of(overall).is_empty():
            shifted.text(0.5, 0.5, "No shift", transform=shifted.transAxes, ha="center")
    return annotate(figure, _claim(board, found), _caption(board, found), _legend(), drawn)


def _rules(rows: pl.DataFrame) -> pl.DataFrame:
    """Give what rules and their controls keep."""
    rules = pl.col("variant").str.contains("^(deterministic_at_)?interval")
    return rows.filter(rules & pl.col("metric").is_in(["coverage", "kept_error"]))


def _draw_curves(axes: Axes, curves: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Draw the two rankings; give their points."""
    curves = curves.filter((pl.col("curve") == "risk_coverage") & pl.col("y").is_finite())
    starts = [90.0]
    for variant, look in (("deterministic", CONTROL), (f"score_{CLOSED_NAME}", CLOSED)):
        own = curves.filter(pl.col("variant") == variant).sort("x")
        x, y, low, high = (100 * own[name].to_numpy() for name in ("x", "y", "low", "high"))
        axes.fill_between(x, low, high, color=look.color, alpha=0.12, linewidth=0)
        axes.plot(x, y, color=look.color, linestyle=_LINES[look is CLOSED])
        yield own
        seen = own.filter(pl.col("y") > _VISIBLE)["x"]
        starts += [] if seen.is_empty() else [100 * seen.min() - 5]
    axes.set_xlim(max(min(starts), 0), 101)


def _draw_rules(axes: Axes, rows: pl.DataFrame) -> None:
    """Draw each rule, joined to the control that keeps as much."""
    names = [*map(str, pass_counts(rows)), CLOSED_NAME]
    for name in names:
        look = CLOSED if name == CLOSED_NAME else DROPOUT
        rules = [f"interval{level}_{name}" for level in rule_levels(rows)]
        rivals = [f"deterministic_at_{rule}" for rule in rules]
        shares, errors = values(rows, "coverage", rules), values(rows, "kept_error", rules)
        controls = values(rows, "kept_error", rivals)
        for share, error, control in zip(shares, errors, controls, strict=True):
            if share is None or error is None:
                continue
            if control is not None:
                ends = [100 * error, 100 * control]
                axes.plot([100 * share] * 2, ends, color="#999999", linewidth=0.6, zorder=2)
                axes.plot(100 * share, ends[1], **_marker(CONTROL, hollow=True), zorder=3)
            axes.plot(100 * share, 100 * error, **_marker(look), zorder=4)


def _marker(look, hollow: bool = False) -> dict:
    face = "white" if hollow else look.color
    return {
        "marker": look.marker,
        "color": look.color,
        "markerfacecolor": face,
        "linestyle": "none",
        "markersize": 3.5,
    }


def _legend() -> Sequence[Line2D]:
    return [
        Line2D([], [], color=CONTROL.color, label="No dropout, by largest sigmoid"),
        Line2D([], [], label="  as many kept as by the rule", **_marker(CONTROL, hollow=True)),
        Line2D([], [], label="Rule, sampled passes", **_marker(DROPOUT)),
        Line2D([], [], label="Rule, closed form", **_marker(CLOSED)),
        Line2D([], [], color=CLOSED.color, linestyle=_LINES[1], label="Its score as a ranking"),
    ]


def _claim(board: Board, found: Sequence[Headed]) -> str:
    """Count where the rule keeps fewer errors than its control, on clean test data."""
    rows = board.compared("kept_error").filter(pl.col("variant").str.starts_with("interval"))
    told = [verdict for network in found for verdict in verdicts(network.of(rows))]
    if not told:
        return f"{_TITLE}: nothing to compare"
    return (
        "Rules with fewer errors than no dropout at equal coverage: "
        f"{told.count('better')} of {len(told)}, with more: {told.count('worse')}"
    )


def _caption(board: Board, found: Sequence[Headed]) -> Iterator[str]:
    yield samples_note(board)
    yield interval_note(board, "Bands (pointwise)")
    rows = found[0].of(board.test)
    counts = ", ".join(map(str, pass_counts(rows)))
    levels = ", ".join(f"{level / 100:g}" for level in rule_levels(rows))
    yield (
        f"Rules: N of {counts} passes or none, confidence factors {levels}; each is joined to the "
        "control that keeps as many samples. Lower is better. The title counts paired differences "
        "on clean test data whose intervals exclude 0, not corrected for their number."
    )
    if len(found) > MOST_NETWORKS:
        yield f"The first {MOST_NETWORKS} of {len(found)} networks."
