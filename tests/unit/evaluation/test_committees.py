"""Duos with several sidekicks, against direct computation from the models' logits."""

import numpy as np
import pytest

from sidekick.logit_cache import read_logits
from unit.evaluation.benchmark import Benchmark, assert_every_nan_is_explained, pick, row
from unit.methods.reference import fit_by_scipy
from unit.metrics import naive

MODELS = {
    "big": (2.0, 1.8),
    "middle": (1.0, 1.5),
    "tiny": (0.25, 1.2),
    "useless": (0.25, 0.0),
}
BUDGETS = [1.1, 1.25, 2.0]
GROUP = ("big", "middle", "tiny")
PLACE = {
    "predictor": "duo",
    "variant": "weighted_2_sidekicks",
    "large": "big",
    "small": "middle+tiny",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    sizes = {"val": 400, "test": 300, "shift": 20}
    return Benchmark(tmp_path_factory.mktemp("committees"), models=MODELS, sizes=sizes).write()


@pytest.fixture(scope="module")
def tables(made):
    """The job of `tiny`, which was added last."""
    return made.pairs("tiny", "big", "middle", "useless", budgets=BUDGETS)


def logits(made, split, models, seed):
    files = [read_logits(made.path(split, model, seed)) for model in models]
    return [file.logits.astype(np.float64) for file in files], files[0].labels


@pytest.fixture(scope="module")
def chosen(made):
    """What a greedy search finds with somebody else's optimiser: (large, budget) to models."""
    known = {}

    def nll(group):
        if group not in known:
            known[group] = np.mean(
                [fit_by_scipy(*logits(made, "val", group, seed))[1] for seed in made.seeds]
            )
        return known[group]

    def search(large, budget):
        group = (large,)
        while True:
            cost = sum(MODELS[model][0] for model in group)
            larger = [
                (*group, model)
                for model in MODELS
                if model not in group
                and (MODELS[model][0], model) < (MODELS[large][0], large)
                and cost + MODELS[model][0] <= budget * MODELS[large][0]
            ]
            best = min(larger, key=nll, default=None)
            if best is None or nll(best) >= nll(group) - 1 / 400:
                return group
            group = best

    return {(large, budget): search(large, budget) for large in MODELS for budget in BUDGETS}


def test_budgets_buy_what_helps_most_on_val(tables, chosen):
    bought = tables["fits"].filter(tables["fits"]["budget"].is_not_null())
    assert len(bought) == len(MODELS) * len(BUDGETS) * 2
    for (large, budget), group in chosen.items():
        rows = pick(bought, large=large, budget=budget)
        assert set(rows["small"]) == {"+".join(sorted(group[1:])) or None}
        assert set(rows["predictor"]) == {"duo" if len(group) > 1 else "temperature"}
        assert (rows["note"].null_count() == 0) == (len(group) == 1)


def test_the_made_up_models_make_the_search_interesting(chosen):
    found = {group for (large, _), group in chosen.items() if large == "big"}
    assert {len(group) for group in found} == {1, 2, 3}


def test_rows_follow_from_each_seeds_weights(made, tables):
    values = []
    for seed in made.seeds:
        weights = fit_by_scipy(*logits(made, "val", GROUP, seed))[0]
        test, labels = logits(made, "test", GROUP, seed)
        joint = np.tensordot(weights, np.stack(test), 1)
        values.append(naive.nll(joint, labels))
    found = row(tables["metrics"], **PLACE, split="test", metric="nll")
    assert found["value"] == pytest.approx(np.mean(values), abs=1e-6)
    assert found["baseline"] == "temperature:scaled:big"
    assert found["gmacs"] == 3.25
    assert found["flops_balance"] == 1.25 / 2


def test_a_group_is_in_the_job_of_its_youngest_member(made, tables):
    several = tables["metrics"].filter(tables["metrics"]["variant"].str.ends_with("sidekicks"))
    assert set(several["small"]) == {"middle+tiny"}
    assert set(several["split"]) == {"test", "shift"}
    assert_every_nan_is_explained(several)
    later = made.pairs("useless", "big", "middle", "tiny", budgets=BUDGETS)
    assert not later["metrics"]["variant"].str.ends_with("sidekicks").any()
    bought = [
        own["fits"].filter(own["fits"]["budget"].is_not_null()).drop("sidekick")
        for own in (tables, later)
    ]
    assert bought[0].equals(bought[1])


def test_each_sidekick_has_its_weight(made, tables):
    fits = pick(tables["fits"], **PLACE, budget=None)
    for seed in made.seeds:
        expected = fit_by_scipy(*logits(made, "val", GROUP, seed))[0]
        for sidekick, weight in zip(GROUP[1:], expected[1:], strict=True):
            found = row(fits, seed=seed, sidekick=sidekick)
            assert found["weight_large"] == pytest.approx(expected[0], abs=1e-4)
            assert found["weight_small"] == pytest.approx(weight, abs=1e-4)
            assert found["gradient_norm"] <= 1e-6
            assert found["small_at_zero"] is False
