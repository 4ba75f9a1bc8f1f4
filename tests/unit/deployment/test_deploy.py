"""From cached logits to a predictor file."""

import json

import numpy as np
import pytest

import sidekick
from sidekick.deployment.deploy import deploy
from sidekick.deployment.write import tuning_rows
from sidekick.errors import SidekickError
from sidekick.logit_cache import read_logits, write_logits
from sidekick.methods import duo
from sidekick.methods.temperature import fit_temperature
from unit.deployment.predictors import models

IDS = np.array([f"s{row:04d}" for row in range(2000)], dtype=object)
COSTS = {"tiny": 1.0, "big": 10.0, "odd": 2.0}


@pytest.fixture
def stage(tmp_path):
    """Val caches of three models and their FLOPs files, by name."""
    large, small, labels = models()
    noise = np.random.default_rng(0).permutation(small)
    for name, logits in (("big", large), ("tiny", small), ("odd", noise)):
        facts = {"model": name, "recipe": "finetune", "seed": 3, "split": "val"}
        # One of them in another order.
        order = np.arange(2000)[:: -1 if name == "tiny" else 1]
        path = tmp_path / f"{name}.parquet"
        write_logits(path, IDS[order], labels[order], logits[order], facts)
        (tmp_path / f"{name}.json").write_text(json.dumps({"gmacs": COSTS[name]}))
    return tmp_path


def run(stage, kind, names, **options):
    deploy(
        kind=kind,
        logits=[stage / f"{name}.parquet" for name in names],
        flops=[stage / f"{name}.json" for name in names],
        output=stage / "out.json",
        seed=3,
        **{"accuracies": (0.9,), "facts": {"benchmark": "toy"}, **options},
    )
    return sidekick.load(stage / "out.json")


def tuned(stage, *names):
    """Cached logits and labels of the rows that weights are to be fitted on."""
    caches = [read_logits(stage / f"{name}.parquet") for name in names]
    ordered = [cache.take(np.argsort(cache.sample_ids.astype(str))) for cache in caches]
    rows = tuning_rows(ordered[0].sample_ids, ordered[0].labels, seed=3)
    return [cache.logits[rows] for cache in ordered], ordered[0].labels[rows]


@pytest.mark.parametrize("names", [("big", "tiny"), ("tiny", "big")])
def test_the_large_model_is_the_costlier_one_whatever_the_order(stage, names):
    predictor = run(stage, "duo", names)
    (large, small), labels = tuned(stage, "big", "tiny")
    fit = duo.fit_duo(large, small, labels)
    document = predictor.document
    np.testing.assert_allclose(document["weights"]["full"], fit.weights, rtol=1e-6)
    assert document["models"]["large"] == {"name": "big", "gmacs": 10.0}
    assert document["provenance"]["benchmark"] == "toy"
    assert document["provenance"]["models"] == [
        {"model": name, "recipe": "finetune", "seed": "3"} for name in ("big", "tiny")
    ]
    assert document["provenance"]["fit_notes"] == []


def test_each_kind_is_fitted_as_it_is_used(stage):
    (large, small), labels = tuned(stage, "big", "tiny")
    alone = {z: fit_temperature(x, labels).weights[0] for z, x in (("l", large), ("s", small))}
    both = duo.fit_duo(large, small, labels).weights
    budgets = {"deferral_ratios": (0.5,)}
    for kind, names, options, full, own in (
        ("temperature", ["big"], {}, [alone["l"]], None),
        ("duo", ["big", "tiny"], {}, both, None),
        ("duo", ["big", "tiny"], {"variant": "unweighted"}, np.divide([*alone.values()], 2), None),
        ("cascade", ["big", "tiny"], budgets, [alone["l"]], alone["s"]),
        ("duo_cascade", ["big", "tiny"], budgets, both, alone["s"]),
    ):
        weights = run(stage, kind, names, **options).document["weights"]
        np.testing.assert_allclose(weights["full"], full, rtol=1e-6)
        assert weights["small_alone"] == (None if own is None else pytest.approx(own, rel=1e-6))


def test_a_duo_may_have_several_sidekicks_and_a_useless_one_is_ignored(stage):
    predictor = run(stage, "duo", ["tiny", "big", "odd"])
    assert repr(predictor) == "Predictor(duo of big + odd + tiny, 5 classes)"
    large, noise, small = predictor.document["weights"]["full"]
    assert noise < 0.05 * large
    assert small > 0.1 * large


def test_what_is_to_be_known_of_a_fit_is_written_down(stage):
    labels = models()[2]
    facts = {"model": "sure", "split": "val"}
    certain = np.eye(5)[labels] * 9
    write_logits(stage / "sure.parquet", IDS, labels, certain, facts)
    (stage / "sure.json").write_text('{"gmacs": 1}')
    notes = run(stage, "temperature", ["sure"]).document["provenance"]["fit_notes"]
    assert notes == ["validation samples are separable: weights are only a lower bound"]


@pytest.mark.parametrize(
    ("kind", "names", "message"),
    [
        ("trio", ["big"], "kind 'trio'; allowed are temperature, duo"),
        ("temperature", ["big", "tiny"], "2 files of logits and 2 of FLOPs for a temperature"),
        ("duo", ["big"], "1 files of logits .* for a duo"),
        ("cascade", ["big", "tiny", "odd"], "3 files of logits .* for a cascade"),
    ],
)
def test_the_number_of_models_must_fit_the_kind(stage, kind, names, message):
    with pytest.raises(SidekickError, match=message):
        run(stage, kind, names)


def test_nothing_is_chosen_on_test(stage):
    large, _, labels = models()
    write_logits(stage / "big.parquet", IDS, labels, large, {"model": "big", "split": "test"})
    with pytest.raises(SidekickError, match=r"big\.parquet: logits of the test split; expected"):
        run(stage, "temperature", ["big"])
