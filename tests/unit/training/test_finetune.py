import logging
import re

import pytest
import torch
from safetensors.torch import load_file

from sidekick.artifacts import read_facts, read_table
from sidekick.errors import SidekickError
from sidekick.models.checkpoints import describe
from sidekick.models.loading import load_model
from sidekick.models.preprocessing import Preprocessing
from unit.training import fakes
from unit.training.fakes import ENTRY, PREPROCESSING, RECIPE

CPU = torch.device("cpu")


def test_it_learns_and_leaves_its_files(train, caplog):
    caplog.set_level(logging.INFO, "sidekick")
    checkpoint = train()
    files = sorted(file.name for file in checkpoint.parent.iterdir())
    assert files == ["seed0.parquet", "seed0.safetensors"]
    curve = read_table(checkpoint.with_suffix(".parquet"))
    assert curve["epoch"].to_pylist() == [1, 2, 3, 4, 5]
    assert curve.column_names == [
        "epoch", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy",
        "val_macro_f1", "kept",
    ]  # fmt: skip
    assert curve["kept"].to_pylist() == [False, False, False, False, True]
    assert curve["val_accuracy"][-1].as_py() > 0.9
    assert curve["train_loss"][-1].as_py() < curve["train_loss"][0].as_py()
    assert max(curve["learning_rate"].to_pylist()) <= RECIPE["learning_rate"]
    assert read_facts(checkpoint.with_suffix(".parquet"))["benchmark"] == "tiny"
    description = describe(checkpoint)
    assert description.entry == ENTRY
    assert description.classes == 3
    assert description.recipe == RECIPE
    assert description.val_accuracy == curve["val_accuracy"][-1].as_py()
    assert description.val_metric == {"name": "accuracy", "value": description.val_accuracy}
    assert Preprocessing(**description.preprocessing) == PREPROCESSING
    assert description.facts == {"benchmark": "tiny", "seed": 0}
    assert re.fullmatch(r"Fine-tuning small_cnn on cpu \(.+, 1 thread\)", caplog.messages[0])


@pytest.mark.parametrize("architecture", ["small_cnn", "test_resnet", "test_convnext", "test_vit"])
def test_two_runs_give_the_same_bytes(train, architecture):
    entry, recipe = {"architecture": architecture}, {"epochs": 2}
    first, second = (train(name, recipe, entry=entry) for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    curves = [path.with_suffix(".parquet").read_bytes() for path in (first, second)]
    assert curves[0] == curves[1]


def test_seeds_differ(train):
    first, second = load_file(train("a")), load_file(train("b", seed=1))
    assert not torch.equal(first["fc.weight"], second["fc.weight"])


def test_label_smoothing_changes_the_weights(train):
    first, second = load_file(train("a")), load_file(train("b", {"label_smoothing": 0.2}))
    assert not torch.equal(first["fc.weight"], second["fc.weight"])


def test_augmentation_is_optional(train):
    assert load_model(train(recipe={"augmentation": {}}), CPU)


@pytest.mark.parametrize("batch_size", [25, 26, 100])
def test_any_batch_size(train, batch_size):
    # 25 leaves a single image over, which batch norm could not train on.
    assert train(recipe={"batch_size": batch_size}).exists()


def test_a_loss_that_is_not_finite_stops_the_training(train, tmp_path):
    with pytest.raises(SidekickError, match=r"epoch \d .* learning_rate 1e\+30; set a lower"):
        train(recipe={"learning_rate": 1e30})
    assert not (tmp_path / "run" / "seed0.safetensors").exists()


@pytest.mark.parametrize(
    "key",
    [
        {"warmup": 0.5},
        {"ema": 0.9},
        {"augmentation": {"flip": True}},
        {"augmentation": {"rand_augment": {"operations": 2, "magnitude": 9}}},
        {"augmentation": {"mixup": 0.2}},
    ],
    ids=["warmup", "ema", "flip", "rand_augment", "mixup"],
)
def test_each_key_of_the_recipe_changes_the_weights(train, key):
    plain = {"augmentation": {}, "epochs": 2}
    first, second = load_file(train("a", plain)), load_file(train("b", plain | key))
    assert not torch.equal(first["fc.weight"], second["fc.weight"])


def test_it_starts_from_a_checkpoint(train):
    start = train("start")
    slow = {"epochs": 1, "learning_rate": 1e-9, "augmentation": {}}
    before, after = load_file(start), load_file(train("on", slow, start=start))
    torch.testing.assert_close(after["fc.weight"], before["fc.weight"], atol=1e-6, rtol=0)
    assert not torch.equal(load_file(train("afresh", slow))["fc.weight"], before["fc.weight"])


def test_a_start_of_another_entry_or_other_classes_is_refused(train, monkeypatch):
    start = train("start")
    entry = {"architecture": "small_cnn", "options": {"width": 5}}
    with pytest.raises(SidekickError, match=r"seed0.safetensors: made from the model entry .*4.*5"):
        train("on", entry=entry, start=start)
    card = {**fakes.read_card("bars"), "classes": ["a", "b"]}
    monkeypatch.setattr("sidekick.training.session.read_card", lambda folder: card)
    with pytest.raises(SidekickError, match=r"made for 3 classes, but bars has 2"):
        train("on", start=start)


def test_the_entry_decides_the_preprocessing(train):
    entry = {"architecture": "test_resnet", "input": {"size": 48, "mean": [0.1, 0.2, 0.3]}}
    description = describe(train(entry=entry, recipe={"epochs": 1}))
    assert description.preprocessing["size"] == [48, 48]
    assert description.preprocessing["mean"] == [0.1, 0.2, 0.3]


def test_images_decoded_during_the_training_give_the_same_weights(train, monkeypatch):
    settings = {"epochs": 2, "augmentation": {"flip": True, "mixup": 0.2, "noise": 0.1}}
    expected = train("in memory", settings).read_bytes()
    monkeypatch.setattr("sidekick.training.data._MEMORY_LIMIT", 0)
    monkeypatch.setattr(
        "sidekick.training.data.load_stored_split",
        lambda folder, split, seed: next(fakes.iterate_split(folder, split, seed, 1000)),
    )
    assert train("streamed", settings).read_bytes() == expected
    assert train("streamed by two", settings, threads=2).exists()


def test_missing_gpu(train, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SidekickError, match="no GPU"):
        train(device="cuda")


def test_images_of_the_wrong_size(train):
    with pytest.raises(SidekickError, match="vit_tiny_patch16_224"):
        train(entry={"architecture": "vit_tiny_patch16_224"})
