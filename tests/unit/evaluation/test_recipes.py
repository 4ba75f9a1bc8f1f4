"""Soups, trials and distillation, against direct computation from their logits."""

import numpy as np
import pytest
from scipy.special import softmax

from sidekick.logit_cache import read_logits
from unit.evaluation.benchmark import BIG, assert_every_nan_is_explained, pick, row
from unit.methods.reference import fit_by_scipy
from unit.metrics import naive

# How much the logits of each recipe know.
SIGNALS = {
    "soup_uniform": 1.0,
    "soup_greedy": 2.6,
    "distill": 2.4,
    "trial00": 2.2,
    "trial01": 0.4,
    "trial02": 2.3,
}
TRIALS = ("trial00", "trial01", "trial02")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    from unit.evaluation.benchmark import Benchmark

    models = {BIG: (2.0, 2.2)} | {name: (2.0, signal) for name, signal in SIGNALS.items()}
    return Benchmark(tmp_path_factory.mktemp("recipes"), models=models).write()


@pytest.fixture(scope="module")
def tables(made, ensemble):
    recipes = {name: name for name in SIGNALS if name not in TRIALS}
    return made.single(recipes={**recipes, "trial_ensemble": ensemble})


@pytest.fixture(scope="module")
def ensemble(made):
    return made.trial_ensemble(BIG, TRIALS, size=2)


def caches(made, split, recipe):
    found = [read_logits(made.path(split, recipe, seed)) for seed in made.seeds]
    return [(file.logits.astype(np.float64), file.labels) for file in found]


def scaled_nll(made, recipe):
    values = []
    pairs = zip(caches(made, "val", recipe), caches(made, "test", recipe), strict=True)
    for (val, val_labels), (test, labels) in pairs:
        weight = fit_by_scipy([val], val_labels)[0][0]
        values.append(naive.nll(weight * test, labels))
    return np.mean(values)


def test_every_recipe_has_its_rows(tables):
    found = set(tables["metrics"].select("predictor", "variant", "recipe").unique().iter_rows())
    own = {("single", "raw"), ("temperature", "scaled"), ("ensemble", "mean_softmax")}
    orderings = {("temperature", f"{name}_ordering") for name in ("oracle", "random")}
    assert found == (
        {(*names, "finetune") for names in own | orderings}
        | {("ensemble", f"best_trials{end}", "trial_ensemble") for end in ("", "_scaled")}
        | {(*names, "distill") for names in own}
        | {("soup", "uniform", "soup_uniform"), ("soup", "greedy", "soup_greedy")}
    )
    assert_every_nan_is_explained(tables["metrics"])


@pytest.mark.parametrize("recipe", ["soup_uniform", "soup_greedy"])
def test_a_soup_is_scaled_and_compared_with_the_scaled_model(made, tables, recipe):
    place = {"predictor": "soup", "recipe": recipe, "split": "test", "metric": "nll"}
    found = row(tables["metrics"], **place)
    control = scaled_nll(made, BIG)
    assert found["baseline"] == f"temperature:scaled:{BIG}"
    assert found["gmacs"] == 2.0
    assert found["value"] == pytest.approx(scaled_nll(made, recipe), abs=1e-6)
    assert found["delta"] == pytest.approx(found["value"] - control, abs=1e-6)


def test_distillation_is_compared_like_with_like(made, tables):
    for predictor, variant in (("single", "raw"), ("temperature", "scaled")):
        place = {"predictor": predictor, "variant": variant, "recipe": "distill"}
        found = pick(tables["metrics"], **place, split="test", metric="nll")
        assert found["baseline"].to_list() == [f"{predictor}:{variant}:{BIG}"]
    scaled = row(
        tables["metrics"], predictor="temperature", recipe="distill", split="test", metric="nll"
    )
    assert scaled["delta"] == pytest.approx(
        scaled_nll(made, "distill") - scaled_nll(made, BIG), abs=1e-6
    )
    both = pick(tables["metrics"], predictor="ensemble", recipe="distill", split="test")
    assert set(both["baseline"].drop_nulls()) == {f"temperature:scaled:{BIG}@distill"}


def test_an_ensemble_holds_each_seeds_best_trials_on_val(made, tables):
    values = []
    for index, _ in enumerate(made.seeds):

        def accuracy(trial, index=index):
            logits, labels = caches(made, "val", trial)[index]
            return np.mean(logits.argmax(axis=1) == labels)

        chosen = sorted(TRIALS, key=accuracy, reverse=True)[:2]
        tested = [caches(made, "test", trial)[index] for trial in chosen]
        mean = np.mean([softmax(logits, axis=1) for logits, _ in tested], axis=0)
        values.append(naive.nll(np.log(mean), tested[0][1]))
    found = row(
        tables["metrics"], predictor="ensemble", variant="best_trials", split="test",
        metric="nll",
    )  # fmt: skip
    # Cached log probabilities are of half precision.
    assert found["value"] == pytest.approx(np.mean(values), abs=2e-4)
    assert found["gmacs"] == 4.0
    assert found["baseline"] == f"temperature:scaled:{BIG}"


def test_trials_alone_are_not_on_the_board(tables):
    assert not set(tables["metrics"]["recipe"]) & set(TRIALS)


def test_a_scaled_ensemble_of_trials_has_the_better_nll_on_val(made, tables, ensemble):
    fits = pick(tables["fits"], recipe="trial_ensemble")
    for index, seed in enumerate(made.seeds):
        val = read_logits(ensemble["val"][index])
        logits = val.logits.astype(np.float64)
        expected = fit_by_scipy([logits], val.labels)[0][0]
        found = row(fits, seed=seed)
        assert found["weight_large"] == pytest.approx(expected, abs=1e-4)
        assert found["val_nll"] <= naive.nll(logits, val.labels) + 1e-9


def test_each_scaled_recipe_reports_its_fit(tables):
    fits = tables["fits"].select("predictor", "variant", "recipe", "seed")
    for recipe in ("finetune", "soup_uniform", "soup_greedy", "trial_ensemble", "distill"):
        assert sorted(pick(fits, recipe=recipe)["seed"]) == [0, 1]
