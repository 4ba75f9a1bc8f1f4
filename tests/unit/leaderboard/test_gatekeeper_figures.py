"""The figures of Gatekeeper: the values they show, and what their titles count."""

from dataclasses import replace

import matplotlib.style
import numpy as np
import polars as pl
import pytest

from sidekick.leaderboard import GATEKEEPER_FIGURES
from sidekick.leaderboard.figures import DRAW
from sidekick.leaderboard.figures.sweeps import (
    ALPHA_LOOK,
    CHOSEN_LOOK,
    CONTROL_LOOK,
    START_LOOK,
    collapse_note,
    sweeps,
)
from sidekick.leaderboard.plot import STYLE
from unit.leaderboard.boards import ALPHAS, SWEEP, board

MODELS = ["tiny", "small_cnn", "large_net"]


@pytest.fixture(autouse=True)
def _style():
    with matplotlib.style.context(["default", STYLE]):
        yield


@pytest.fixture(scope="module")
def own():
    return board(MODELS, gatekept=["tiny"])


@pytest.fixture(scope="module")
def axes_of(own):
    """The axes of each figure of the board as it is."""
    with matplotlib.style.context(["default", STYLE]):
        names = (*GATEKEEPER_FIGURES, "accuracy_vs_gmacs")
        return {name: DRAW[name](own).figure.axes for name in names}


def changed(own, condition, **columns):
    """Replace values in some rows."""
    new = [
        pl.when(condition).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)
        for name, value in columns.items()
    ]
    return replace(own, metrics=own.metrics.with_columns(new))


def value_of(own, metric, recipe, **other):
    found = own.rows(metric).filter(pl.col("recipe") == recipe, **other)
    assert len(found) == 1
    return found.row(0, named=True)


def alone(own, metric, recipe):
    return value_of(own, metric, recipe, predictor="single", large="tiny")


def markers(axes, look):
    """Give the points that are drawn with a look's marker."""
    return [
        (line.get_xdata()[0], line.get_ydata()[0])
        for line in axes.get_lines()
        if line.get_marker() == look.marker and line.get_color() == look.color
    ]


def lines(axes, look):
    """Give the curves that are drawn in a look's colour."""
    return [
        line
        for line in axes.get_lines()
        if line.get_color() == look.color and len(line.get_xdata()) > 2
    ]


def test_a_sweep_knows_its_recipes(own):
    (sweep,) = sweeps(own)
    assert (sweep.large, sweep.small) == ("large_net", "tiny")
    assert (sweep.base, sweep.start) == ("finetune", "finetune")
    assert dict(sweep.alphas) == ALPHAS
    assert sweep.recipes == ["finetune", *SWEEP]


def test_a_sweep_may_start_from_another_recipe(own):
    """The control's baseline names it."""
    control = (pl.col("recipe") == "ce_control") & (pl.col("variant") == "raw")
    label = pl.lit("single:raw:tiny@distill")
    metrics = own.metrics.with_columns(
        baseline=pl.when(control).then(label).otherwise(pl.col("baseline"))
    )
    assert sweeps(replace(own, metrics=metrics))[0].start == "distill"


def test_sweeps_are_ordered_by_cost():
    found = sweeps(board(MODELS, gatekept=["small_cnn", "tiny"]))
    assert [sweep.small for sweep in found] == ["tiny", "small_cnn"]


@pytest.mark.parametrize("figure", GATEKEEPER_FIGURES)
def test_without_a_sweep_that_is_told(figure):
    drawing = DRAW[figure](board(MODELS))
    (text,) = drawing.figure.axes[0].texts
    assert "No model of toys is gatekept" in text.get_text()


def test_panels_against_alpha_show_the_board(own, axes_of):
    axes = axes_of["gatekeeper_alpha"]
    s_o, s_d, accuracy = axes[:3]
    for panel, factor, read in (
        (s_o, 1, lambda recipe: alone(own, "overlap", recipe)),
        (accuracy, 100, lambda recipe: alone(own, "accuracy", recipe)),
        (
            s_d,
            1,
            lambda recipe: value_of(
                own, "s_d", f"finetune+{recipe}", predictor="cascade", variant="max_softmax"
            ),
        ),
    ):
        expected = [(alpha, factor * read(recipe)["value"]) for recipe, alpha in ALPHAS.items()]
        np.testing.assert_allclose(markers(panel, ALPHA_LOOK), expected)
        ((_, chosen),) = markers(panel, CHOSEN_LOOK)
        assert chosen == pytest.approx(factor * read("gatekeeper_chosen")["value"])
        (level,) = {
            line.get_ydata()[0]
            for line in panel.get_lines()
            if line.get_color() == CONTROL_LOOK.color
        }
        assert level == pytest.approx(factor * read("ce_control")["value"])
    untuned = {
        line.get_ydata()[0] for line in accuracy.get_lines() if line.get_color() == START_LOOK.color
    }
    assert untuned == {100 * alone(own, "accuracy", "finetune")["value"]}


