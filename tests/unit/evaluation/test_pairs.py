"""Rows of pairs, against direct computation from the two models' logits."""

import numpy as np
import polars as pl
import pytest
from scipy.special import softmax

from sidekick.logit_cache import read_logits
from sidekick.metrics import evaluate_deferral, max_softmax, sample_statistics, unit_weights
from unit.evaluation.benchmark import BIG, SMALL, assert_every_nan_is_explained, pick, row
from unit.methods.reference import fit_by_scipy
from unit.metrics import naive

PAIR = f"{BIG}+{SMALL}"
BASELINES = {
    ("duo", "weighted"): f"temperature:scaled:{BIG}",
    ("duo", "unweighted"): f"temperature:scaled:{BIG}",
    ("duo", "uq_only"): f"temperature:scaled:{BIG}",
    ("duo", "weighted_as_released"): f"temperature:scaled:{BIG}",
    ("duo", "noise_sidekick"): f"temperature:scaled:{BIG}",
    ("cascade", "random_defer25"): None,
    ("cascade", "max_softmax_defer25"): f"cascade:random_defer25:{PAIR}",
    ("duo_cascade", "max_softmax_defer25"): f"cascade:max_softmax_defer25:{PAIR}",
    ("cascade", "random_defer50"): None,
    ("cascade", "max_softmax_defer50"): f"cascade:random_defer50:{PAIR}",
    ("duo_cascade", "max_softmax_defer50"): f"cascade:max_softmax_defer50:{PAIR}",
    ("cascade", "random"): None,
    ("cascade", "oracle"): f"cascade:random:{PAIR}",
    ("cascade", "max_softmax"): f"cascade:random:{PAIR}",
    ("duo_cascade", "max_softmax"): f"cascade:max_softmax:{PAIR}",
}


class Seed:
    """One seed's logits, labels and weights fitted on val by somebody else's optimiser."""

    def __init__(self, written, seed):
        def read(split, model):
            return read_logits(written.path(split, model, seed))

        val = [read("val", model).logits.astype(np.float64) for model in (BIG, SMALL)]
        labels = read("val", BIG).labels
        self.duo = fit_by_scipy(val, labels)[0]
        self.large_weight, self.small_weight = (fit_by_scipy([z], labels)[0][0] for z in val)
        self.val_confidence = max_softmax(val[1])
        self.large, self.small = (
            read("test", model).logits.astype(np.float64) for model in (BIG, SMALL)
        )
        self.labels = read("test", BIG).labels
        self.confidence = max_softmax(self.small)
        self.joint = self.duo[0] * self.large + self.duo[1] * self.small

    def mask(self, ratio):
        count = int(ratio * len(self.val_confidence))
        return self.confidence < np.sort(self.val_confidence)[count]


@pytest.fixture(scope="module")
def seeds(written):
    return [Seed(written, seed) for seed in written.seeds]


def value(pairs, predictor, variant, metric):
    return row(pairs["metrics"], predictor=predictor, variant=variant, split="test", metric=metric)


def mean_nll(seeds, logits):
    return np.mean([naive.nll(logits(own), own.labels) for own in seeds])


def mean_aurc(seeds, predicted, confidence):
    return np.mean([naive.aurc(confidence(own), predicted(own) == own.labels) for own in seeds])


def test_there_is_every_predictor_with_its_matched_control(pairs):
    metrics = pairs["metrics"]
    found = metrics.select("predictor", "variant", "baseline").unique().rows()
    assert {(predictor, variant): base for predictor, variant, base in found} == BASELINES
    assert set(metrics["large"]) == {BIG}
    assert set(metrics["small"]) == {SMALL}
    assert set(metrics["flops_balance"]) == {0.25}


def test_weighted_duo(pairs, seeds):
    found = value(pairs, "duo", "weighted", "nll")
    assert found["value"] == pytest.approx(mean_nll(seeds, lambda own: own.joint), abs=1e-6)
    assert found["gmacs"] == 2.5
    expected = mean_aurc(
        seeds, lambda own: own.joint.argmax(axis=1), lambda own: max_softmax(own.joint)
    )
    assert value(pairs, "duo", "weighted", "aurc")["value"] == pytest.approx(expected, abs=1e-6)


def test_the_duos_difference_is_to_the_scaled_large_model(pairs, seeds):
    reference = mean_nll(seeds, lambda own: own.large_weight * own.large)
    found = value(pairs, "duo", "weighted", "nll")
    assert found["delta"] == pytest.approx(found["value"] - reference, abs=1e-6)
    assert found["delta_low"] < found["delta"] < found["delta_high"]


def test_unweighted_duo(pairs, seeds):
    expected = mean_nll(
        seeds, lambda own: (own.large_weight * own.large + own.small_weight * own.small) / 2
    )
    assert value(pairs, "duo", "unweighted", "nll")["value"] == pytest.approx(expected, abs=1e-6)


