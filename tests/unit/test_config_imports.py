"""Configurations with models that bring their logits, and with deployed predictors."""

import pytest
import yaml

from sidekick.config import validate
from sidekick.config_imports import ENDINGS
from sidekick.deployment import predictor, selection
from sidekick.errors import SidekickError
from sidekick.logit_cache import import_checks, import_formats
from unit.test_config import SCHEMA, drop, of_images, put, touch


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """The files that the configurations name, in the folder that they are checked in."""
    for name in ("a.npz", "b.npz", "b.npy", "labels.csv", "readme.txt"):
        touch(tmp_path / name)
    for split in ("val", "test", "shift"):
        for seed in range(3):
            touch(tmp_path / f"theirs/{split}{seed}.parquet")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def alone():
    """A benchmark in which nothing is trained."""
    return {
        "benchmark": "imported",
        "seeds": [0],
        "datasets": {"cifar": {"main_metric": "accuracy", "val_share": 0.5, "val_seed": 1}},
        "models": {
            "one": {"logits": {"cifar": {"test": "a.npz", "kind": "probabilities"}}, "gmacs": 2},
            "two": {"logits": {"cifar": {"test": "b.npz"}}, "gmacs": 0.1, "labels": {"a": "b"}},
        },
        "cascade": {"deferral_ratios": [0.5]},
        "deployment": {
            "duo": {
                "dataset": "cifar",
                "kind": "duo",
                "models": ["one", "two"],
                "seed": 0,
                "accuracies": [0.9],
            }
        },
        "evaluation": {"replicates": {"test": 20, "shift": 20}, "level": 0.9, "seed": 0},
    }


@pytest.fixture
def beside():
    """The embedded benchmark with a model that brings its logits."""
    config = of_images()
    entry = {split: f"theirs/{split}{{seed}}.parquet" for split in ("val", "test", "shift")}
    config["models"]["theirs"] = {"logits": {"digits": entry}, "gmacs": 0.01}
    return config


def test_blocks_about_training_may_be_left_out(alone):
    validate(alone, SCHEMA)
    del alone["datasets"]["cifar"]["val_seed"], alone["deployment"]
    alone["datasets"]["cifar"]["classes"] = ["cat", "dog"]
    alone["models"]["two"]["logits"]["cifar"] = {
        "test": "b.npy",
        "label_files": {"test": "labels.csv"},
        "fields": {"labels": "y", "ids": "name"},
    }
    validate(alone, SCHEMA)


def test_trained_and_imported_models_may_stand_side_by_side(beside):
    validate(beside, SCHEMA)


def test_a_dataset_may_have_files_of_every_split(alone):
    del alone["datasets"]["cifar"]["val_share"], alone["datasets"]["cifar"]["val_seed"]
    alone["seeds"] = [0, 1, 2]
    entry = {split: f"theirs/{split}{{seed}}.parquet" for split in ("val", "test", "shift")}
    # One file of labels may serve all seeds.
    entry["label_files"] = {"shift": "labels.csv"}
    for model in alone["models"].values():
        model["logits"]["cifar"] = entry
    validate(alone, SCHEMA)


