"""Rows of generated answers, against scikit-learn and against direct computation."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from sidekick.errors import SidekickError
from sidekick.logit_cache.answers import GATES
from unit.evaluation.benchmark import assert_every_nan_is_explained, pick, row
from unit.evaluation.generated import BIG, SMALL, Generated

PAIR = f"{BIG}+{SMALL}"
COSTS = 0.5, 2.0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Generated(tmp_path_factory.mktemp("generated")).write()


@pytest.fixture(scope="module")
def tables(made):
    """The job of the smaller model, the younger one, with its sweep."""
    return made.evaluate(SMALL, [BIG], BIG)


def columns(made, split, model, seed, recipe="finetune"):
    """What a file holds; an answer that was cut off is wrong."""
    own = dict(made.data[split, model, recipe, seed])
    for name in ("correct", "correct_flexible"):
        own[name] = own[name] & ~own["truncated"]
    places = {"logprob_q00": 0, "logprob_q10": 1, "logprob_q50": 5}
    own |= {name: own["logprob_quantiles"][:, place] for name, place in places.items()}
    own["brevity"] = -own["tokens"].astype(float)
    return own


def mean(made, value):
    return np.mean([value(seed) for seed in made.seeds])


def risk_by_hand(confidence, correct, draws=400):
    """Average the error rate of the k surest over k, and over random orders of ties."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        order = np.lexsort((rng.random(len(correct)), -confidence))
        found.append(np.mean(np.cumsum(~correct[order]) / np.arange(1, len(correct) + 1)))
    return np.mean(found)


@pytest.mark.parametrize("gate", GATES)
def test_gates_rank_a_models_answers(made, tables, gate):
    place = {"predictor": "single", "variant": gate, "large": SMALL, "recipe": "finetune"}

    def auroc(seed):
        own = columns(made, "test", SMALL, seed)
        return roc_auc_score(own["correct"], own[gate])

    found = row(tables["metrics"], **place, metric="auroc")
    assert found["value"] == pytest.approx(mean(made, auroc), abs=1e-9)
    assert found["gmacs"] == COSTS[0]
    assert found["baseline"] == (None if gate == "nent" else f"single:nent:{SMALL}")
    assert found["low"] < found["value"] < found["high"]

    def aurc(seed):
        own = columns(made, "test", SMALL, seed)
        return risk_by_hand(np.asarray(own[gate], float), own["correct"])

    found = row(tables["metrics"], **place, metric="aurc")
    assert found["value"] == pytest.approx(mean(made, aurc), abs=2e-3)