def test_uq_only_and_as_released_rank_by_the_large_models_class(pairs, seeds):
    def confidence(own):
        return softmax(own.joint, axis=1)[np.arange(50), own.large.argmax(axis=1)]

    released = mean_aurc(seeds, lambda own: own.joint.argmax(axis=1), confidence)
    uq_only = mean_aurc(seeds, lambda own: own.large.argmax(axis=1), confidence)
    assert released != pytest.approx(uq_only, abs=1e-4)
    for variant, expected in (("weighted_as_released", released), ("uq_only", uq_only)):
        found = value(pairs, "duo", variant, "aurc")["value"]
        assert found == pytest.approx(expected, abs=1e-6)
    assert value(pairs, "duo", "uq_only", "accuracy")["delta"] == 0
    assert value(pairs, "duo", "uq_only", "accuracy")["delta_high"] == 0


@pytest.mark.parametrize("ratio", [0.25, 0.5])
def test_cascades_take_each_answer_from_the_model_that_gave_it(pairs, seeds, ratio):
    suffix = f"defer{round(100 * ratio)}"
    rate = np.mean([own.mask(ratio).mean() for own in seeds])
    assert 0 < rate < 1

    def answers(own, deferred):
        return np.where(own.mask(ratio)[:, None], deferred, own.small_weight * own.small)

    for predictor, deferred in (
        ("cascade", lambda own: own.large_weight * own.large),
        ("duo_cascade", lambda own: own.joint),
    ):
        found = value(pairs, predictor, f"max_softmax_{suffix}", "nll")
        expected = mean_nll(seeds, lambda own, d=deferred: answers(own, d(own)))
        assert found["value"] == pytest.approx(expected, abs=1e-6)
        assert found["gmacs"] == pytest.approx(0.5 + rate * 2.0)
    # The random control costs exactly as much.
    assert value(pairs, "cascade", f"random_{suffix}", "nll")["gmacs"] == pytest.approx(
        0.5 + rate * 2.0
    )


def test_random_deferral_answers_between_the_two_models(benchmark_of):
    made = benchmark_of(sizes={"val": 60, "test": 600, "shift": 4}, replicates=20).write()
    metrics = made.pairs(SMALL, BIG)["metrics"]
    single = {model: made.single(model)["metrics"] for model in (SMALL, BIG)}
    large, small = (
        row(single[model], variant="scaled", split="test", metric="accuracy")["value"]
        for model in (BIG, SMALL)
    )
    found = row(metrics, variant="random_defer50", split="test", metric="accuracy")
    rate = (found["gmacs"] - 0.5) / 2.0
    assert found["value"] == pytest.approx(small + rate * (large - small), abs=0.03)
    plain = row(
        metrics, predictor="cascade", variant="max_softmax_defer50", split="test", metric="accuracy"
    )
    assert plain["value"] > found["value"]
    assert plain["delta_low"] > 0


def test_metrics_of_whole_deferral_curves(pairs, seeds):
    def direct(order, answers):
        return [
            evaluate_deferral(
                order(own),
                own.small.argmax(axis=1) == own.labels,
                answers(own).argmax(axis=1) == own.labels,
                unit_weights(50),
                [0.0, 0.25, 0.5],
            )
            for own in seeds
        ]

    for predictor, answers in (
        ("cascade", lambda own: own.large),
        ("duo_cascade", lambda own: own.joint),
    ):
        scored = direct(lambda own: own.confidence, answers)
        for metric, field in (
            ("deferral_area", "deferral_area"),
            ("deferral_gain_area", "deferral_gain_area"),
            ("s_d", "s_d"),
        ):
            found = value(pairs, predictor, "max_softmax", metric)
            expected = np.mean([getattr(own, field)[0] for own in scored])
            assert found["value"] == pytest.approx(expected), (predictor, metric)
            assert found["gmacs"] is None
        for index, budget in enumerate((25, 50, 75)):
            expected = np.mean([own.accuracy_at[index, 0] for own in scored])
            found = value(pairs, predictor, "max_softmax", f"accuracy_budget_{budget}")
            assert found["value"] == pytest.approx(expected)


def test_random_and_oracle_deferral_bound_the_curve(pairs):
    for metric in ("deferral_area", "deferral_gain_area", "accuracy_budget_50"):
        low, mid, high = (
            value(pairs, "cascade", variant, metric)["value"]
            for variant in ("random", "max_softmax", "oracle")
        )
        assert low <= mid <= high
        assert low < high
    gain = value(pairs, "cascade", "random", "deferral_gain_area")
    assert gain["value"] == pytest.approx(0, abs=1e-12)


def test_the_noise_sidekick_brings_nothing(benchmark_of):
    sizes = {"val": 400, "test": 400, "shift": 4}
    made = benchmark_of(sizes=sizes, replicates=20, seeds=[0])
    tables = made.write().pairs(SMALL, BIG)
    noise = row(tables["fits"], variant="noise_sidekick")
    real = row(tables["fits"], predictor="duo", variant="weighted")
    assert noise["weight_small"] < 0.25 * real["weight_small"]
    found = value(tables, "duo", "noise_sidekick", "nll")
    assert abs(found["delta"]) < 0.02
    gain = value(tables, "duo", "weighted", "nll")
    assert gain["delta_high"] < 0
    assert gain["delta"] < 3 * found["delta"] - 0.02


