"""The figures: what they show, and that they stay readable on all kinds of boards."""

from dataclasses import replace

import matplotlib.style
import numpy as np
import polars as pl
import pytest
from matplotlib.text import Text

from sidekick.leaderboard import GATEKEEPER_FIGURES
from sidekick.leaderboard.figures import DRAW
from sidekick.leaderboard.figures.deltas import MARKS
from sidekick.leaderboard.figures.rows import pareto_front
from sidekick.leaderboard.plot import STYLE
from unit.leaderboard.boards import board

MODELS = ["tiny", "small_cnn", "large_net"]
NO_METHOD = "oracle|noise|random|as_released"
LONG = ["a" * 40 + "b" * 24, "a" * 40 + "c" + "b" * 23, "d" * 64]

LEVELS = [str(level) for level in range(1, 8)]
SUBJECTS = [f"college_and_high_school_science_{index:02d}" for index in range(57)]


@pytest.fixture(autouse=True)
def _style():
    with matplotlib.style.context(["default", STYLE]):
        yield


def drawn_texts(drawing, monkeypatch):
    """Give each text that is drawn, with its extent."""
    found = []
    original = Text.draw

    def record(self, renderer, *args, **options):
        if self.get_visible() and self.get_text().strip():
            found.append((self.get_text(), self.get_window_extent(renderer)))
        return original(self, renderer, *args, **options)

    monkeypatch.setattr(Text, "draw", record)
    drawing.figure.draw_without_rendering()
    monkeypatch.undo()
    return found


def undefined(own):
    """Make all values and differences of a board NaN."""
    columns = ["value", "low", "high", "delta", "delta_low", "delta_high"]
    return replace(
        own,
        metrics=own.metrics.with_columns(pl.lit(np.nan).alias(name) for name in columns),
        curves=own.curves.with_columns(pl.lit(np.nan).alias(name) for name in ("y", "low", "high")),
    )


def partly_undefined(own):
    """Make every third value, and every fifth interval, of a board NaN."""
    row = pl.int_range(pl.len())
    nan = pl.lit(np.nan)
    third = [
        pl.when(row % 3 == 0).then(nan).otherwise(pl.col(name)).alias(name)
        for name in ("value", "low", "high", "delta", "delta_low", "delta_high")
    ]
    fifth = [
        pl.when(row % 5 == 0).then(nan).otherwise(pl.col(name)).alias(name)
        for name in ("low", "high", "delta_low", "delta_high")
    ]
    return replace(own, metrics=own.metrics.with_columns(third).with_columns(fifth))


def perfect(own):
    """Make a board whose predictors never err: nothing fits on a log axis."""
    zeros = [pl.lit(0.0).alias(name) for name in ("value", "low", "high", "delta")]
    none = [pl.lit(0.0).alias(name) for name in ("y", "low", "high")]
    return replace(
        own, metrics=own.metrics.with_columns(zeros), curves=own.curves.with_columns(none)
    )


ALL = list(DRAW)
# How to make a board, and the figures on which it tells.
BOARDS = {
    "one model": (lambda: board(["only"]), [name for name in ALL if name != "reliability"]),
    "two models, one seed, no shift, no dropout": (
        lambda: board(MODELS[:2], seeds=1, shift=False, mc_dropout=False),
        ["aurc_vs_gmacs", "risk_coverage", "deferral", "severity", "deltas"],
    ),
    "long names, gaps": (lambda: partly_undefined(board(LONG)), ALL),
    "twenty models": (
        lambda: board([f"vit_base_patch{index:02d}" for index in range(20)], shift=False),
        ["improvement_vs_flops_balance", "aurc_vs_gmacs", "deferral", "deltas"],
    ),
    "all undefined": (lambda: undefined(board(MODELS, gatekept=MODELS[:1])), ALL),
    "a gatekept model": (
        lambda: board(MODELS, gatekept=MODELS[:1]),
        ["accuracy_vs_gmacs", *GATEKEEPER_FIGURES],
    ),
    "gatekept, long names, gaps": (
        lambda: partly_undefined(board(LONG, gatekept=LONG[:2])),
        ["aurc_vs_gmacs", "accuracy_vs_gmacs", "deltas", *GATEKEEPER_FIGURES],
    ),
    "gatekept, many": (
        lambda: board([f"net{index}" for index in range(6)], gatekept=["net1", "net0"]),
        ["deltas"],
    ),
    "questions": (
        lambda: board(MODELS, shift=False, groups={"level": ["1", "2"], "subject": SUBJECTS[:5]}),
        ["accuracy_by_level"],
    ),
    "questions, long names, many subjects": (
        lambda: board(LONG, shift=False, groups={"level": LEVELS, "subject": SUBJECTS}),
        ["accuracy_by_level"],
    ),
    "questions of one model": (
        lambda: board(["only"], shift=False, groups={"subject": SUBJECTS[:2]}),
        ["accuracy_by_level"],
    ),
    "perfect": (lambda: perfect(board(MODELS)), ["aurc_vs_gmacs", "risk_coverage"]),
}