@pytest.mark.parametrize(("panel", "ratio"), [(3, 0.25), (4, 0.5)])
def test_joint_accuracy_is_read_from_the_deferral_curve(own, axes_of, panel, ratio):
    axes = axes_of["gatekeeper_alpha"][panel]
    for (alpha, value), recipe in zip(markers(axes, ALPHA_LOOK), ALPHAS, strict=True):
        curve = own.curves.filter(
            curve="deferral",
            predictor="cascade",
            variant="max_softmax",
            recipe=f"finetune+{recipe}",
        ).sort("x")
        assert alpha == ALPHAS[recipe]
        assert value == pytest.approx(100 * np.interp(ratio, curve["x"], curve["y"]))


def test_the_tradeoff_has_a_point_per_recipe(own, axes_of):
    axes = axes_of["gatekeeper_alpha"][5]
    for look, recipes in (
        (ALPHA_LOOK, ALPHAS),
        (START_LOOK, ["finetune"]),
        (CONTROL_LOOK, ["ce_control"]),
        (CHOSEN_LOOK, ["gatekeeper_chosen"]),
    ):
        expected = []
        for recipe in recipes:
            pair = recipe if recipe == "finetune" else f"finetune+{recipe}"
            cascade = {"predictor": "cascade", "variant": "max_softmax", "small": "tiny"}
            s_d = value_of(own, "s_d", pair, large="large_net", **cascade)
            expected.append((100 * alone(own, "accuracy", recipe)["value"], s_d["value"]))
        np.testing.assert_allclose(markers(axes, look), expected)
    assert [text.get_text() for text in axes.texts] == ["0.1", "0.5", "0.9"]


@pytest.mark.parametrize(
    ("delta", "words"),
    [(0.01, "accuracy 3"), (-0.01, "accuracy 0 (3 worse)"), (0.0, "accuracy 0")],
)
def test_the_title_counts_alphas_against_the_control(own, delta, words):
    ends = {"delta": delta, "delta_low": delta - 0.005, "delta_high": delta + 0.005}
    accuracy = (pl.col("metric") == "accuracy") & (pl.col("variant") == "raw")
    title = DRAW["gatekeeper_alpha"](changed(own, accuracy, **ends)).title
    told = title.replace("\N{NO-BREAK SPACE}", " ").partition(": ")[2].split(", ")
    assert words in told
    assert title.startswith("Of 3 alphas, better than the equal-steps control")


def test_both_controls_are_counted(own):
    area, suffix = (
        pl.col("metric") == "deferral_area",
        pl.col("variant").str.ends_with("_vs_untuned"),
    )
    better = {"delta": 0.01, "delta_low": 0.005, "delta_high": 0.015}
    worse = {"delta": -0.01, "delta_low": -0.015, "delta_high": -0.005}
    title = DRAW["gatekeeper_deferral"](
        changed(changed(own, area & ~suffix, **worse), area & suffix, **better)
    ).title
    assert title == (
        "Gatekeeper's deferral area beats the equal-steps control in 0 of 3 alphas (worse in 3), "
        "the untuned model in 3 of 3 alphas; the α chosen on val is worse than the control"
    )


def test_every_alpha_has_a_panel_with_both_controls(own, axes_of):
    panels = axes_of["gatekeeper_deferral"]
    for axes, recipe in zip(panels, [*ALPHAS, "gatekeeper_chosen"], strict=True):
        looks = {
            "finetune": START_LOOK,
            "finetune+ce_control": CONTROL_LOOK,
            f"finetune+{recipe}": CHOSEN_LOOK if recipe == "gatekeeper_chosen" else ALPHA_LOOK,
        }
        for name, look in looks.items():
            curve = own.curves.filter(
                curve="deferral", predictor="cascade", variant="max_softmax", recipe=name,
                large="large_net", small="tiny",
            ).sort("x")  # fmt: skip
            (line,) = lines(axes, look)
            np.testing.assert_allclose(line.get_ydata(), 100 * curve["y"].to_numpy())


