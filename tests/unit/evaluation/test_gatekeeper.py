"""Rows of a Gatekeeper sweep, against direct computation and against the pair's own rows."""

import numpy as np
import pytest

from sidekick.errors import SidekickError
from sidekick.logit_cache import read_logits
from sidekick.metrics import evaluate_deferral, max_softmax, unit_weights
from unit.evaluation.benchmark import (
    BIG,
    SMALL,
    Benchmark,
    assert_every_nan_is_explained,
    pick,
    row,
)

# How much the logits of each recipe know; `flat` says nearly the same of everything.
MODELS = {
    BIG: (2.0, 2.2),
    SMALL: (0.5, 1.2),
    "control": (0.5, 1.4),
    "low": (0.5, 0.9),
    "high": (0.5, 1.6),
    "flat": (0.5, 1.0),
}
RECIPES = {
    "ce_control": "control",
    "gatekeeper_a10": "low",
    "gatekeeper_a50": "flat",
    "gatekeeper_a90": "high",
}
PAIR = f"{BIG}+{SMALL}"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    sizes = {"val": 200, "test": 150, "shift": 30}
    made = Benchmark(tmp_path_factory.mktemp("gatekeeper"), models=MODELS, sizes=sizes)
    for (_, model, _), columns in made.data.items():
        if model == "flat":
            columns["logits"] *= 0.01
    made.cascade = {"deferral_ratios": [0.25], "budgets": [0.5], "gates": ["margin", "learned"]}
    return made.write()


@pytest.fixture(scope="module")
def tables(made):
    return made.gatekeeper(RECIPES)


def of(made, split, model, seed):
    cache = read_logits(made.path(split, model, seed))
    logits = cache.logits.astype(np.float64)
    return logits, (logits.argmax(axis=1) == cache.labels).astype(float)


def area(made, split, model, seed):
    logits, right = of(made, split, model, seed)
    _, large = of(made, split, BIG, seed)
    found = evaluate_deferral(max_softmax(logits), right, large, unit_weights(len(right)))
    return found.deferral_area[0]


def recipe(name):
    return f"finetune+{name}"


@pytest.mark.parametrize("name", list(RECIPES))
def test_areas_are_those_of_the_recipes_logits(made, tables, name):
    place = {"predictor": "cascade", "variant": "max_softmax", "recipe": recipe(name)}
    found = row(tables["metrics"], **place, split="test", metric="deferral_area")
    expected = np.mean([area(made, "test", RECIPES[name], seed) for seed in made.seeds])
    assert found["value"] == pytest.approx(expected, abs=1e-4)


def test_alphas_are_compared_with_the_control_and_with_the_start(made, tables):
    rows = pick(tables["metrics"], split="test", metric="deferral_area", predictor="cascade")
    values = {
        name: np.mean([area(made, "test", model, seed) for seed in made.seeds])
        for name, model in {**RECIPES, "start": SMALL}.items()
    }
    for name in ("gatekeeper_a10", "gatekeeper_a50", "gatekeeper_a90"):
        for variant, other, label in (
            ("max_softmax", "ce_control", f"cascade:max_softmax:{PAIR}@finetune+ce_control"),
            ("max_softmax_vs_untuned", "start", f"cascade:max_softmax:{PAIR}"),
        ):
            found = row(rows, recipe=recipe(name), variant=variant)
            assert found["baseline"] == label
            assert found["delta"] == pytest.approx(values[name] - values[other], abs=1e-4)
    control = row(rows, recipe=recipe("ce_control"), variant="max_softmax")
    assert control["baseline"] == f"cascade:max_softmax:{PAIR}"


def test_the_small_model_alone_is_compared_in_the_same_way(tables):
    rows = pick(tables["metrics"], split="test", metric="accuracy", predictor="single")
    assert set(rows["small"]) == {None}
    found = row(rows, recipe="gatekeeper_a10", variant="raw")
    assert found["baseline"] == f"single:raw:{SMALL}@ce_control"
    assert found["gmacs"] == 0.5
    again = row(rows, recipe="gatekeeper_a10", variant="raw_vs_untuned")
    assert again["baseline"] == f"single:raw:{SMALL}"
    assert again["value"] == found["value"]


