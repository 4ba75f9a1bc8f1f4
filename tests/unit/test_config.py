import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sidekick.config import check_file, validate
from sidekick.errors import SidekickError

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "rules" / "schemas" / "config.schema.yaml"
SHIPPED = ROOT / "config.yaml"
NAN, INF = float("nan"), float("inf")


def shipped():
    return yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))


def of_images():
    """The shipped configuration without its language models."""
    config = shipped()
    of_text = [name for name, entry in config["models"].items() if entry.get("modality") == "text"]
    for model in of_text:
        del config["models"][model]
        config["gatekeeper"]["pairs"].pop(model, None)
    del config["language"], config["datasets"]["graded_mcq"]
    return config


@pytest.fixture
def config():
    return of_images()


def place(config, path):
    """The mapping or list that holds the key at a dotted path, and that key."""
    *parents, key = path.split("/")
    for parent in parents:
        config = config[int(parent) if isinstance(config, list) else parent]
    return config, int(key) if isinstance(config, list) else key


def put(config, path, value):
    holder, key = place(config, path)
    holder[key] = value


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def drop(config, path):
    holder, key = place(config, path)
    del holder[key]


def test_the_shipped_configuration_is_valid(config):
    check_file(SHIPPED)
    validate(shipped(), SCHEMA)
    validate(config, SCHEMA)