def test_fits(pairs, seeds):
    fits = pairs["fits"]
    for seed, own in enumerate(seeds):
        weighted = row(fits, predictor="duo", variant="weighted", seed=seed)
        assert weighted["weight_large"] == pytest.approx(own.duo[0], rel=1e-5)
        assert weighted["weight_small"] == pytest.approx(own.duo[1], rel=1e-5)
        assert weighted["divisor_large"] == pytest.approx(0.5 / own.duo[0], rel=1e-5)
        assert weighted["divisor_small"] == pytest.approx(0.5 / own.duo[1], rel=1e-5)
        assert weighted["small_at_zero"] is False
        for ratio in (0.25, 0.5):
            variant = f"max_softmax_defer{round(100 * ratio)}"
            found = row(fits, predictor="cascade", variant=variant, seed=seed)
            expected = np.sort(own.val_confidence)[int(ratio * 60)]
            assert found["threshold"] == pytest.approx(expected)
            assert found["deferral_ratio"] == ratio
            assert found["promised_gmacs"] == pytest.approx(0.5 + ratio * 2.0)
            combined = row(fits, predictor="duo_cascade", variant=variant, seed=seed)
            assert combined["threshold"] == found["threshold"]
    assert len(fits) == 2 * (2 + 2 * 2)


def test_deferral_curves_run_from_the_small_to_the_large_model(pairs, seeds):
    curves = pick(pairs["curves"], curve="deferral")
    names = set(curves.select("predictor", "variant").unique().iter_rows())
    assert names == {
        ("cascade", "max_softmax"),
        ("duo_cascade", "max_softmax"),
        ("cascade", "random"),
        ("cascade", "ideal"),
        ("cascade", "oracle"),
    }
    small, large, duo = (
        np.mean([np.mean(logits(own).argmax(axis=1) == own.labels) for own in seeds])
        for logits in (lambda o: o.small, lambda o: o.large, lambda o: o.joint)
    )
    for (predictor, _), points in curves.group_by("predictor", "variant"):
        points = points.sort("x")
        assert points["x"].to_list() == pytest.approx(np.linspace(0, 1, 51).tolist())
        assert points["y"][0] == pytest.approx(small)
        assert points["y"][-1] == pytest.approx(duo if predictor == "duo_cascade" else large)
    band = pick(curves, predictor="cascade", variant="max_softmax")
    assert (band["low"] <= band["high"]).all()
    oracle = pick(curves, variant="oracle").sort("x")["y"]
    plain = pick(curves, predictor="cascade", variant="max_softmax").sort("x")["y"]
    assert (oracle >= plain - 1e-12).all()


def test_large_and_small_are_decided_by_cost_whatever_the_order(written, pairs):
    other = written.pairs(BIG, SMALL)
    keys = ["split", "corruption", "severity", "predictor", "variant", "metric"]
    assert other["metrics"].sort(keys).equals(pairs["metrics"].sort(keys))
    assert (
        other["fits"]
        .sort("seed", "predictor", "variant")
        .equals(pairs["fits"].sort("seed", "predictor", "variant"))
    )


def test_equal_costs_are_settled_by_name(benchmark_of):
    made = benchmark_of(models={"beta": (1.0, 2.0), "alpha": (1.0, 1.0)}).write()
    for order in (("alpha", "beta"), ("beta", "alpha")):
        metrics = made.pairs(*order)["metrics"]
        assert metrics.select("large", "small").unique().rows() == [("beta", "alpha")]
        assert set(metrics["flops_balance"]) == {1.0}


def test_a_job_holds_all_pairs_of_its_model_and_no_others(benchmark_of):
    made = benchmark_of(models={"one": (3.0, 2.0), "two": (1.0, 1.5), "three": (2.0, 1.8)}).write()
    tables = made.pairs("three", "one", "two")
    for name in ("metrics", "curves", "fits"):
        found = set(tables[name].select("large", "small").unique().iter_rows())
        assert found == {("one", "three"), ("three", "two")}
    # Other models in the job change nothing for a pair.
    alone = made.pairs("three", "one")["metrics"]
    assert pick(tables["metrics"], large="one").equals(alone)


def test_calibration_of_duos_is_about_their_answer(pairs, seeds):
    expected = []
    for own in seeds:
        statistics = sample_statistics(own.joint, own.labels)
        expected.append(naive.ece(statistics.probability, statistics.correct))
    for variant in ("weighted", "weighted_as_released"):
        found = value(pairs, "duo", variant, "ece")["value"]
        assert found == pytest.approx(np.mean(expected), abs=1e-6)


def test_every_nan_is_explained(pairs):
    assert_every_nan_is_explained(pairs["metrics"])
    s_d = pick(pairs["metrics"], metric="s_d", split="shift").filter(pl.col("value").is_nan())
    assert s_d["note"].str.contains("accuracies do not differ|undefined on").all()
