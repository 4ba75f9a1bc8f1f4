"""Cascades of three stages, against applying their thresholds by hand."""

from itertools import combinations

import numpy as np
import pytest

from sidekick.logit_cache import read_logits
from sidekick.methods.k_stage import fit_stages
from sidekick.metrics import Combination, combined_statistics
from unit.evaluation.benchmark import Benchmark, assert_every_nan_is_explained, pick, row

MODELS = {
    "big": (4.0, 2.4),
    "middle": (1.0, 1.6),
    "second": (0.8, 0.8),
    "tiny": (0.25, 1.1),
}
BUDGETS = [0.5, 0.75]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    sizes = {"val": 300, "test": 250, "shift": 20}
    made = Benchmark(tmp_path_factory.mktemp("stages"), models=MODELS, sizes=sizes)
    made.cascade = {"deferral_ratios": [0.5], "budgets": BUDGETS}
    return made.write()


@pytest.fixture(scope="module")
def tables(made):
    jobs = [
        ("middle", ["big"]),
        ("second", ["big", "middle"]),
        ("tiny", ["big", "middle", "second"]),
    ]
    return {model: made.pairs(model, *partners) for model, partners in jobs}


def read(made, split, model, seed):
    cache = read_logits(made.path(split, model, seed))
    found = combined_statistics([cache.logits], cache.labels, [Combination([0], [1.0])])[0][0]
    return found.confidence, found.correct.astype(float)


def best_triple(made, large, budget):
    def fit(names):
        found = []
        for seed in made.seeds:
            confidences, scores = zip(*(read(made, "val", m, seed) for m in names), strict=True)
            costs = [MODELS[m][0] for m in names]
            found += fit_stages(confidences[:-1], scores, costs, [budget * costs[-1]], 128)
        return found

    smaller = [m for m in sorted(MODELS, key=MODELS.get) if MODELS[m][0] < MODELS[large][0]]
    options = {(*pair, large): fit((*pair, large)) for pair in combinations(smaller, 2)}
    usable = {names: fits for names, fits in options.items() if all(f.reason is None for f in fits)}
    return max(usable.items(), key=lambda item: np.mean([f.score for f in item[1]]), default=None)


def all_rows(tables, table):
    return {
        model: own[table].filter(own[table]["variant"].str.starts_with("stages_"))
        for model, own in tables.items()
    }


def test_the_best_pair_of_smaller_models_is_chosen_on_val(made, tables):
    rows = all_rows(tables, "metrics")
    for budget in BUDGETS:
        names, _ = best_triple(made, "big", budget)
        youngest = max(names[:2], key=list(MODELS).index)
        own = pick(rows[youngest], variant=f"stages_budget{round(100 * budget)}", large="big")
        assert set(own["small"]) == {"+".join(names[:2])}
        assert_every_nan_is_explained(own)


@pytest.mark.parametrize("budget", BUDGETS)
def test_rows_follow_from_each_seeds_thresholds(made, tables, budget):
    names, fits = best_triple(made, "big", budget)
    accuracies, costs = [], []
    for seed, fit in zip(made.seeds, fits, strict=True):
        (first, one), (second, two), (_, three) = (read(made, "test", m, seed) for m in names)
        passed = first < fit.values[0]
        passed_both = passed & (second < fit.values[1])
        right = np.where(passed_both, three, np.where(passed, two, one))
        accuracies.append(right.mean())
        prices = [MODELS[m][0] for m in names]
        costs.append(prices[0] + passed.mean() * prices[1] + passed_both.mean() * prices[2])
    youngest = max(names[:2], key=list(MODELS).index)
    place = {"variant": f"stages_budget{round(100 * budget)}", "large": "big", "split": "test"}
    found = row(tables[youngest]["metrics"], **place, metric="accuracy")
    assert found["value"] == pytest.approx(np.mean(accuracies))
    assert found["gmacs"] == pytest.approx(np.mean(costs))
    assert found["baseline"].startswith(f"cascade:max_softmax_budget{round(100 * budget)}:big+")
    fitted = pick(tables[youngest]["fits"], variant=place["variant"], large="big", seed=0)
    thresholds = fitted.filter(fitted["threshold"].is_not_null())
    assert thresholds["sidekick"].to_list() == list(names[:2])
    assert thresholds["threshold"].to_list() == pytest.approx(fits[0].values.tolist())
    promise = fitted.filter(fitted["promised_accuracy"].is_not_null()).row(0, named=True)
    assert promise["promised_accuracy"] == pytest.approx(fits[0].score)
    assert promise["promised_gmacs"] <= budget * 4.0 + 1e-9


def test_the_control_is_the_pairs_own_row(tables):
    for own in all_rows(tables, "metrics").values():
        for found in pick(own, split="test", metric="accuracy").iter_rows(named=True):
            small = found["baseline"].rpartition("+")[2]
            variant = found["variant"].replace("stages", "max_softmax")
            controls = [
                row(table["metrics"], predictor="cascade", variant=variant, large=found["large"],
                    small=small, split="test", metric="accuracy")
                for table in tables.values()
                if len(pick(table["metrics"], variant=variant, large=found["large"], small=small))
            ]  # fmt: skip
            assert len(controls) == 1
            assert found["value"] - found["delta"] == pytest.approx(controls[0]["value"])


def test_two_models_have_no_third_stage(tables):
    assert not len(all_rows(tables, "metrics")["middle"])