def test_confidence_shows_roc_and_densities_of_every_recipe(own, axes_of):
    roc, *densities = axes_of["gatekeeper_confidence"]
    recipes = ["finetune", *SWEEP]
    # And the diagonal.
    assert len(roc.get_lines()) == len(recipes) + 1
    for line, recipe in zip(roc.get_lines()[1:], recipes, strict=True):
        curve = own.curves.filter(curve="roc", large="tiny", recipe=recipe).sort("x")
        np.testing.assert_allclose(line.get_ydata(), 100 * curve["y"].to_numpy())
    assert len(densities) == len(recipes)
    for axes, recipe in zip(densities, recipes, strict=True):
        value = 100 * alone(own, "auroc", recipe)["value"]
        assert f"AUROC {value:.1f} [" in axes.get_title(loc="left")
        for line, kind in zip(axes.get_lines(), ("correct", "wrong"), strict=True):
            curve = own.curves.filter(curve=f"density_{kind}", large="tiny", recipe=recipe)
            np.testing.assert_allclose(
                line.get_ydata(), np.maximum(curve.sort("x")["y"].to_numpy(), 0.01)
            )


def test_collapsed_models_are_marked_and_named(own):
    broken = (pl.col("recipe") == "gatekeeper_a10") & (pl.col("predictor") == "single")
    marked = changed(own, broken, note="collapsed (seed 1): one class")
    assert collapse_note(own, sweeps(own)) == ""
    expected = "Collapsed, by val, in some seed: Gatekeeper α 0.1."
    drawings = {figure: DRAW[figure](marked) for figure in GATEKEEPER_FIGURES}
    for drawing in drawings.values():
        assert expected in drawing.caption
    hollow = [
        line.get_xdata()[0]
        for line in drawings["gatekeeper_alpha"].figure.axes[2].get_lines()
        if line.get_marker() == ALPHA_LOOK.marker and line.get_markerfacecolor() == "white"
    ]
    assert hollow == [0.1]


def test_the_chosen_alphas_are_told(own):
    caption = DRAW["gatekeeper_deferral"](own).caption
    assert "Chosen by the area on val: α 0.1 (2) and α 0.5 (1) of 3 seeds." in caption


def curve_in(axes, label):
    (line,) = [line for line in axes.get_lines() if line.get_label() == label]
    return line.get_xdata(), line.get_ydata()


def test_all_cascades_stand_at_what_they_cost(own, axes_of):
    (axes,) = axes_of["accuracy_vs_gmacs"]
    small, large = 1.0, 1.33**2
    for label, predictor, variant, recipe in (
        ("Cascade", "cascade", "max_softmax", "finetune"),
        ("Duo cascade", "duo_cascade", "max_softmax", "finetune"),
        ("Cascade, learned gate", "cascade", "learned", "finetune"),
        ("Gatekeeper, α chosen on val", "cascade", "max_softmax", "finetune+gatekeeper_chosen"),
    ):
        curve = own.curves.filter(
            curve="deferral", predictor=predictor, variant=variant, recipe=recipe,
            large="large_net", small="tiny",
        ).sort("x")  # fmt: skip
        x, y = curve_in(axes, label)
        # In MMACs.
        np.testing.assert_allclose(x, small + large * curve["x"].to_numpy())
        np.testing.assert_allclose(y, 100 * curve["y"].to_numpy())


def test_where_no_alpha_was_chosen_every_one_is_drawn(own):
    kept = [
        table.filter(~pl.col("recipe").str.contains("gatekeeper_chosen"))
        for table in (own.metrics, own.curves, own.fits)
    ]
    (axes,) = DRAW["accuracy_vs_gmacs"](replace(own, **dict(zip(
        ("metrics", "curves", "fits"), kept, strict=True
    )))).figure.axes  # fmt: skip
    drawn = [line for line in axes.get_lines() if line.get_label() == "Gatekeeper, each α"]
    assert len(drawn) == len(ALPHAS)


def test_without_a_sweep_the_main_pair_is_drawn():
    drawing = DRAW["accuracy_vs_gmacs"](board(MODELS))
    labels = {line.get_label() for line in drawing.figure.axes[0].get_lines()}
    assert {"Cascade", "Duo cascade", "Cascade, learned gate", "Random deferral"} <= labels
    assert not any("Gatekeeper" in label for label in labels)
    assert "tiny → large_net" in drawing.caption
