import json
from dataclasses import asdict

import pytest
import torch
from safetensors import numpy as safetensors_numpy
from safetensors.torch import load_file, save_file

from sidekick.artifacts import software
from sidekick.errors import SidekickError
from sidekick.models.checkpoints import Description, describe, save_checkpoint
from sidekick.models.create import create_model
from sidekick.models.loading import load_model
from sidekick.models.mc_dropout_head import MCDropoutClassifier, MCDropoutHead
from sidekick.models.preprocessing import Preprocessing

CPU = torch.device("cpu")
ENTRY = {"architecture": "small_cnn", "options": {"width": 4}, "pretrained": True}
PREPROCESSING = Preprocessing((32, 32), 0.875, "bilinear", (0.5, 0.4, 0.3), (0.1, 0.2, 0.3))
HEAD = {"features": 64, "hidden": 12, "dropout": [0.2, 0.4]}


def describe_as(head=None, entry=ENTRY):
    return Description(
        entry=entry,
        classes=3,
        preprocessing=PREPROCESSING.as_dict(),
        head=head,
        recipe={"epochs": 2},
        seed=1,
        val_accuracy=0.5,
        facts={"benchmark": "tiny"},
    )


def make_model(head=None):
    torch.manual_seed(0)
    model = create_model({**ENTRY, "pretrained": False}, 3)
    model(torch.rand(8, 3, 32, 32))  # batch-norm statistics that are not the initial ones
    if head is None:
        return model.eval()
    return MCDropoutClassifier(model, MCDropoutHead(classes=3, **head)).eval()


@pytest.mark.parametrize("head", [None, HEAD])
def test_round_trip(tmp_path, head):
    path = tmp_path / "deep" / "weights.safetensors"
    model = make_model(head).to(memory_format=torch.channels_last)
    save_checkpoint(path, model, describe_as(head))
    loaded = load_model(path, CPU)
    assert type(loaded) is type(model)
    assert not loaded.training
    images = torch.rand(4, 3, 32, 32)
    assert torch.equal(loaded(images), model(images))
    description = describe(path)
    assert description == describe_as(head)
    assert description.software == software()
    assert Preprocessing(**description.preprocessing) == PREPROCESSING
    assert [file.name for file in path.parent.iterdir()] == ["weights.safetensors"]


def test_equal_models_give_equal_files(tmp_path):
    for name in ("a", "b"):
        save_checkpoint(tmp_path / name, make_model(), describe_as())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_head_can_be_read_without_torch(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_checkpoint(path, make_model(HEAD), describe_as(HEAD))
    tensors = safetensors_numpy.load_file(path)
    assert tensors["head.hidden.weight"].shape == (12, 64)
    assert tensors["head.dropout"].tolist() == [0.2, 0.4]
    assert {name.split(".")[0] for name in tensors} == {"backbone", "head"}


def test_tied_weights_can_be_saved(tmp_path):
    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = torch.nn.Linear(2, 2)
            self.b = self.a

    save_checkpoint(tmp_path / "tied", Tied(), describe_as())
    assert set(load_file(tmp_path / "tied")) == {"a.weight", "a.bias", "b.weight", "b.bias"}


def test_missing_file(tmp_path):
    with pytest.raises(SidekickError, match=r"none.safetensors: no such file"):
        load_model(tmp_path / "none.safetensors", CPU)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_truncated_file(tmp_path, keep):
    path = tmp_path / "weights.safetensors"
    save_checkpoint(path, make_model(), describe_as())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SidekickError, match=r"weights.safetensors: not a readable safetensors"):
        load_model(path, CPU)


def test_garbage(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"\xff" * 1000)
    with pytest.raises(SidekickError, match=r"weights.safetensors"):
        describe(path)


def test_a_flipped_bit_in_the_weights(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_checkpoint(path, make_model(), describe_as())
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(SidekickError, match=r"weights.safetensors: its weights are not those"):
        load_model(path, CPU)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"format": "pt"},
        {"sidekick": "no json"},
        {"sidekick": "[1]"},
        {"sidekick": '{"digest": ""}'},
    ],
)
def test_foreign_file(tmp_path, metadata):
    path = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(2)}, path, metadata=metadata)
    with pytest.raises(SidekickError, match=r"foreign.safetensors: no checkpoint of Sidekick"):
        load_model(path, CPU)


def test_weights_that_do_not_fit_the_description(tmp_path):
    path = tmp_path / "weights.safetensors"
    wider = {"architecture": "small_cnn", "options": {"width": 6}}
    save_checkpoint(path, make_model(), describe_as(entry=wider))
    with pytest.raises(SidekickError, match=r"weights.safetensors: its weights do not fit"):
        load_model(path, CPU)


def test_metadata_is_one_key_of_json(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_checkpoint(path, make_model(), describe_as())
    length = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + length])
    assert list(header["__metadata__"]) == ["sidekick"]


def test_a_checkpoint_that_does_not_say_how_images_are_read(tmp_path):
    path = tmp_path / "old.safetensors"
    content = asdict(describe_as()) | {"digest": ""}
    del content["preprocessing"]
    save_file({"a": torch.zeros(2)}, path, metadata={"sidekick": json.dumps(content)})
    with pytest.raises(SidekickError, match=r"old.safetensors: no checkpoint.*preprocessing"):
        describe(path)