def test_differences_between_gates_are_paired(made, tables):
    def auroc(gate):
        return row(
            tables["metrics"],
            predictor="single", variant=gate, recipe="finetune", metric="auroc",
        )  # fmt: skip

    other, plain = auroc("sum_logprob"), auroc("nent")
    assert other["delta"] == pytest.approx(other["value"] - plain["value"], abs=1e-12)
    same = row(
        tables["metrics"],
        predictor="single", variant="brevity", recipe="finetune", metric="accuracy",
    )  # fmt: skip
    assert (same["delta"], same["delta_low"], same["delta_high"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("metric", "column"),
    [
        ("accuracy", "correct"),
        ("accuracy_flexible", "correct_flexible"),
        ("truncated", "truncated"),
    ],
)
def test_answers_that_are_cut_off_are_wrong_and_counted(made, tables, metric, column):
    found = row(
        tables["metrics"], predictor="single", variant="nent", recipe="finetune", metric=metric
    )
    expected = mean(made, lambda seed: columns(made, "test", SMALL, seed)[column].mean())
    assert found["value"] == pytest.approx(expected, abs=1e-12)
    assert found["higher_is_better"] == (metric != "truncated")
    raw = mean(made, lambda seed: made.data["test", SMALL, "finetune", seed]["correct"].mean())
    assert metric != "accuracy" or found["value"] < raw


def test_orderings_bound_the_gates(tables):
    def value(variant, metric):
        place = {"predictor": "single", "recipe": "finetune", "metric": metric}
        return row(tables["metrics"], **place, variant=variant)["value"]

    assert value("oracle_ordering", "auroc") == 1
    assert value("oracle_ordering", "e_aurc") == pytest.approx(0, abs=1e-12)
    assert value("random_ordering", "auroc") == 0.5
    assert value("random_ordering", "aurc") == pytest.approx(1 - value("nent", "accuracy"))
    for gate in GATES:
        assert value("oracle_ordering", "aurc") < value(gate, "aurc")


def joint_curve(made, gate, seed, split="test"):
    """Accuracy at each number of deferred answers; ties are deferred in random order."""
    small, large = (columns(made, split, model, seed) for model in (SMALL, BIG))
    gain = large["correct"].astype(float) - small["correct"]
    confidence = np.asarray(small[gate], float)
    # The mean gain within a tie group is that of a random order.
    means = np.array([gain[confidence == value].mean() for value in confidence])
    order = np.argsort(confidence, kind="stable")
    curve = small["correct"].mean() + np.append(0, np.cumsum(means[order])) / len(gain)
    return np.linspace(0, 1, len(curve)), curve


@pytest.mark.parametrize("gate", GATES)
def test_cascades_of_each_gate(made, tables, gate):
    place = {"predictor": "cascade", "variant": gate, "large": BIG, "small": SMALL}
    rows = pick(tables["metrics"], **place, recipe="finetune")

    def area(seed):
        return np.trapezoid(joint_curve(made, gate, seed)[1], joint_curve(made, gate, seed)[0])

    found = row(rows, metric="deferral_area")
    assert found["value"] == pytest.approx(mean(made, area), abs=1e-9)
    label = f"cascade:{'random' if gate == 'nent' else 'nent'}:{PAIR}"
    assert found["baseline"] == label
    assert found["flops_balance"] == 0.25
    # Half the large model's cost pays for a quarter of the answers.
    at_half = mean(made, lambda seed: np.interp(0.25, *joint_curve(made, gate, seed)))
    assert row(rows, metric="accuracy_budget_50")["value"] == pytest.approx(at_half, abs=1e-9)
    assert set(rows["metric"]) == {
        "s_d", "deferral_area", "deferral_gain_area",
        *(f"accuracy_budget_{share}" for share in (25, 50, 75)),
    }  # fmt: skip
    drawn = pick(tables["curves"], **place, recipe="finetune", curve="deferral").sort("x")
    expected = [
        mean(made, lambda s, x=x: np.interp(x, *joint_curve(made, gate, s))) for x in drawn["x"]
    ]
    np.testing.assert_allclose(drawn["y"], expected, atol=1e-9)


def test_the_oracle_is_an_upper_bound_and_chance_a_straight_line(made, tables):
    rows = pick(tables["metrics"], predictor="cascade", metric="deferral_area", recipe="finetune")
    areas = {one["variant"]: one["value"] for one in rows.iter_rows(named=True)}
    ends = [
        mean(made, lambda seed, model=model: columns(made, "test", model, seed)["correct"].mean())
        for model in (SMALL, BIG)
    ]
    assert areas["random"] == pytest.approx(np.mean(ends), abs=1e-12)
    assert max(areas, key=areas.get) == "oracle"


@pytest.mark.parametrize("ratio", [25, 50])
def test_thresholds_come_from_val(made, tables, ratio):
    place = {"predictor": "cascade", "recipe": "finetune", "variant": f"nent_defer{ratio}"}
    told = pick(tables["fits"], **place).sort("seed")
    shares, accuracies = [], []
    for seed, threshold in zip(made.seeds, told["threshold"], strict=True):
        val = np.sort(np.asarray(columns(made, "val", SMALL, seed)["nent"], float))
        assert threshold == val[ratio * len(val) // 100]
        small, large = (columns(made, "test", model, seed) for model in (SMALL, BIG))
        defer = np.asarray(small["nent"], float) < threshold
        shares.append(defer.mean())
        accuracies.append(np.where(defer, large["correct"], small["correct"]).mean())
    found = row(tables["metrics"], **place, metric="accuracy")
    assert found["value"] == pytest.approx(np.mean(accuracies), abs=1e-12)
    assert found["gmacs"] == pytest.approx(COSTS[0] + np.mean(shares) * COSTS[1])
    assert found["baseline"] == f"cascade:random_defer{ratio}:{PAIR}"
    random = row(
        tables["metrics"], **{**place, "variant": f"random_defer{ratio}"}, metric="accuracy"
    )
    assert random["gmacs"] == found["gmacs"]
    # No scale is common to the two models' gates: cascades rank nothing.
    assert "aurc" not in set(pick(tables["metrics"], **place)["metric"])


def test_budgets_and_targets(made, tables):
    rows = pick(tables["metrics"], predictor="cascade", metric="accuracy", recipe="finetune")
    assert {"nent_budget50", "nent_target60"} < set(rows["variant"])
    told = pick(tables["fits"], predictor="cascade", variant="nent_budget50", recipe="finetune")
    assert all(cost <= 0.5 * COSTS[1] + 1e-9 for cost in told["promised_gmacs"])
    # A tenth of the large model's cost does not pay for the small one.
    assert "nent_budget10" not in set(rows["variant"])
    told = pick(tables["fits"], variant="nent_budget10", recipe="finetune")
    assert all("does not pay for the small model" in note for note in told["note"])


def test_alphas_are_compared_with_the_control_and_with_the_start(made, tables):
    def auroc(recipe):
        def value(seed):
            own = columns(made, "test", SMALL, seed, recipe)
            return roc_auc_score(own["correct"], own["nent"])

        return mean(made, value)

    alone = pick(tables["metrics"], predictor="single", metric="auroc")
    for variant, other, label in (
        ("nent", "ce_control", f"single:nent:{SMALL}@ce_control"),
        ("nent_vs_untuned", "finetune", f"single:nent:{SMALL}"),
    ):
        found = row(alone, recipe="gatekeeper_a10", variant=variant)
        assert found["baseline"] == label
        assert found["delta"] == pytest.approx(auroc("gatekeeper_a10") - auroc(other), abs=1e-9)
    control = row(alone, recipe="ce_control", variant="nent")
    assert control["baseline"] == f"single:nent:{SMALL}"
    areas = pick(tables["metrics"], predictor="cascade", metric="deferral_area")
    chosen = row(areas, recipe="finetune+gatekeeper_chosen", variant="nent")
    assert chosen["baseline"] == f"cascade:nent:{PAIR}@finetune+ce_control"
    notes = pick(tables["fits"], recipe="finetune+gatekeeper_chosen", variant="nent")["note"]
    assert len(notes) == len(made.seeds)
    assert all(note.startswith("chose gatekeeper_a") for note in notes)


def test_no_row_is_written_twice(tables):
    keys = ["split", "predictor", "variant", "large", "small", "recipe", "metric"]
    assert not tables["metrics"].select(keys).is_duplicated().any()
    assert set(tables["metrics"]["split"]) == {"test"}
    keys = [*keys[1:-1], "curve", "x"]
    assert not tables["curves"].select(keys).is_duplicated().any()
    assert_every_nan_is_explained(tables["metrics"])


def test_a_partner_may_be_the_sweeps_large_model_or_not(made, tables):
    """The pair belongs to the younger model's job, the sweep to the small model's."""
    older = made.evaluate(SMALL, [], BIG)["metrics"]
    younger = made.evaluate(BIG, [SMALL])["metrics"]
    pair = pick(younger, predictor="cascade")
    assert set(pair["recipe"]) == {"finetune"}
    assert "finetune" not in set(pick(older, predictor="cascade")["recipe"])
    both = pl.concat([older, younger.filter(pl.col("small").is_not_null())])
    keys = both.columns
    assert both.sort(keys).equals(tables["metrics"].sort(keys))


def test_what_never_happens_is_undefined_with_a_reason(tmp_path):
    made = Generated(tmp_path, recipes=())
    for (_, model, _, _), own in made.data.items():
        if model == SMALL:
            own["correct"] = np.zeros(len(own["correct"]), dtype=bool)
    tables = made.write().evaluate(SMALL, [BIG])
    found = row(tables["metrics"], predictor="single", variant="nent", metric="auroc")
    assert np.isnan(found["value"])
    assert "no correct answers" in found["note"]
    assert_every_nan_is_explained(tables["metrics"])


def test_a_sweep_that_answers_nothing_right_is_marked(tmp_path):
    made = Generated(tmp_path)
    for seed in made.seeds:
        own = made.data["val", SMALL, "gatekeeper_a10", seed]
        own["truncated"] = np.ones(len(own["truncated"]), dtype=bool)
    tables = made.write().evaluate(SMALL, [BIG], BIG)
    marked = tables["metrics"].filter(pl.col("note").str.contains("collapsed").fill_null(False))
    assert set(marked["recipe"]) == {"gatekeeper_a10", "finetune+gatekeeper_a10"}
    assert "collapsed (seed 0, 1): no answer on val is right" in marked["note"][0]


def test_other_questions_are_refused(tmp_path):
    made = Generated(tmp_path, recipes=())
    made.data["test", BIG, "finetune", 1]["reference"][3] = "9"
    with pytest.raises(SidekickError, match=r"zeta.*the right answer to sample s01003.*'9'"):
        made.write().evaluate(SMALL, [BIG])


def test_a_large_model_must_be_larger(tmp_path):
    made = Generated(tmp_path, models={BIG: (0.4, 0.7), SMALL: (0.5, 0.4)}).write()
    with pytest.raises(SidekickError, match=r"gatekeeper\.pairs\.alpha\.large: 'zeta' takes 0\.4"):
        made.evaluate(SMALL, [], BIG)


def test_a_model_needs_its_base_recipe(made):
    files = made.files(SMALL, BIG, sweep=True)
    answers = {split: [p for p in own if f"{BIG}" not in p] for split, own in files.items()}
    with pytest.raises(SidekickError, match="no answers of model 'zeta' as fine-tuned"):
        made.evaluate(SMALL, [BIG], BIG, answers=answers)