@pytest.fixture(scope="module")
def boards():
    return {name: make() for name, (make, _) in BOARDS.items()}


@pytest.mark.parametrize(
    ("name", "figure"), [(name, figure) for name, (_, own) in BOARDS.items() for figure in own]
)
def test_texts_are_whole_and_apart(name, figure, boards, monkeypatch):
    drawing = DRAW[figure](boards[name])
    texts = drawn_texts(drawing, monkeypatch)
    width, height = drawing.figure.get_size_inches() * drawing.figure.dpi
    assert drawing.title
    for text, box in texts:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= width + 1, text
        assert box.y1 <= height + 1, text
    for index, (text, box) in enumerate(texts):
        for other, more in texts[:index]:
            # Descenders and accents that no letter uses count as part of a box.
            apart = (
                min(box.x1, more.x1) - max(box.x0, more.x0) < 2
                or min(box.y1, more.y1) - max(box.y0, more.y0) < 4
            )
            assert apart, (text, other)


@pytest.mark.parametrize(
    "figure", ["improvement_vs_flops_balance", "deferral", "accuracy_vs_gmacs"]
)
def test_one_model_is_told_what_is_missing(figure, boards, monkeypatch):
    texts = [text for text, _ in drawn_texts(DRAW[figure](boards["one model"]), monkeypatch)]
    assert any("needs at least two models" in text for text in texts)


def test_no_shift_is_told(boards, monkeypatch):
    own = boards["two models, one seed, no shift, no dropout"]
    texts = [text for text, _ in drawn_texts(DRAW["severity"](own), monkeypatch)]
    assert any("No results on corrupted data" in text for text in texts)


def test_captions_say_what_the_intervals_are(boards):
    several = DRAW["risk_coverage"](boards["one model"]).caption
    one = DRAW["risk_coverage"](boards["two models, one seed, no shift, no dropout"]).caption
    assert "toys, test: 90 samples × 3 seeds" in several
    assert "95 % bootstrap intervals over samples and seeds" in several
    assert "90 samples × 1 seed." in one
    assert "over samples." in one


def test_no_control_enters_the_front(monkeypatch):
    own = board(MODELS)
    control = pl.col("variant").str.contains(NO_METHOD)
    best = pl.when(control).then(1e-6).otherwise(pl.col("value")).alias("value")
    drawing = DRAW["aurc_vs_gmacs"](replace(own, metrics=own.metrics.with_columns(best)))
    listed = [text for text, _ in drawn_texts(drawing, monkeypatch) if ": 0.0" in text]
    assert listed
    assert not any(
        word in text for text in listed for word in ("noise", "random", "ordering", "released")
    )
    assert "control" not in drawing.title


def test_front_is_numbered_and_listed():
    own = board(MODELS)
    rows = own.rows("aurc").filter(~pl.col("variant").str.contains(NO_METHOD))
    front = pareto_front(rows["gmacs"], rows["value"])
    axes, side = DRAW["aurc_vs_gmacs"](own).figure.axes
    numbers = [str(number) for number in range(1, len(front) + 1)]
    for part in (axes, side):
        bold = [text.get_text() for text in part.texts if text.get_weight() == "bold"]
        assert bold == numbers


def markers(drawing):
    """Give the markers of the differences in a forest plot."""
    lines = [line for axes in drawing.figure.axes for line in axes.get_lines()]
    return {
        (line.get_marker(), line.get_markerfacecolor())
        for line in lines
        if line.get_marker() != "None"
    }


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.0, 0.02, "none"),
        (None, None, "none"),
        (0.001, 0.02, "worse"),
        (-0.02, -0.001, "better"),
    ],
)
def test_a_difference_is_drawn_as_its_interval_says(low, high, verdict):
    own = board(["a", "b"], shift=False, mc_dropout=False)
    bounds = {"delta_low": low, "delta_high": high}
    columns = [pl.lit(value, pl.Float64).alias(name) for name, value in bounds.items()]
    # Both metrics of the forest plot are better when lower.
    drawing = DRAW["deltas"](replace(own, metrics=own.metrics.with_columns(columns)))
    mark = MARKS[verdict]
    assert markers(drawing) == {(mark["marker"], mark.get("markerfacecolor", mark["color"]))}
    count = len(own.compared("aurc").filter(~pl.col("variant").str.contains(NO_METHOD)))
    better, worse = (count if verdict == word else 0 for word in ("better", "worse"))
    assert f"AURC {better} better, {worse} worse of {count}" in drawing.title


