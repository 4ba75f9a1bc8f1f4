"""The predictor that a file loads as."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sidekick
from sidekick.artifacts import read_json
from sidekick.deployment import predictor as deployed
from sidekick.deployment.predictor import PredictorError
from sidekick.methods import cascade, duo
from sidekick.methods.prediction import Prediction
from sidekick.methods.temperature import scale
from sidekick.methods.weight_fit import WeightFit
from sidekick.metrics import margin, max_softmax, negative_entropy
from unit.deployment import predictors
from unit.deployment.predictors import SMALL_ALONE, WEIGHTS, models, write

KINDS = list(WEIGHTS)
BUDGET = "deferral<=0.5"


def fit_of(*weights):
    return WeightFit(np.array(weights), 0.0, 1, 0.0, True, np.array(weights) == 0, False)


def load(tmp_path, kind, **changes):
    write(tmp_path / "p.json", kind, **changes)
    return sidekick.load(tmp_path / "p.json")


def expected(kind, large, small, labels, defer):
    """The statistics of the same by the methods that the leaderboard scores."""
    if kind in ("temperature", "cascade"):
        full = scale(large, fit_of(*WEIGHTS[kind])).statistics(labels)
    else:
        full = duo.weighted(large, small, fit_of(*WEIGHTS[kind])).statistics(labels)
    if "cascade" not in kind:
        return full
    own = scale(small, fit_of(SMALL_ALONE)).statistics(labels)
    return cascade.cascade(own, full, defer)


def inputs(kind, rows=slice(None)):
    large, small, _ = models()
    return (large[rows],) if kind == "temperature" else (large[rows], small[rows])


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("kind", KINDS)
def test_it_predicts_what_the_methods_predict(tmp_path, kind, dtype):
    predictor = load(tmp_path, kind)
    large, small, labels = (array.astype(dtype) for array in models())
    budget = BUDGET if "cascade" in kind else None
    given = (large,) if kind == "temperature" else (large, small)
    decision = predictor(*given, budget=budget)
    if budget:
        assert 0.3 < decision.used_large.mean() < 0.5
        np.testing.assert_array_equal(decision.used_large, predictor.defer(small, budget=budget))
    else:
        assert decision.used_large.all()
    precise = large.astype(np.float64), small.astype(np.float64)
    statistics = expected(kind, *precise, labels.astype(int), decision.used_large)
    np.testing.assert_array_equal(decision.prediction, statistics.predicted)
    np.testing.assert_allclose(decision.confidence, statistics.confidence, rtol=0, atol=1e-12)
    assert decision.accepted.all()
    assert not decision.deferred.any()


def test_only_the_large_models_answer_with_the_duos_confidence(tmp_path):
    predictor = load(tmp_path, "duo", variant="uq_only")
    large, small, labels = models()
    decision = predictor(large, small)
    statistics = duo.uq_only(large, small, fit_of(*WEIGHTS["duo"])).statistics(labels)
    np.testing.assert_array_equal(decision.prediction, statistics.predicted)
    np.testing.assert_allclose(decision.confidence, statistics.confidence, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["temperature", "duo"])
def test_without_any_weight_the_large_model_answers(tmp_path, kind):
    predictor = load(tmp_path, kind, weights=[0.0] * len(WEIGHTS[kind]))
    decision = predictor(*inputs(kind))
    np.testing.assert_array_equal(decision.prediction, models()[0].argmax(axis=1))
    np.testing.assert_allclose(decision.confidence, 0.2)


def test_absent_options_stay_absent(tmp_path):
    predictor = load(tmp_path, "duo")
    large, small = (array[:50].copy() for array in models()[:2])
    large[:, 1], small[:, 3] = -np.inf, -np.inf
    decision = predictor(large, small)
    statistics = duo.weighted(large, small, fit_of(*WEIGHTS["duo"])).statistics(np.zeros(50, int))
    np.testing.assert_array_equal(decision.prediction, statistics.predicted)
    np.testing.assert_allclose(decision.confidence, statistics.confidence, atol=1e-12)
    large[7, [0, 2, 4]] = -np.inf
    with pytest.raises(PredictorError, match="row 7: no option is present in every model"):
        predictor(large, np.where(np.arange(5) == 3, -np.inf, small))


def test_several_sidekicks_are_added_up(tmp_path):
    large, small, labels = models()
    third = -small[::-1]
    members = [predictors.Member(name, 1.0, z) for name, z in (("one", small), ("two", third))]
    predictor = load(tmp_path, "duo", smalls=members, weights=[0.7, 0.4, 0.1])
    decision = predictor(large, [small, third])
    statistics = Prediction(0.7 * large + 0.4 * small + 0.1 * third).statistics(labels)
    np.testing.assert_array_equal(decision.prediction, statistics.predicted)
    np.testing.assert_allclose(decision.confidence, statistics.confidence, atol=1e-12)
    with pytest.raises(PredictorError, match="1 arrays; this duo has 2 small models"):
        predictor(large, small)


@pytest.mark.parametrize("name", deployed.GATES)
@pytest.mark.parametrize("classes", [1, 2, 7])
def test_gates_are_the_metrics_scores(name, classes):
    logits = np.random.default_rng(classes).normal(size=(100, classes)) * 20
    if classes == 7:
        logits[::3, :4] = -np.inf
    score = {f.__name__: f for f in (max_softmax, margin, negative_entropy)}[name]
    np.testing.assert_allclose(deployed.GATES[name](logits), score(logits), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["cascade", "duo_cascade"])
@pytest.mark.parametrize("gate", deployed.GATES)
def test_a_cascade_runs_the_large_model_on_deferred_rows_only(tmp_path, kind, gate):
    predictor = load(tmp_path, kind, gate=gate)
    large, small, _ = models()
    whole = predictor(large, small, budget=BUDGET, target="accuracy>=0.9")
    defer = predictor.defer(small, budget=BUDGET)
    steps = predictor(large[defer], small, budget=BUDGET, target="accuracy>=0.9")
    for name in ("prediction", "confidence", "accepted", "used_large"):
        np.testing.assert_array_equal(getattr(steps, name), getattr(whole, name))
    with pytest.raises(PredictorError, match=r"\d+ rows; expected one for each of the 2000"):
        predictor(large[:3], small, budget=BUDGET)
    with pytest.raises(PredictorError, match=r"none given, but \d+ of 2000 samples are deferred"):
        predictor(None, small, budget=BUDGET)
    kept = predictor(None, small[~defer], budget=BUDGET)
    np.testing.assert_array_equal(kept.confidence, whole.confidence[~defer])


@pytest.mark.parametrize("kind", KINDS)
def test_batches_may_be_empty(tmp_path, kind):
    predictor = load(tmp_path, kind)
    budget = BUDGET if "cascade" in kind else None
    decision = predictor(*inputs(kind, slice(0)), budget=budget, target="accuracy>=0.9")
    assert decision.prediction.shape == decision.accepted.shape == (0,)


@pytest.mark.parametrize("kind", KINDS)
def test_targets_accept_less_the_more_they_promise(tmp_path, kind):
    predictor = load(tmp_path, kind)
    assert predictor.targets == ["accuracy>=0.8", "accuracy>=0.9", "accuracy>=0.9999"]
    budget = BUDGET if "cascade" in kind else None
    accepted = []
    for target in predictor.targets[:2]:
        decision = predictor(*inputs(kind), target=target, budget=budget)
        np.testing.assert_array_equal(decision.deferred, ~decision.accepted)
        accepted.append(decision.accepted)
    assert 0 < accepted[1].sum() < accepted[0].sum()
    with pytest.raises(PredictorError, match="has no threshold: no threshold could be certified"):
        predictor(*inputs(kind), target="accuracy>=0.9999", budget=budget)


def spoil(name, value):
    def change(document):
        *blocks, last = name.split(".")
        for block in blocks:
            document = document[block]
        document[last] = value

    return change


DAMAGE = {
    "foreign": (spoil("format", "other"), "not a predictor file"),
    "newer": (spoil("version", 2), "version 2 of the format, but this code reads up to 1"),
    "kind": (spoil("kind", "trio"), "kind: 'trio'; allowed is temperature, duo"),
    "variant": (spoil("variant", "x"), "variant: 'x'"),
    "gate": (spoil("gate", "x"), "gate: 'x'; allowed is max_softmax"),
    "classes": (spoil("classes", "5"), "classes: '5'; allowed is of type int"),
    "names": (spoil("class_names", ["a"]), "class_names: 1 names; allowed is 5 names"),
    "weights": (spoil("weights.full", [1.0]), r"weights.full: \[1.0\]; allowed is 2 numbers"),
    "negative": (spoil("weights.full", [1.0, -1.0]), "weights.full: .*from 0 up"),
    "text": (spoil("weights.small_alone", "x"), "weights.small_alone: .*allowed is 1 numbers"),
    "smalls": (spoil("models.small", []), "models.small: 0 models"),
    "table": (spoil("targets", [{"name": "x"}]), "targets: 'budget'; allowed is a list"),
    "threshold": (spoil("budgets", [{"name": "x", "threshold": "y"}]), "budgets: could not"),
    "no table": (spoil("budgets", None), "budgets: None; allowed is of type list"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_files_that_cannot_be_used_are_refused_by_key(tmp_path, name):
    change, message = DAMAGE[name]
    path = tmp_path / "p.json"
    write(path, "duo_cascade")
    document = read_json(path)
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(PredictorError, match=message) as caught:
        sidekick.load(path)
    assert str(path) in str(caught.value)


def test_files_that_are_no_json_are_refused(tmp_path):
    with pytest.raises(PredictorError, match=r"none\.json: cannot be read"):
        sidekick.load(tmp_path / "none.json")
    (tmp_path / "p.json").write_text("{")
    with pytest.raises(PredictorError, match=r"p\.json: not a JSON file"):
        sidekick.load(tmp_path / "p.json")
    (tmp_path / "p.json").write_text("[]")
    with pytest.raises(PredictorError, match="not a predictor file"):
        sidekick.load(tmp_path / "p.json")


def filled(value):
    logits = np.zeros((3, 5))
    logits[1] = value
    return logits


GOOD = np.zeros((3, 5))
REFUSED = {
    "classes": ((np.zeros((3, 4)), GOOD), {}, r"logits_large: shape \(3, 4\); expected .*5\)"),
    "one row": ((GOOD[0], GOOD), {}, r"shape \(5,\)"),
    "rows": ((GOOD, GOOD[:2]), {}, "logits_small: 2 rows, but logits_large has 3"),
    "NaN": ((GOOD, filled(np.nan)), {}, "logits_small: row 1: a logit is NaN"),
    "inf": ((filled(np.inf), GOOD), {}, "logits_large: row 1: a logit is infinite"),
    "absent": ((filled(-np.inf), GOOD), {}, "logits_large: row 1: no logit is finite"),
    "no small": ((GOOD,), {}, "logits_small: 0 arrays; this duo has 1 small models"),
    "no large": ((None, GOOD), {}, "logits_large: none given, but a duo needs them"),
    "target": ((GOOD, GOOD), {"target": "x"}, r"target: 'x'; .* has \['accuracy>=0.8'"),
    "budget": ((GOOD, GOOD), {"budget": "x"}, "a duo has no budgets"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_arguments_that_cannot_be_used_are_refused(tmp_path, name):
    arguments, options, message = REFUSED[name]
    with pytest.raises(PredictorError, match=message):
        load(tmp_path, "duo")(*arguments, **options)


def test_budgets_are_named(tmp_path):
    predictor = load(tmp_path, "cascade")
    assert predictor.budgets == ["deferral<=0.2", "deferral<=0.5", "gmacs<=0.5", "gmacs<=3"]
    for name in ("x", None):
        with pytest.raises(PredictorError, match=r"budget: .*has \['deferral<=0.2', "):
            predictor.defer(GOOD, budget=name)
    with pytest.raises(PredictorError, match="has no threshold: the small model alone costs 1"):
        predictor.defer(GOOD, budget="gmacs<=0.5")
    with pytest.raises(PredictorError, match="a duo runs every model on every sample"):
        load(tmp_path, "duo").defer(GOOD)
    only = load(tmp_path, "cascade", deferral_ratios=(0.5,), gmacs_budgets=())
    np.testing.assert_array_equal(
        only.defer(models()[1]), predictor.defer(models()[1], budget=BUDGET)
    )
    assert only(*models()[:2], target="accuracy>=0.9").accepted.any()


ALONE = """\
import importlib, json, sys