MODEL, DATASET, DUO = "models/one", "datasets/cifar", "deployment/duo"
ENTRY = f"{MODEL}/logits/cifar"
SAMPLES = {"train": 2, "val": 2, "test": 2}
NETWORK = {"architecture": "small_cnn"}
# Path, value, and what the message must say besides the path: the value and what is allowed.
CASES = [
    # What a model is
    (f"{MODEL}/logits", drop, "models.one: the key 'architecture' is missing", "`logits` and"),
    (f"{MODEL}/gmacs", drop, "models.one: the key 'gmacs' is missing", "multiply-adds"),
    (f"{MODEL}/gmacs", 0, "models.one.gmacs: 0 ", "> 0"),
    (f"{MODEL}/architecture", "resnet18", "models.one.architecture: 'resnet18' beside", "labels"),
    (f"{MODEL}/finetune", {"epochs": 1}, "models.one.finetune: {'epochs': 1} beside", "Allowed"),
    (f"{MODEL}/pretrained", True, "models.one.pretrained: True beside `logits`", "Allowed"),
    (MODEL, NETWORK, "the top level: the key 'finetune' is missing", "models.one is trained"),
    # What a dataset is
    (f"{DATASET}/splits", SAMPLES, "datasets.cifar.splits: {'train': 2", "leave it out"),
    (f"{DATASET}/path", "a.zip", "datasets.cifar.path: 'a.zip', but without a", "leave it out"),
    (f"{DATASET}/val_share", 1, "datasets.cifar.val_share: 1 ", "< 1"),
    (f"{DATASET}/val_share", drop, "datasets.cifar.val_seed: 1 is of no use", "`val_share`"),
    (DATASET, {}, f"{ENTRY.replace('/', '.')}: the key 'val' is missing", "cifar.val_share"),
    (f"{DATASET}/classes", ["cat"], "datasets.cifar.classes: ['cat'] ", "at least 2"),
    (DATASET, {"source": "digits"}, "datasets.cifar: the key 'splits' is missing", ""),
    ("datasets/food", {"val_share": 0.5}, "models.one.logits: datasets.food is missing", "cifar"),
    # Where the logits are
    (f"{MODEL}/logits", {}, "models.one.logits: {} ", "at least 1"),
    (f"{MODEL}/logits", "a.npz", "models.one.logits: 'a.npz' ", "object"),
    (f"{MODEL}/logits/cifar100", {"test": "a.npz"}, "models.one.logits: 'cifar100' ", "'cifar'?"),
    (ENTRY, {}, "models.one.logits.cifar: the key 'test' is missing", ""),
    (f"{ENTRY}/test", "gone.npz", "models.one.logits.cifar.test: 'gone.npz' does not", "a file"),
    (f"{ENTRY}/test", "theirs", "models.one.logits.cifar.test: 'theirs' ends in ''", ".parquet"),
    (f"{ENTRY}/test", "readme.txt", "cifar.test: 'readme.txt' ends in '.txt'", ".npz, .npy, .csv"),
    (f"{ENTRY}/test", "b.npy", "models.one.logits.cifar.test: 'b.npy' holds no labels", "label_f"),
    (f"{ENTRY}/val", "b.npz", "models.one.logits.cifar.val: 'b.npz', but", "keep one of them"),
    (f"{ENTRY}/kind", "softmax", "logits.cifar.kind: 'softmax' ", "logits, probabilities"),
    (f"{ENTRY}/fields", {"y": "a"}, "models.one.logits.cifar.fields: unknown key 'y'", "labels"),
    (f"{ENTRY}/fields", {"values": 3}, "cifar.fields.values: 3 ", "string or array"),
    (f"{ENTRY}/label_files", {"val": "b.npy"}, "label_files.val: 'b.npy', but", "file of `val`"),
    (f"{ENTRY}/label_files", {"test": "c.npy"}, "label_files.test: 'c.npy' does not exist", ""),
    (f"{ENTRY}/shift", "a.npz", "models.one.logits.cifar.shift: 'a.npz' is the file of `test`", ""),
    (f"{ENTRY}/shift", "b.npz", "models.two.logits.cifar: the key 'shift' is missing", "for none"),
    ("seeds", [0, 1], "models.one.logits.cifar.test: 'a.npz' is one file for seeds", "{seed}"),
    # Deployed predictors
    (f"{DUO}/dataset", "cifer", "deployment.duo.dataset: 'cifer' ", "Allowed: cifar"),
    (f"{DUO}/seed", 3, "deployment.duo.seed: 3 ", "Allowed: 0"),
    (f"{DUO}/kind", "trio", "deployment.duo.kind: 'trio' ", "temperature, duo, cascade"),
    (f"{DUO}/kind", "temperature", "deployment.duo.models: ['one', 'two'] are 2", "allowed are 1"),
    (f"{DUO}/models", ["one"], "deployment.duo.models: ['one'] are 1 for a duo", "2 or more"),
    (f"{DUO}/models", ["one", "to"], "deployment.duo.models: 'to' ", "Did you mean 'two'?"),
    (f"{DUO}/models", ["one", "two@soup"], "models: 'two' has no recipe 'soup'", "imported"),
    (f"{DUO}/models", ["one", "one@imported"], "deployment.duo.models: 'one' occurs", "different"),
    (f"{DUO}/accuracies", [1], "deployment.duo.accuracies.0: 1 ", "< 1"),
    (f"{DUO}/accuracies", drop, "deployment.duo: the key 'accuracies' is missing", ""),
    (f"{DUO}/deferral_ratios", [0.5], "deployment.duo.deferral_ratios: [0.5] ", "cascade"),
    (f"{DUO}/gate", "margin", "deployment.duo.gate: 'margin' ", "duo_cascade only"),
    (f"{DUO}/kind", "cascade", "deployment.duo: a cascade needs deferral_ratios", "gmacs_budgets"),
    ("deployment", {"A": {}}, "deployment: 'A' ", "lower-case"),
    ("mc_dropout", "one", "mc_dropout.models: 'one' brings its logits", "trained here"),
]

