import logging

import numpy as np
import pytest
import torch

from sidekick.artifacts import read_facts
from sidekick.errors import SidekickError
from sidekick.logit_cache import read_logits
from sidekick.logit_cache.inference import cache_logits, predict
from sidekick.models.checkpoints import Description, load_model, save_checkpoint
from sidekick.models.create import create_model, pooled_features
from sidekick.models.mc_dropout_head import MCDropoutClassifier, MCDropoutHead
from unit.training import fakes

CPU = torch.device("cpu")
ENTRY = {"architecture": "small_cnn", "options": {"width": 4}}
HEAD = {"features": 64, "hidden": 12, "dropout": [0.2, 0.4]}
SPLITS = ("val", "test", "shift")


@pytest.fixture(autouse=True)
def fake_dataset(monkeypatch):
    torch.set_num_threads(1)
    fakes.install(monkeypatch.setattr)


@pytest.fixture
def save(tmp_path):
    def run(head=None, classes=3, spoil=None):
        torch.manual_seed(0)
        model = create_model(ENTRY, classes)
        model(torch.rand(16, 3, 32, 32))
        if head is not None:
            model = MCDropoutClassifier(model, MCDropoutHead(classes=classes, **head))
        if spoil is not None:
            with torch.no_grad():
                model.get_classifier().bias[0] = spoil
        description = Description(
            entry=ENTRY, classes=classes, head=head, recipe={}, seed=0, val_accuracy=0.0, facts={}
        )
        save_checkpoint(tmp_path / "weights.safetensors", model, description)
        return tmp_path / "weights.safetensors"

    return run


@pytest.fixture
def cache(tmp_path):
    def run(checkpoint, name="logits", **changes):
        outputs = {split: tmp_path / name / f"{split}.parquet" for split in SPLITS}
        arguments = {
            "checkpoint": checkpoint,
            "dataset_folder": "bars",
            "outputs": outputs,
            "seed": 1,
            "device": "cpu",
            "threads": 1,
            "batch_size": 8,
            "facts": {"benchmark": "tiny", "model": "mine"},
        }
        arguments.update(changes)
        cache_logits(**arguments)
        return outputs

    return run


def direct_inputs(samples):
    """Normalised by hand: mean and deviation are 0.5."""
    images = torch.from_numpy(samples.images).permute(0, 3, 1, 2).float()
    return (images / 255 - 0.5) / 0.5


@pytest.mark.parametrize("split", SPLITS)
def test_cached_logits_are_those_of_a_direct_pass(save, cache, split):
    checkpoint = save()
    cached = read_logits(cache(checkpoint)[split])
    samples = fakes.load_split("bars", split, 1)
    with torch.no_grad():
        expected = load_model(checkpoint, CPU)(direct_inputs(samples)).numpy()
    np.testing.assert_array_equal(cached.sample_ids, samples.sample_ids)
    np.testing.assert_array_equal(cached.labels, samples.labels)
    np.testing.assert_allclose(cached.logit_max, expected.max(axis=1), rtol=1e-5, atol=1e-6)
    centred = expected - expected.max(axis=1, keepdims=True)
    np.testing.assert_allclose(cached.logits, centred, rtol=1e-3, atol=1e-5)
    assert cached.features is None
    if split == "shift":
        np.testing.assert_array_equal(cached.corruption, samples.corruption)
        np.testing.assert_array_equal(cached.severity, samples.severity)
    else:
        assert cached.corruption is None


def test_a_head_gives_its_deterministic_logits_and_the_features(save, cache):
    checkpoint = save(HEAD)
    cached = read_logits(cache(checkpoint)["test"])
    model = load_model(checkpoint, CPU)
    inputs = direct_inputs(fakes.load_split("bars", "test", 1))
    with torch.no_grad():
        features = pooled_features(model.backbone, inputs)
        logits = model.head(features).numpy()
    assert cached.features.dtype == np.float32
    np.testing.assert_allclose(cached.features, features, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(cached.logit_max, logits.max(axis=1), rtol=1e-5, atol=1e-6)


def test_facts(save, cache):
    for split, path in cache(save()).items():
        facts = read_facts(path)
        assert facts["split"] == split
        assert facts["architecture"] == "small_cnn"
        assert facts["benchmark"] == "tiny"
        assert facts["model"] == "mine"
        assert facts["classes"] == "3"


def test_two_runs_give_the_same_bytes(save, cache):
    checkpoint = save(HEAD)
    first, second = cache(checkpoint, "a"), cache(checkpoint, "b")
    assert all(first[split].read_bytes() == second[split].read_bytes() for split in SPLITS)


def test_the_last_batch_may_be_short(save):
    model = load_model(save(), CPU)
    images = fakes.load_split("bars", "test", 1).images
    whole, _ = predict(model, images, CPU, batch_size=100)
    parts, _ = predict(model, images, CPU, batch_size=4)
    assert whole.shape == (21, 3)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)


def test_a_network_left_in_training_mode_is_put_right(save):
    model = load_model(save(HEAD), CPU)
    images = fakes.load_split("bars", "val", 1).images
    expected, _ = predict(model, images, CPU, 8)
    np.testing.assert_array_equal(predict(model.train(), images, CPU, 8)[0], expected)


def test_log(save, cache, caplog):
    caplog.set_level(logging.INFO, "sidekick")
    cache(save())
    assert caplog.messages[0] == "Running small_cnn on cpu (1 thread)"
    assert [text.split(" samples")[0] for text in caplog.messages[1:]] == [
        "val: 18",
        "test: 21",
        "shift: 63",
    ]


def test_logits_that_are_not_finite_are_refused(save, cache):
    with pytest.raises(SidekickError, match=r"val.parquet: a NaN logit in row 0"):
        cache(save(spoil=float("nan")))


def test_too_few_classes_are_refused(save, cache):
    with pytest.raises(SidekickError, match=r"split val: label 2, but .* knows 2 classes"):
        cache(save(classes=2))


def test_missing_gpu(save, cache, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SidekickError, match="no GPU"):
        cache(save(), device="cuda")