def test_ready_made_configurations_are_valid(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("wideresnet-16-4", "densenet-bc-100", "lenet-5"):
        touch(tmp_path / f"logits/{name}-cifar-100.npz")
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        check_file(path)
        validate(yaml.safe_load(path.read_text(encoding="utf-8")), SCHEMA)


def test_optional_blocks_may_be_left_out(config):
    for path in ("mc_dropout", "datasets/digits/shift", "datasets/digits/main_metric"):
        drop(config, path)
        validate(config, SCHEMA)
    del config["deployment"], config["gatekeeper"]
    config["models"] = {"one": {"architecture": "resnet18.a1_in1k"}}
    validate(config, SCHEMA)


MODEL, DATASET = "models/test_resnet", "datasets/digits"
PAIR, PAIR_PATH = "gatekeeper/pairs/small_cnn_narrow", "gatekeeper.pairs.small_cnn_narrow"
PROBE = {"epochs": 5, "batch_size": 8, "learning_rate": 0.1}
CIFAR = {"source": "cifar100", "splits": {"train": 200, "val": 200, "test": 200}}
DISTILL = {"teacher": "test_resnet", "temperature": 2, "weight": 0.5}
SEARCH = {"trials": 3, "learning_rate": [0.001, 0.01], "weight_decay": [0.01, 0.1]}
# Path, value, and what the message must say besides the path: the value and what is allowed.
CASES = [
    # Unknown keys, everywhere
    ("colour", 1, "the top level: unknown key 'colour'", "Allowed: benchmark, cascade"),
    ("model", {}, "the top level: unknown key 'model'", "Did you mean 'models'"),
    (f"{DATASET}/split", {}, "datasets.digits: unknown key 'split'", "Did you mean 'splits'"),
    (f"{DATASET}/splits/dev", 3, "datasets.digits.splits: unknown key 'dev'", "test, train, val"),
    (f"{DATASET}/shift/kinds", [], "datasets.digits.shift: unknown key 'kinds'", "severities"),
    ("finetune/lr", 0.1, "finetune: unknown key 'lr'", "learning_rate"),
    ("finetune/augmentation/rotate", 3, "finetune.augmentation: unknown key 'rotate'", "noise"),
    (f"{MODEL}/arch", "x", "models.test_resnet: unknown key 'arch'", "Allowed: architecture"),
    (
        f"{MODEL}/finetune",
        {"epoch": 2},
        "models.test_resnet.finetune: unknown key 'epoch'",
        "epochs",
    ),
    ("cascade/ratios", [0.5], "cascade: unknown key 'ratios'", "deferral_ratios"),
    ("mc_dropout/rate", 0.1, "mc_dropout: unknown key 'rate'", "passes"),
    ("mc_dropout/training/width", 9, "mc_dropout.training: unknown key 'width'", "hidden"),
    ("evaluation/replicas", 9, "evaluation: unknown key 'replicas'", "Did you mean 'replicates'"),
    ("evaluation/replicates/val", 9, "evaluation.replicates: unknown key 'val'", "shift, test"),
    ("compute/gpu", 1, "compute: unknown key 'gpu'", "device, threads"),
    # Wrong types
    ("benchmark", 3, "benchmark: 3 ", "string"),
    ("seeds", 0, "seeds: 0 ", "array"),
    ("seeds", [0, "1"], "seeds.1: '1' ", "integer"),
    ("seeds", [0, True], "seeds.1: True ", "integer"),
    ("seeds", [0.0, 1], "seeds.0: 0.0 ", "integer"),
    ("datasets", ["digits"], "datasets: ['digits'] ", "object"),
    ("models", None, "models: None ", "object"),
    (MODEL, "resnet18", "models.test_resnet: 'resnet18' ", "object"),
    (f"{MODEL}/architecture", 18, "models.test_resnet.architecture: 18 ", "string"),
    (f"{MODEL}/pretrained", 1, "models.test_resnet.pretrained: 1 ", "boolean or string"),
    (f"{MODEL}/input", {"size": "224"}, "models.test_resnet.input.size: '224' ", "integer"),
    ("finetune/search", 4, "finetune.search: 4 ", "object or null"),
    ("finetune/ema", "1e-3", "finetune.ema: '1e-3' ", "write 0.001 without"),
    (f"{MODEL}/labels", {"width": 8}, "models.test_resnet.labels.width: 8 ", "string"),
    (f"{MODEL}/options", [1], "models.test_resnet.options: [1] ", "object"),
    ("finetune/epochs", 2.0, "finetune.epochs: 2.0 ", "integer"),
    ("finetune/epochs", "20", "finetune.epochs: '20' ", "integer"),
    ("finetune/learning_rate", "1e-3", "finetune.learning_rate: '1e-3' ", "write 0.001 without"),
    ("finetune/learning_rate", "fast", "finetune.learning_rate: 'fast' ", "number"),
    ("finetune/learning_rate", True, "finetune.learning_rate: True ", "number"),
    ("evaluation/seed", None, "evaluation.seed: None ", "integer"),
    (f"{MODEL}/options", {"day": yaml.safe_load("2026-01-01")}, "options.day: 2026-01-01", "date"),
    # Missing keys
    ("benchmark", drop, "the top level: the key 'benchmark' is missing", ""),
    (f"{DATASET}/source", drop, "datasets.digits: the key 'source' is missing", ""),
    (f"{DATASET}/splits/val", drop, "datasets.digits.splits: the key 'val' is missing", ""),
    (f"{MODEL}/architecture", drop, "models.test_resnet: the key 'architecture' is missing", ""),
    ("finetune/epochs", drop, "finetune: the key 'epochs' is missing", ""),
    ("mc_dropout/training/hidden", drop, "mc_dropout.training: the key 'hidden' is missing", ""),
    # Illegal ids
    ("benchmark", "My benchmark", "benchmark: 'My benchmark' ", "lower-case letters, digits and _"),
    ("benchmark", "digits\n", r"benchmark: 'digits\n' ", "lower-case"),
    ("models/Big", {"architecture": "resnet18"}, "models: 'Big' ", "lower-case"),
    ("models/../x", {}, "models: '../x' ", "lower-case"),
    ("models/1st", {"architecture": "resnet18"}, "models: '1st' ", "first a letter"),
    ("models/", {"architecture": "resnet18"}, "models: '' ", "first a letter"),
    ("models/" + "a" * 65, {"architecture": "resnet18"}, "models: 'aaa", "at most 64 characters"),
    ("datasets/a-b", {"source": "digits"}, "datasets: 'a-b' ", "lower-case"),
    # Keys that YAML does not read as text: `no: …`, `1: …`
    ("models", {False: {"architecture": "resnet18"}}, "models: the key False", "put it in quotes"),
    ("models", {1: {"architecture": "resnet18"}}, "models: the key 1 ", "put it in quotes"),
    (f"{MODEL}/options", {1: 2, "b": 3}, "models.test_resnet.options: the key 1 ", "quotes"),
    # Empty, too short, too long, twice
    ("seeds", [], "seeds: [] ", "at least 1"),
    ("seeds", [1, 1], "seeds: [1, 1] ", "twice"),
    ("models", {}, "models: {} ", "at least 1"),
    ("datasets", {}, "datasets: {} ", "at least 1"),
    (f"{MODEL}/architecture", "", "models.test_resnet.architecture: '' ", "at least 1"),
    (f"{DATASET}/shift/corruptions", [], "datasets.digits.shift.corruptions: [] ", "at least 1"),
    (f"{DATASET}/shift/severities", [1, 1], "shift.severities: [1, 1] ", "twice"),
    (f"{DATASET}/shift/corruptions", ["contrast"] * 2, "corruptions: ['contrast', ", "twice"),
    ("cascade/deferral_ratios", [], "cascade.deferral_ratios: [] ", "at least 1"),
    ("mc_dropout/models", [], "mc_dropout.models: [] ", "at least 1"),
    ("mc_dropout/training/dropout", [0.1], "mc_dropout.training.dropout: [0.1] ", "at least 2"),
    ("mc_dropout/training/dropout", [0.1] * 3, "dropout: [0.1, 0.1, 0.1] ", "at most 2"),
    # Out of range
    ("seeds", [-1], "seeds.0: -1 ", "≥ 0"),
    ("seeds", [2**32], f"seeds.0: {2**32} ", "≤ 4294967295"),
    (f"{DATASET}/splits/train", 1, "datasets.digits.splits.train: 1;", "allowed are 2 images"),
    (f"{DATASET}/shift/severities", [0], "datasets.digits.shift.severities.0: 0 ", "≥ 1"),
    (f"{DATASET}/shift/severities", [6], "datasets.digits.shift.severities.0: 6 ", "≤ 5"),
    ("finetune/learning_rate", 0, "finetune.learning_rate: 0 ", "> 0"),
    ("finetune/label_smoothing", 1, "finetune.label_smoothing: 1 ", "< 1"),
    ("cascade/deferral_ratios", [1.0], "cascade.deferral_ratios.0: 1.0 ", "< 1"),
    ("mc_dropout/passes", [1], "mc_dropout.passes.0: 1 ", "≥ 2"),
    ("mc_dropout/passes", 30, "mc_dropout.passes: 30 ", "array"),
    ("mc_dropout/passes", [], "mc_dropout.passes: [] ", "at least 1"),
    ("mc_dropout/calibration_images", 0, "mc_dropout.calibration_images: 0 ", "≥ 1"),
    ("mc_dropout/quantise", "int8", "mc_dropout.quantise: 'int8' ", "boolean"),
    ("mc_dropout/levels", [0], "mc_dropout.levels.0: 0 ", "> 0"),
    ("mc_dropout/training/dropout", [0.2, 1], "mc_dropout.training.dropout.1: 1 ", "< 1"),
    ("evaluation/level", 0.5, "evaluation.level: 0.5 ", "> 0.5"),
    ("evaluation/replicates/test", 0, "evaluation.replicates.test: 0 ", "≥ 20"),
    ("compute/threads", 0, "compute.threads: 0 ", "≥ 1"),
    # NaN and infinity, which no comparison with a bound notices
    ("finetune/learning_rate", NAN, "finetune.learning_rate: nan ", "finite"),
    ("finetune/learning_rate", INF, "finetune.learning_rate: inf ", "finite"),
    ("finetune/weight_decay", INF, "finetune.weight_decay: inf ", "finite"),
    ("finetune/augmentation/noise", NAN, "finetune.augmentation.noise: nan ", "finite"),
    ("evaluation/level", NAN, "evaluation.level: nan ", "finite"),
    ("cascade/deferral_ratios", [0.5, NAN], "cascade.deferral_ratios.1: nan ", "finite"),
    ("mc_dropout/training/dropout", [NAN, 0.1], "mc_dropout.training.dropout.0: nan ", "finite"),
    (f"{MODEL}/options", {"rate": -INF}, "models.test_resnet.options.rate: -inf ", "finite"),
    # Not one of those there are
    ("compute/device", "gpu", "compute.device: 'gpu' ", "Allowed: cpu, cuda"),
    (f"{DATASET}/main_metric", "auc", "datasets.digits.main_metric: 'auc' ", "accuracy, macro_f1"),
    (f"{DATASET}/source", "digit", "datasets.digits.source: dataset 'digit'", "digits"),
    (f"{DATASET}/shift/corruptions", ["fogg"], "shift.corruptions: 'fogg' ", "gaussian_noise"),
    (
        f"{DATASET}/shift/corruptions",
        ["gausian_noise"],
        "datasets.digits.shift.corruptions: 'gausian_noise' ",
        "Did you mean 'gaussian_noise'?",
    ),
    ("mc_dropout/models", ["small"], "mc_dropout.models: 'small' ", "Allowed: small_cnn, "),
    # Files and where they come from
    ("downloads", {"folder": ""}, "downloads.folder: '' ", "at least 1"),
    ("downloads", {"retries": 3}, "downloads: unknown key 'retries'", "folder, mirror, offline"),
    ("downloads", {"mirror": "ftp://host"}, "downloads.mirror: 'ftp://host' ", "https:// or http:"),
    (
        f"{DATASET}/path",
        "/nowhere",
        "datasets.digits.path: '/nowhere' is of no use",
        "leave it out",
    ),
    (DATASET, {**CIFAR, "path": "nowhere.zip"}, "datasets.digits.path: 'nowhere.zip' ", "a folder"),
    (
        DATASET,
        {**CIFAR, "checksum": "md5:12"},
        "datasets.digits.checksum: 'md5:12' ",
        "md5: and 32",
    ),
    (f"{DATASET}/shift/mirror", "https://host", "datasets.digits.shift.mirror: ", "leave it out"),
    (f"{DATASET}/shift/source", "cifar100_c", "shift.source: 'cifar100_c' ", "images of cifar100,"),
    (f"{DATASET}/shift/source", "cifar", "shift.source: shift source 'cifar'", "cifar100_c"),
    (
        "datasets",
        {"one": CIFAR, "two": {**CIFAR, "checksum": "md5:" + "0" * 32}},
        "datasets.two.checksum: 'md5:000",
        "datasets.one downloads the same file",
    ),
    # Training
    (f"{MODEL}/input", {"crop": 1.1}, "models.test_resnet.input.crop: 1.1 ", "≤ 1"),
    (f"{MODEL}/input", {"interpolation": "area"}, "input.interpolation: 'area' ", "bicubic"),
    (f"{MODEL}/input", {"mean": [0.5]}, "models.test_resnet.input.mean: [0.5] ", "at least 3"),
    (f"{MODEL}/pretrained", "nowhere.pth", "pretrained: 'nowhere.pth' does not exist", "folder"),
    (
        f"{MODEL}/distill",
        DISTILL,
        "models.test_resnet.distill.teacher: 'test_resnet' ",
        "small_cnn",
    ),
    (f"{MODEL}/finetune", {"accumulation": 5}, "finetune.accumulation: 5 parts of a", "divisors"),
    (f"{MODEL}/finetune", {"accumulation": 32}, "finetune.accumulation: 32 parts", "at least 2"),
    ("finetune/search", SEARCH | {"ensemble": 4}, "search.ensemble: 4 of 3 trials", "2 to 3"),
    ("finetune/search", SEARCH | {"trials": 1}, "finetune.search.trials: 1 ", "≥ 2"),
    (
        "finetune/search",
        SEARCH | {"learning_rate": [0.1, 0.01]},
        "models.test_resnet.finetune.search.learning_rate: [0.1, 0.01] ",
        "from high to low",
    ),
    ("finetune/augmentation/rand_augment", {"operations": 2}, "the key 'magnitude' is missing", ""),
    # Combinations that could only fail later
    (f"{DATASET}/shift/samples", 901, "datasets.digits.shift.samples: 901 ", "it has 900"),
    ("mc_dropout/training/dropout", [0, 0], "mc_dropout.training.dropout: [0, 0] ", "above 0"),
    ("cascade/deferral_ratios", [0.25, 0.254], "cascade.deferral_ratios: 0.25 and 0.254", "25 %"),
    ("mc_dropout/levels", [0.7, 0.699], "mc_dropout.levels: 0.7 and 0.699 ", "whole percents"),
    ("mc_dropout/training/backbone", "free", "training.backbone: 'free' ", "frozen, tuned"),
    (
        "mc_dropout/training/backbone_learning_rate",
        0.01,
        "mc_dropout.training.backbone_learning_rate: 0.01 is of no use without backbone: tuned",
        "leave it out",
    ),
    ("mc_dropout/start", "scratch", "mc_dropout.start: 'scratch' ", "finetune, pretrained"),
    (
        "mc_dropout/start",
        "pretrained",
        "mc_dropout.start: 'pretrained', but models.test_resnet has no `pretrained` weights",
        "start: finetune, or mc_dropout.training.backbone: tuned",
    ),
    # Gatekeeper sweeps
    ("gatekeeper/pairs", {}, "gatekeeper.pairs: {} ", "at least 1"),
    ("gatekeeper/pairs", {"cnn": {"large": "x"}}, "'cnn' is not under models", "Allowed: small_cn"),
    (f"{PAIR}/large", "small_cnn_narrow", f"{PAIR_PATH}.large: 'small_cnn_narrow' ", "small_cnn,"),
    (f"{PAIR}/large", "resnet", f"{PAIR_PATH}.large: 'resnet' is no other model", "test_resnet"),
    (f"{PAIR}/large", drop, f"{PAIR_PATH}: the key 'large' is missing", ""),
    (f"{PAIR}/start", "distill", f"{PAIR_PATH}.start: 'distill', ", "no block `distill`"),
    (f"{PAIR}/start", "soup", f"{PAIR_PATH}.start: 'soup' ", "finetune, distill"),
    ("gatekeeper/alphas", [], "gatekeeper.alphas: [] ", "at least 1"),
    ("gatekeeper/alphas", [0.5, 1], "gatekeeper.alphas.1: 1 ", "< 1"),
    ("gatekeeper/alphas", [0.125], "gatekeeper.alphas: [0.125]; ", "two decimals"),
    ("gatekeeper/alphas", [0.3, 0.3], "gatekeeper.alphas: [0.3, 0.3] ", "twice"),
    ("gatekeeper/training/epochs", drop, "gatekeeper.training: the key 'epochs' is missing", ""),
    ("gatekeeper/training/early_stopping", 2, "training.early_stopping: 2, ", "leave it out"),
    ("gatekeeper/training/search", SEARCH, "training.search: {'trials': 3", "leave it out"),
    ("gatekeeper/training/accumulation", 5, "training.accumulation: 5 parts", "divisors"),
    ("gatekeeper/normalisation", "mean", "gatekeeper.normalisation: 'mean' ", "batch, subset"),
    ("gatekeeper/divergence", "kl", "gatekeeper.divergence: 'kl' ", "p_uniform, uniform_p"),
    ("gatekeeper/correctness", "frozen", "gatekeeper.correctness: 'frozen' ", "cross_fitted"),
    ("gatekeeper/targets", "teacher", "gatekeeper.targets: 'teacher' ", "labels, large"),
    ("gatekeeper/anchor", -1, "gatekeeper.anchor: -1 ", "≥ 0"),
    ("gatekeeper/anchor_targets", "large", "gatekeeper.anchor_targets: 'large' ", "leave it out"),
    ("gatekeeper/folds", 3, "gatekeeper.folds: 3 is of no use ", "correctness: cross_fitted"),
]
# Several keys that do not go together.
SWEEPS = [
    (
        {"correctness": "cross_fitted", "training/augmentation": {"mixup": 0.2}},
        "gatekeeper.training.augmentation.mixup: 0.2, ",
        "allowed is 0",
    ),
    (
        {"normalisation": "subset", "training/accumulation": 2},
        "gatekeeper.training.accumulation: 2, ",
        "allowed is 1",
    ),
    (
        {"correctness": "cross_fitted", "folds": 100, "../datasets/digits/splits/train": 60},
        "gatekeeper.folds: 100 of the 60 training images of datasets.digits",
        "2 to 60",
    ),
    (
        {
            "correctness": "cross_fitted",
            "pairs/small_cnn_narrow": {"large": "test_convnext", "start": "distill"},
            "../models/small_cnn_narrow/distill": DISTILL,
        },
        f"{PAIR_PATH}.large: 'test_convnext', ",
        "teacher is 'test_resnet'",
    ),
]


@pytest.mark.parametrize(("changes", "start", "allowed"), SWEEPS)
def test_settings_of_a_sweep_that_contradict_each_other_are_refused(
    config, changes, start, allowed
):
    for path, value in changes.items():
        whole = path.removeprefix("../") if path.startswith("../") else f"gatekeeper/{path}"
        put(config, whole, value)
    with pytest.raises(SidekickError) as caught:
        validate(config, SCHEMA)
    message = str(caught.value)
    assert message.startswith(start)
    assert allowed in message.removeprefix(start)


def test_settings_of_a_sweep_that_go_together_pass(config):
    config["finetune"] |= {"early_stopping": 3, "linear_probe": PROBE, "search": SEARCH}
    config["models"]["small_cnn_narrow"]["distill"] = DISTILL
    config["gatekeeper"] |= {
        "pairs": {
            "small_cnn_narrow": {"large": "test_resnet", "start": "distill"},
            "small_cnn": {"large": "test_resnet"},
        },
        "correctness": "cross_fitted",
        "folds": 3,
        "targets": "large",
        "anchor": 0.5,
        "anchor_targets": "large",
        "normalisation": "subset",
        "divergence": "uniform_p",
    }
    validate(config, SCHEMA)
    config["gatekeeper"]["training"]["early_stopping"] = None
    del config["gatekeeper"]["alphas"]
    validate(config, SCHEMA)


def test_heads_may_start_from_networks_that_are_or_will_be_trained(config):
    config["mc_dropout"]["start"] = "pretrained"
    for model in config["mc_dropout"]["models"]:
        config["models"][model]["pretrained"] = True
    validate(config, SCHEMA)
    config["models"]["small_cnn"]["pretrained"] = False
    with pytest.raises(SidekickError, match=r"^mc_dropout.start: .* models.small_cnn has no"):
        validate(config, SCHEMA)
    config["mc_dropout"]["training"] |= {"backbone": "tuned", "backbone_learning_rate": 0.0001}
    validate(config, SCHEMA)


@pytest.mark.parametrize(
    ("imported", "changes", "message"),
    [
        ("small_cnn_narrow", {}, "gatekeeper.pairs: 'small_cnn_narrow' brings its logits; only"),
        ("test_resnet", {}, None),
        ("test_resnet", {"targets": "large"}, f"{PAIR_PATH}.large: 'test_resnet' brings its log"),
    ],
    ids=["small", "large", "large takes part"],
)
def test_a_sweep_needs_networks_where_it_asks_them(config, tmp_path, imported, changes, message):
    config["seeds"] = [0]
    config["mc_dropout"]["models"] = ["small_cnn"]
    logits = {split: str(tmp_path / f"{split}.npz") for split in ("val", "test", "shift")}
    for path in logits.values():
        touch(Path(path))
    config["models"][imported] = {"logits": {"digits": logits}, "gmacs": 1.0}
    config["gatekeeper"] |= changes
    if message is None:
        validate(config, SCHEMA)
        return
    with pytest.raises(SidekickError) as caught:
        validate(config, SCHEMA)
    assert str(caught.value).startswith(message)


def test_a_sweep_can_be_deployed(config):
    config["deployment"]["digits_cascade"]["models"] = [
        "test_resnet", "small_cnn_narrow@gatekeeper_a50",
    ]  # fmt: skip
    validate(config, SCHEMA)
    config["gatekeeper"]["alphas"] = [0.1]
    with pytest.raises(SidekickError, match=r"no recipe 'gatekeeper_a50'.*ce_control"):
        validate(config, SCHEMA)


@pytest.mark.parametrize(
    ("path", "value", "start", "allowed"),
    CASES,
    ids=lambda part: getattr(part, "__name__", str(part))[:30],
)
def test_a_bad_configuration_is_refused_with_place_value_and_what_is_allowed(
    config, path, value, start, allowed
):
    if value is drop:
        drop(config, path)
    elif path == "models/../x":
        config["models"]["../x"] = {"architecture": "resnet18"}
    else:
        put(config, path, value)
    with pytest.raises(SidekickError) as caught:
        validate(config, SCHEMA)
    message = str(caught.value)
    assert start in message
    assert allowed in message.removeprefix(start)
    assert "\n" not in message


def test_an_unknown_architecture_comes_with_the_three_most_similar(config):
    config["models"]["test_resnet"]["architecture"] = "resnet_50"
    with pytest.raises(SidekickError) as caught:
        validate(config, SCHEMA)
    message = str(caught.value)
    assert message.startswith("models.test_resnet.architecture: 'resnet_50' is not a timm model")
    similar = message.split("Most similar: ")[1].split(", ")
    assert len(similar) == 3
    assert "resnet50" in similar


@pytest.mark.parametrize("content", [None, [], "text", 3])
def test_what_is_no_mapping_is_refused(content):
    with pytest.raises(SidekickError, match=r"the top level: .* is not of type object"):
        validate(content, SCHEMA)


@settings(max_examples=60, deadline=None)
@given(st.from_regex(r"[a-zA-Z0-9_]{0,3}[a-z0-9_]{0,64}.?\n?"))
def test_ids_are_what_the_rules_wildcards_accept(name):
    """The pattern of `wildcard_constraints` in rules/common.smk, which must match completely."""
    config = of_images()
    del config["mc_dropout"], config["deployment"], config["gatekeeper"]
    config["models"] = {name: {"architecture": "small_cnn"}}
    legal = re.fullmatch("[a-z][a-z0-9_]*", name) and len(name) <= 64
    try:
        validate(config, SCHEMA)
    except SidekickError:
        assert not legal
    else:
        assert legal


# ------------------------------------------------------------------------------------ the file


@pytest.fixture
def write(tmp_path):
    def run(content, encoding="utf-8"):
        path = tmp_path / "config.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return run


FILES = {
    "": "is empty; a configuration is a mapping",
    "# only a comment\n": "is empty",
    "- a\n- b\n": "holds a list; a configuration is a mapping of keys to values",
    "just text": "holds a str",
    "42": "holds a int",
    "a: [1, 2": "not a YAML file: .*line 1",
    "a: 1\n b: 2": "not a YAML file: .*line 2",
    "a: 'open": "not a YAML file",
    "a: 1\nb: 2\na: 3\n": "line 3: the key 'a' stands twice in one block",
    "a:\n  b: 1\n  c: 2\n  b: 3\n": "line 4: the key 'b' stands twice",
    "a:\n  - {b: 1, 'b': 2}\n": "line 2: the key 'b' stands twice",
    "a: &x {b: 1}\nc: {<<: *x, d: 1, d: 2}\n": "line 2: the key 'd' stands twice",
    "? [1, 2]\n: 3\n": "not a YAML file: .*unhashable",
    "a: !!python/object:os.system {}": "not a YAML file: .*python/object",
    "a: !!python/object/apply:os.system ['touch pwned']": "not a YAML file",
    "a: !!python/name:os.system": "not a YAML file",
    "a: !mine 3": "not a YAML file",
    "a: 1\n---\nb: 2\n": "not a YAML file",
    "a: *nothing": "not a YAML file",
}


@pytest.mark.parametrize("content", FILES)
def test_files_that_are_no_configuration_are_refused_with_name_and_line(
    write, content, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    path = write(content)
    with pytest.raises(SidekickError) as caught:
        check_file(path)
    assert str(path) in str(caught.value)
    assert re.search(FILES[content], str(caught.value), re.DOTALL)
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("content", [b"a: \xff\xfe", b"\x00\x01", "a: ü".encode("latin-1")])
def test_bytes_that_are_no_text_are_refused(write, content):
    with pytest.raises(SidekickError, match=r"config\.yaml: not a YAML file"):
        check_file(write(content))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SidekickError, match=r"gone\.yaml: cannot be read: No such file"):
        check_file(tmp_path / "gone.yaml")


@pytest.mark.parametrize(
    "content",
    [
        "a: 1\nb: {a: 1}\nc: [{a: 1}, {a: 1}]\n",
        "base: &base {x: 1, y: 2}\nown: {<<: *base, x: 3}\n",
        "a: &a {x: 1}\nouter: {inner: &b {<<: *a, x: 2}}\ntop: {<<: *b, x: 3}\n",
        '{"a": 1, "b": {"a": 2}}',
        "ü: 'ß'",
    ],
)
def test_legal_files_pass(write, content):
    check_file(write(content))


# --------------------------------------------------------------------------------------- schema


def schema_keys(schema, path="config"):
    """Every key that a configuration can have, with its schema."""
    for name, part in schema.get("properties", {}).items():
        yield f"{path}.{name}", part
        yield from schema_keys(part, f"{path}.{name}")
    for inner in ("additionalProperties", "items"):
        if isinstance(schema.get(inner), dict):
            yield from schema_keys(schema[inner], f"{path}.*")


def test_every_key_of_the_schema_is_described():
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    definitions = schema["$defs"]
    keys = list(schema_keys(schema))
    for name, part in definitions.items():
        keys += [(name, part), *schema_keys(part, name)]
    assert len(keys) > 40
    for path, part in keys:
        target = definitions[part["$ref"].rpartition("/")[2]] if "$ref" in part else {}
        assert len(part.get("description") or target.get("description") or "") > 5, path


def objects(schema):
    if isinstance(schema, dict):
        if "object" in (schema.get("type") or ()):
            yield schema
        for value in schema.values():
            yield from objects(value)


def test_no_block_with_known_keys_takes_others():
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    blocks = [block for block in objects(schema) if "properties" in block]
    assert len(blocks) > 10
    assert all(block.get("additionalProperties") is False for block in blocks)


def test_the_schema_is_one_and_sets_no_defaults():
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    assert '"default"' not in json.dumps(schema)


def test_the_check_imports_nothing_heavy():
    heavy = ("torch", "timm", "numpy", "polars", "sklearn", "pyarrow")
    code = f"import sys, sidekick.config; sys.exit([m for m in {heavy} if m in sys.modules] or 0)"
    environment = {"PYTHONPATH": str(ROOT / "workflow_scripts")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