class OnlyNumpy:
    allowed = set(sys.stdlib_module_names) | {"numpy", *json.loads(sys.argv[2])}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in self.allowed:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, OnlyNumpy())
sys.path.insert(0, sys.argv[1])
load = importlib.import_module(sys.argv[3]).load
predictor = load(sys.argv[4])
import numpy as np
large, small = np.load(sys.argv[5])
decision = predictor(large, small, target="accuracy>=0.9", budget="deferral<=0.5")
foreign = {name.partition(".")[0] for name in sys.modules} - OnlyNumpy.allowed
assert foreign <= {"__main__", "sitecustomize", "usercustomize"} | {
    name for name in foreign if name.startswith(("_", "__editable__"))
}, foreign
print(int(decision.accepted.sum()), repr(predictor))
"""


@pytest.mark.parametrize("module", ["sidekick", "predictor"])
def test_it_needs_numpy_alone_even_as_a_copied_file(tmp_path, module):
    path = tmp_path / "p.json"
    write(path, "duo_cascade")
    large, small, _ = models()
    np.save(tmp_path / "logits.npy", np.stack([large, small]))
    folder = Path(sidekick.__file__).parents[1]
    if module == "predictor":
        folder = tmp_path / "copied"
        folder.mkdir()
        (folder / "predictor.py").write_text(Path(deployed.__file__).read_text())
    arguments = [folder, json.dumps([module]), module, path, tmp_path / "logits.npy"]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    here = sidekick.load(path)(large, small, target="accuracy>=0.9", budget=BUDGET)
    assert done.stdout == (
        f"{here.accepted.sum()} Predictor(duo_cascade of big + tiny, 5 classes)\n"
    )


def test_importing_sidekick_loads_nothing_else():
    code = (
        "import sys, sidekick; print('numpy' in sys.modules, 'sidekick.deployment' in sys.modules)"
    )
    folder = Path(sidekick.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False False\n"
