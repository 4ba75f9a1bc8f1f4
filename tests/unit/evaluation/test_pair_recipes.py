"""Duos of other recipes, against direct computation from their logits."""

import numpy as np
import pytest

from sidekick.errors import SidekickError
from sidekick.evaluation.pairs import evaluate_pairs
from sidekick.logit_cache import read_logits
from unit.evaluation.benchmark import (
    BIG,
    SMALL,
    Benchmark,
    assert_every_nan_is_explained,
    pick,
    row,
)
from unit.methods.reference import fit_by_scipy
from unit.metrics import naive

MODELS = {
    BIG: (2.0, 2.2),
    SMALL: (0.5, 1.2),
    "better_big": (2.0, 2.6),
    "better_small": (0.5, 1.6),
    "trial00": (2.0, 2.2),
    "trial01": (2.0, 2.3),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Benchmark(tmp_path_factory.mktemp("pair_recipes"), models=MODELS).write()


@pytest.fixture(scope="module")
def tables(made):
    trials = made.trial_ensemble(BIG, ["trial00", "trial01"], size=2)
    of_big = {"soup_greedy": "better_big", "trial_ensemble": trials}
    of_small = {"soup_greedy": "better_small", "distill": "better_small"}
    return made.pairs(SMALL, BIG, recipes={BIG: of_big, SMALL: of_small})


def weighted_nll(made, large, small, split="test"):
    values = []
    for seed in made.seeds:
        val = [read_logits(made.path("val", model, seed)) for model in (large, small)]
        test = [read_logits(made.path(split, model, seed)) for model in (large, small)]
        weights = fit_by_scipy([v.logits.astype(np.float64) for v in val], val[0].labels)[0]
        joint = sum(w * t.logits.astype(np.float64) for w, t in zip(weights, test, strict=True))
        values.append(naive.nll(joint, test[0].labels))
    return np.mean(values)


def test_each_recipe_meets_the_others_base_and_its_own_kind(tables):
    duos = pick(tables["metrics"], predictor="duo", variant="weighted", split="test", metric="nll")
    assert set(duos["recipe"]) == {
        "finetune",
        "soup_greedy+finetune",
        "trial_ensemble+finetune",
        "finetune+soup_greedy",
        "finetune+distill",
        "soup_greedy",
    }
    assert_every_nan_is_explained(tables["metrics"])


def test_cascades_and_controls_are_of_the_base_recipe_only(tables):
    others = tables["metrics"].filter(tables["metrics"]["recipe"] != "finetune")
    assert set(others["predictor"]) == {"duo"}
    assert set(others["variant"]) == {"weighted", "unweighted", "uq_only"}


@pytest.mark.parametrize(
    ("recipe", "large", "small", "baseline"),
    [
        ("finetune", BIG, SMALL, f"temperature:scaled:{BIG}"),
        ("soup_greedy", "better_big", "better_small", f"soup:greedy:{BIG}@soup_greedy"),
        ("finetune+distill", BIG, "better_small", f"temperature:scaled:{BIG}"),
        ("soup_greedy+finetune", "better_big", SMALL, f"soup:greedy:{BIG}@soup_greedy"),
    ],
)
def test_weights_and_controls_are_of_the_recipes(made, tables, recipe, large, small, baseline):
    place = {"predictor": "duo", "variant": "weighted", "recipe": recipe}
    found = row(tables["metrics"], **place, split="test", metric="nll")
    assert found["value"] == pytest.approx(weighted_nll(made, large, small), abs=1e-6)
    assert found["baseline"] == baseline
    assert (found["large"], found["small"]) == (BIG, SMALL)


def test_an_ensemble_costs_all_its_members(tables):
    place = {"predictor": "duo", "variant": "weighted", "recipe": "trial_ensemble+finetune"}
    found = row(tables["metrics"], **place, split="test", metric="nll")
    assert found["gmacs"] == 2 * 2.0 + 0.5
    assert found["flops_balance"] == 0.5 / 4.0
    assert found["baseline"] == f"ensemble:best_trials_scaled:{BIG}@trial_ensemble"


def test_every_fit_reports_how_it_went(tables):
    fits = pick(tables["fits"], predictor="duo", variant="weighted")
    assert len(fits) == 6 * 2
    assert fits["gradient_norm"].max() <= 1e-6
    assert fits["iterations"].min() >= 1
    assert fits["small_at_zero"].null_count() == 0
    assert set(fits["sidekick"]) == {SMALL}


def test_a_model_without_its_base_recipe_is_refused(made):
    logits = made.logits(BIG)
    for split, files in logits.items():
        files += [made._as_recipe(split, "better_small", SMALL, "distill", s) for s in made.seeds]
    with pytest.raises(SidekickError, match="no logits of model 'alpha' as fine-tuned"):
        evaluate_pairs(
            logits=logits,
            flops=[str(made.flops(BIG)), str(made.flops(SMALL))],
            model=SMALL,
            seeds=made.seeds,
            cascade={"deferral_ratios": [0.5]},
            budgets=[],
            evaluation=made.settings,
            facts={"benchmark": "made_up", "dataset": "toy"},
            metrics="unused",
            curves="unused",
            fits="unused",
            parts="unused",
        )
