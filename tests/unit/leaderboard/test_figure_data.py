"""The tables beside the figures: what is drawn stands in them, and the other way round."""

import numpy as np
import polars as pl
import pytest
from matplotlib.colors import to_rgb

from sidekick.leaderboard.figures import DRAW
from sidekick.leaderboard.figures.deltas import MARKS
from sidekick.leaderboard.figures.look import LOOKS
from sidekick.leaderboard.figures.page import DOUBLE, SINGLE, annotate, empty_figure, new_figure
from unit.leaderboard.boards import board

MODELS = ["tiny", "mid", "large"]
# Figures whose marks are the board's values or points, in percent or as they are. The others show
# differences with another sign, shares, or what was computed from several rows.
AS_THEY_ARE = {
    "accuracy_by_level",
    "accuracy_vs_gmacs",
    "aurc_vs_gmacs",
    "deferral",
    "gatekeeper_confidence",
    "gatekeeper_deferral",
    "mc_dropout_normality",
    "mc_dropout_rejection",
    "mc_dropout_sensitivity",
    "reliability",
    "risk_coverage",
    "severity",
}


@pytest.fixture(scope="module")
def drawings():
    made = board(MODELS, gatekept=["tiny"], groups={"level": ["1", "2"], "subject": ["x", "y"]})
    return {name: draw(made) for name, draw in DRAW.items()}


def numbers(drawing):
    """All numbers of a figure's table."""
    table = drawing.data.select(pl.selectors.numeric().cast(pl.Float64))
    return table.to_numpy().ravel()


def marks(drawing):
    """The coordinates of all lines and markers but for those that span the axes."""
    for axes in filter(lambda axes: axes.axison, drawing.figure.axes):
        for line in axes.get_lines():
            if line.get_transform() == axes.transData and len(line.get_xdata()) != 2:
                yield np.asarray(line.get_ydata(), float), np.asarray(line.get_xdata(), float)


@pytest.mark.parametrize("name", sorted(AS_THEY_ARE))
def test_what_is_drawn_is_in_the_table(drawings, name):
    known = numbers(drawings[name])
    known = np.sort(np.concatenate([known, 100 * known]))
    known = known[np.isfinite(known)]
    checked = 0
    for y, x in marks(drawings[name]):
        # Subjects stand below each other: their values are on the other axis.
        is_place = np.isclose(y, np.round(y, 2)).all() and not np.isclose(x, np.round(x, 2)).all()
        values = x if is_place else y
        values = values[np.isfinite(values) & (values > 0.01)]
        place = np.clip(np.searchsorted(known, values), 1, len(known) - 1)
        nearest = np.minimum(abs(known[place] - values), abs(known[place - 1] - values))
        assert (nearest <= 1e-9 * np.maximum(values, 1)).all(), (name, values)
        checked += values.size
    assert checked > 5


@pytest.mark.parametrize("name", sorted(DRAW))
def test_tables_have_rows_without_repetition_and_no_empty_column(drawings, name):
    table = drawings[name].data
    assert len(table) > 1
    assert not table.is_duplicated().any()
    assert all(column.null_count() < len(column) for column in table)


def test_budgets_say_what_was_chosen_and_what_it_costs(drawings):
    table = drawings["budgets"].data
    assert set(table["group"]) <= {"chosen", "other", "ensemble"}
    assert "chosen" in set(table["group"])
    assert (table["relative_cost"] > 1).all()


def test_all_bought_groups_are_within_the_axes(drawings):
    for axes in drawings["budgets"].figure.axes:
        left, right = axes.get_xlim()
        assert left == 1
        for line in axes.get_lines():
            if line.get_transform() == axes.transData:
                assert all(left <= x <= right for x in line.get_xdata())


def test_harm_counts_every_pair(drawings):
    table = drawings["harm"].data
    assert (table["better"] + table["none"] + table["worse"] == table["pairs"]).all()
    assert set(table["pairs"]) == {3}


def test_deltas_tell_the_verdict(drawings):
    table = drawings["deltas"].data
    assert set(table["verdict"]) <= set(MARKS)
    inside = (table["delta_low"] <= 0) & (table["delta_high"] >= 0)
    assert (inside == (table["verdict"] == "none")).all()


def test_a_figure_without_anything_has_an_empty_table():
    table = empty_figure("Nothing", "There is nothing.").data
    assert table.columns == ["dataset"]
    assert table.is_empty()


def test_widths_are_those_of_a_papers_columns(drawings):
    assert {round(d.figure.get_figwidth(), 3) for d in drawings.values()} <= {SINGLE, DOUBLE}
    narrow = board(["tiny", "large"])
    for name in ("deferral", "weight_ratio"):
        assert DRAW[name](narrow).figure.get_figwidth() == pytest.approx(SINGLE)


def test_a_long_title_fits_a_single_column():
    figure = new_figure(1.0, SINGLE)
    figure.subplots()
    drawing = annotate(figure, "word " * 60, ["more " * 60])
    renderer = drawing.figure.canvas.get_renderer()
    for text in drawing.figure.texts:
        assert text.get_window_extent(renderer).x1 <= SINGLE * drawing.figure.dpi


# Viénot, Brettel and Mollon (1999), in linear RGB.
_BLIND = {
    "protanopia": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    "deuteranopia": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
}


def seen(color, blindness):
    """A colour as a colour-blind person sees it, in linear RGB."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.array(_BLIND[blindness]) @ linear


@pytest.mark.parametrize("blindness", sorted(_BLIND))
def test_better_worse_and_undecided_are_told_apart_without_seeing_red_or_green(blindness):
    colors = [seen(mark["color"], blindness) for mark in MARKS.values()]
    distances = [np.linalg.norm(a - b) for i, a in enumerate(colors) for b in colors[:i]]
    assert min(distances) > 0.05


def test_families_are_told_apart_without_any_colour():
    markers = [look.marker for look in LOOKS.values()]
    assert len(set(markers)) == len(markers)
    assert len({mark["marker"] for mark in MARKS.values()}) == len(MARKS)