def test_the_duo_cascade_counts_by_area_and_the_cascade_by_gain():
    own = board(MODELS, gatekept=["tiny"])
    bounds = {
        ("cascade", "deferral_gain_area"): 0.1,
        ("cascade", "deferral_area"): -0.1,
        ("duo_cascade", "deferral_gain_area"): 0.1,
        ("duo_cascade", "deferral_area"): -0.1,
    }
    metrics = own.metrics
    for (predictor, metric), value in bounds.items():
        same = (pl.col("predictor") == predictor) & (pl.col("metric") == metric)
        new = [
            pl.when(same).then(value).otherwise(pl.col(name)).alias(name)
            for name in ("delta", "delta_low", "delta_high")
        ]
        metrics = metrics.with_columns(new)
    title = DRAW["deferral"](replace(own, metrics=metrics)).title
    # Neither other gates nor gatekept models are pairs of their own.
    assert title == (
        "Deferral by confidence beats random in 3 of 3 pairs; duos add to it in 0 (worse in 3)"
    )


def test_thinned_forest_says_so_and_fits(boards):
    drawing = DRAW["deltas"](boards["twenty models"])
    assert "predictors of the largest model" in drawing.caption
    rows = sum(len(axes.get_yticks()) for axes in drawing.figure.axes[::2])
    assert rows < 75


def test_duos_are_placed_by_their_balance():
    own = board(MODELS)
    drawing = DRAW["improvement_vs_flops_balance"](own)
    letters = {text.get_text(): text.get_position()[0] for text in drawing.figure.axes[0].texts}
    balances = [100 * pair.balance for pair in own.pairs]
    assert sorted(letters) == list("ABC")
    # Two of the three have the same balance; the other stays where it is.
    np.testing.assert_allclose(letters["A"], balances[0], rtol=1e-9)
    assert letters["B"] < balances[1] < letters["C"]


def with_accuracy(own, values):
    """Set the accuracy of the large model alone on some groups."""
    same = (pl.col("predictor") == "temperature") & (pl.col("large") == own.models[0])
    accuracy = pl.col("value")
    for group, value in values.items():
        here = same & (pl.col("group") == group) & (pl.col("metric") == "accuracy")
        accuracy = pl.when(here).then(value).otherwise(accuracy)
    return replace(own, parts=own.parts.with_columns(accuracy.alias("value")))


def test_samples_without_groups_are_told(boards, monkeypatch):
    drawing = DRAW["accuracy_by_level"](boards["one model"])
    texts = [text for text, _ in drawn_texts(drawing, monkeypatch)]
    assert "The questions of toys have no groups." in texts


def test_accuracy_by_level_draws_the_board_with_its_intervals(boards):
    own = boards["questions"]
    levels, subjects = DRAW["accuracy_by_level"](own).figure.axes
    assert [text.get_text() for text in levels.get_xticklabels()] == ["level 1", "level 2"]
    assert len(subjects.get_yticklabels()) == 5
    # The small model, the large one and the duo, on either level.
    drawn = sorted(line.get_ydata()[0] for line in levels.get_lines())
    rows = own.parts.filter(
        (pl.col("grouping") == "level")
        & (pl.col("metric") == "accuracy")
        & (
            ((pl.col("predictor") == "duo") & (pl.col("variant") == "weighted"))
            | ((pl.col("predictor") == "temperature") & (pl.col("variant") == "scaled"))
        )
        & pl.col("large").is_in([own.main_pair.large, own.main_pair.small])
        & (pl.col("small").is_null() | (pl.col("small") == own.main_pair.small))
        & (pl.col("recipe") == "finetune")
    ).filter(~((pl.col("predictor") == "duo") & (pl.col("large") != own.main_pair.large)))
    assert len(drawn) == len(rows) == 6
    np.testing.assert_allclose(drawn, 100 * rows["value"].sort())
    bars = [
        segment[:, 1] for collection in levels.collections for segment in collection.get_segments()
    ]
    np.testing.assert_allclose(
        sorted(map(tuple, bars)), sorted((100 * rows.select("low", "high").to_numpy()).tolist())
    )


def test_subjects_are_ordered_by_the_large_model_and_the_middle_is_left_out(boards):
    own = boards["questions, long names, many subjects"]
    values = {subject: (index * 31 % 57) / 100 for index, subject in enumerate(SUBJECTS)}
    drawing = DRAW["accuracy_by_level"](with_accuracy(own, values))
    *_, axes = drawing.figure.axes
    ordered = sorted(SUBJECTS, key=values.get)
    shown = [*ordered[:10], *ordered[-10:]]
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        subject.replace("_", " ") for subject in shown
    ]
    assert "Of 57 subjects the 10 hardest and the 10 easiest." in drawing.caption


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ((0.01, 0.02), "more accurate on 2 of 2 levels, and less on none"),
        ((-0.02, -0.01), "more accurate on 0 of 2 levels, less on 2"),
        ((-0.01, 0.02), "more accurate on 0 of 2 levels, and less on none"),
    ],
)
def test_the_title_counts_levels_by_their_intervals(boards, bounds, told):
    own = boards["questions"]
    columns = [
        pl.lit(value).alias(name)
        for name, value in zip(("delta_low", "delta_high"), bounds, strict=True)
    ]
    drawing = DRAW["accuracy_by_level"](replace(own, parts=own.parts.with_columns(columns)))
    assert drawing.title == f"The duo is {told}"