def test_what_the_start_has_on_the_board_is_written_elsewhere(made, tables):
    assert not len(pick(tables["metrics"], recipe="finetune"))
    pair = made.pairs(SMALL, BIG)["metrics"]
    assert set(pair["recipe"]) == {"finetune"}


def test_alpha_is_chosen_on_val_by_area(made, tables):
    place = {"recipe": recipe("gatekeeper_chosen"), "predictor": "cascade"}
    told = pick(tables["fits"], **place, variant="max_softmax").sort("seed")
    values = []
    for seed, note in zip(made.seeds, told["note"], strict=True):
        alphas = [name for name in RECIPES if name != "ce_control"]
        best = max(alphas, key=lambda name, seed=seed: area(made, "val", RECIPES[name], seed))
        assert note.startswith(f"chose {best} by the area on val")
        values.append(area(made, "test", RECIPES[best], seed))
    found = row(
        tables["metrics"], **place, variant="max_softmax", split="test", metric="deferral_area"
    )
    assert found["value"] == pytest.approx(np.mean(values), abs=1e-4)


def test_a_collapsed_model_is_on_the_board_and_marked(tables):
    marked = tables["metrics"].filter(
        tables["metrics"]["note"].str.contains("collapsed (seed 0)", literal=True).fill_null(False)
    )
    assert set(marked["recipe"]) == {"gatekeeper_a50", recipe("gatekeeper_a50")}
    of_a50 = tables["metrics"].filter(tables["metrics"]["recipe"].str.contains("a50"))
    assert len(of_a50) == len(marked)


def test_shift_has_means_only(tables):
    shift = pick(tables["metrics"], split="shift")
    assert set(shift["corruption"]) == {"mean"}
    assert set(shift["severity"]) == {1, 3, None}


def test_duo_cascades_have_the_gatekept_model_in_the_duo(tables):
    rows = pick(tables["metrics"], predictor="duo_cascade", split="test", metric="deferral_area")
    found = row(rows, variant="max_softmax", recipe=recipe("gatekeeper_a90"))
    assert found["baseline"] == f"duo_cascade:max_softmax:{PAIR}@finetune+ce_control"


def test_every_recipe_has_its_curves(tables):
    curves = tables["curves"]
    names = {"finetune", "gatekeeper_chosen", *RECIPES}
    for curve in ("roc", "density_correct", "density_wrong"):
        assert set(pick(curves, curve=curve)["recipe"]) == names
    deferral = pick(curves, curve="deferral", predictor="cascade", variant="max_softmax")
    assert set(deferral["recipe"]) == {recipe(name) for name in names - {"finetune"}}
    roc = pick(curves, curve="roc", recipe="finetune").sort("x")
    assert roc["y"].is_sorted()
    assert roc["y"][-1] == 1


def test_a_distilled_start_has_its_cascades_here(made):
    recipes = {"distill": "control", "ce_control": "high", "gatekeeper_a50": "low"}
    tables = made.gatekeeper(recipes, start="distill")
    rows = pick(tables["metrics"], split="test", metric="deferral_area", predictor="cascade")
    start = row(rows, recipe=recipe("distill"), variant="max_softmax")
    assert start["baseline"] == f"cascade:random:{PAIR}@finetune+distill"
    control = row(rows, recipe=recipe("ce_control"), variant="max_softmax")
    assert control["baseline"] == f"cascade:max_softmax:{PAIR}@finetune+distill"
    assert control["value"] - control["delta"] == pytest.approx(start["value"])
    assert not len(pick(tables["metrics"], recipe="distill"))
    curves = pick(tables["curves"], curve="deferral", predictor="cascade", variant="max_softmax")
    assert recipe("distill") in set(curves["recipe"])
    assert recipe("finetune") not in set(rows["recipe"]) | set(curves["recipe"])


def test_nothing_is_silent(tables):
    assert_every_nan_is_explained(tables["metrics"])


def test_the_large_model_must_be_the_larger(made):
    with pytest.raises(SidekickError, match=r"gatekeeper\.pairs\.zeta\.large: 'alpha' takes 0\.5"):
        made.gatekeeper({}, small=BIG, large=SMALL)