HEAD = {
    "passes": [3],
    "levels": [0.8],
    "training": {
        "hidden": 8,
        "dropout": [0.2, 0.4],
        "epochs": 1,
        "batch_size": 20,
        "learning_rate": 0.01,
    },
}


@pytest.mark.parametrize(
    ("path", "value", "start", "allowed"),
    CASES,
    ids=lambda part: getattr(part, "__name__", str(part))[:30],
)
def test_a_bad_configuration_is_refused_with_place_value_and_what_is_allowed(
    alone, path, value, start, allowed
):
    if value is drop:
        drop(alone, path)
    else:
        put(alone, path, {**HEAD, "models": [value]} if path == "mc_dropout" else value)
    refuse(alone, start, allowed)


BESIDE = "models/theirs/logits/digits"
CASES_BESIDE = [
    (f"{BESIDE}/val", drop, "models.theirs.logits.digits: the key 'val' is missing", "tune on"),
    (f"{BESIDE}/shift", drop, "datasets.digits has a shift set, but models.theirs", "neither"),
    ("datasets/digits/shift", drop, "models.theirs.logits.digits has a shift set", "neither"),
    (f"{BESIDE}/val", "theirs/{seed}.csv", "digits.val: 'theirs/0.csv' does not exist", "a file"),
    ("datasets/digits/val_share", 0.5, "datasets.digits.val_share: 0.5, but", "leave it out"),
    ("datasets/digits/source", drop, "datasets.digits: the key 'source' is", "test_resnet cannot"),
    ("models/small_cnn/gmacs", 2, "models.small_cnn.gmacs: 2 is of no use", "leave it out"),
    ("compute", drop, "the top level: the key 'compute' is missing", "is trained"),
    (
        "models/small_cnn/distill",
        {"teacher": "theirs", "temperature": 2, "weight": 0.5},
        "models.small_cnn.distill.teacher: 'theirs' ",
        "test_resnet",
    ),
    (
        "deployment/digits_cascade/models",
        ["test_resnet@distill", "small_cnn"],
        "deployment.digits_cascade.models: 'test_resnet' has no recipe 'distill'",
        "Allowed: finetune",
    ),
]


@pytest.mark.parametrize(("path", "value", "start", "allowed"), CASES_BESIDE)
def test_what_does_not_fit_trained_models_is_refused(beside, path, value, start, allowed):
    drop(beside, path) if value is drop else put(beside, path, value)
    refuse(beside, start, allowed)


def test_an_ensemble_of_trials_cannot_be_deployed(beside):
    beside["models"]["small_cnn"]["finetune"] = {
        "search": {
            "trials": 3,
            "learning_rate": [0.001, 0.01],
            "weight_decay": [0.01, 0.1],
            "soups": True,
            "ensemble": 2,
        }
    }
    put(beside, "deployment/digits_cascade/models", ["test_resnet", "small_cnn@soup_greedy"])
    validate(beside, SCHEMA)
    put(beside, "deployment/digits_cascade/models", ["test_resnet", "small_cnn@trial_ensemble"])
    refuse(beside, "models: 'small_cnn' has no recipe 'trial_ensemble'", "soup_uniform")


def refuse(config, start, allowed):
    with pytest.raises(SidekickError) as caught:
        validate(config, SCHEMA)
    message = str(caught.value)
    assert start in message
    assert allowed in message.partition(start)[2]
    assert "\n" not in message


def test_the_schema_allows_what_the_library_can_do():
    whole = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    schema = whole["properties"]
    entry = schema["deployment"]["additionalProperties"]["properties"]
    assert entry["kind"]["enum"] == list(predictor.KINDS)
    assert entry["variant"]["enum"] == list(predictor.VARIANTS)
    assert entry["gate"]["enum"] == list(predictor.GATES)
    assert entry["method"]["enum"] == list(selection.METHODS)
    block = whole["$defs"]["foreign_logits"]["additionalProperties"]["properties"]
    assert block["kind"]["enum"] == list(import_checks.KINDS)
    assert list(block["fields"]["properties"]) == list(import_formats.FIELDS)
    assert tuple(import_formats._READERS) == ENDINGS
