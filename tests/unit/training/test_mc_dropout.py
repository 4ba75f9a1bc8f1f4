import pytest
import torch
from safetensors.torch import load_file, save_file

from sidekick.artifacts import read_table
from sidekick.errors import SidekickError
from sidekick.models.checkpoints import describe, save_checkpoint
from sidekick.models.create import create_model
from sidekick.models.loading import load_model
from sidekick.models.mc_dropout_head import MCDropoutClassifier
from sidekick.training.mc_dropout import _binary_cross_entropy
from unit.training.fakes import ENTRY

CPU = torch.device("cpu")


def test_it_trains_the_head_alone(train, train_head):
    checkpoint = train()
    output = train_head(checkpoint)
    before, after = load_file(checkpoint), load_file(output)
    assert all(torch.equal(value, after[f"backbone.{name}"]) for name, value in before.items())
    assert after["head.norm.num_batches_tracked"] > 0
    curve = read_table(output.with_suffix(".parquet"))
    assert curve["val_loss"][-1].as_py() < curve["val_loss"][0].as_py()
    assert curve["val_accuracy"][-1].as_py() > 0.9
    assert set(curve["learning_rate"].to_pylist()) == {0.005}
    assert sorted(file.name for file in output.parent.iterdir()) == [
        "seed0.parquet",
        "seed0.safetensors",
    ]


def test_a_tuned_backbone_changes_but_for_its_last_layer(train, train_head):
    checkpoint = train()
    output = train_head(checkpoint, recipe={"backbone": "tuned"})
    before, after = load_file(checkpoint), load_file(output)
    unchanged = {name for name, v in before.items() if torch.equal(v, after[f"backbone.{name}"])}
    last = create_model(ENTRY, 3).pretrained_cfg["classifier"]
    assert unchanged == {name for name in before if name.startswith(last)}
    assert any("running_mean" in name for name in before), "its batch norms' statistics, too"
    curve = read_table(output.with_suffix(".parquet"))
    assert curve["val_loss"][-1].as_py() < curve["val_loss"][0].as_py()
    model = load_model(output, CPU)
    assert isinstance(model, MCDropoutClassifier)
    assert not model.training
    assert describe(output).head == {"features": 64, "hidden": 20, "dropout": [0.2, 0.4]}


def test_a_tuned_backbone_has_its_own_learning_rate(train, train_head):
    checkpoint = train()
    before = load_file(checkpoint)

    def moved(name, **own):
        output = train_head(checkpoint, name, recipe={"epochs": 1, "backbone": "tuned", **own})
        curve = read_table(output.with_suffix(".parquet"))
        assert curve["learning_rate"].to_pylist() == [0.005], "the head's"
        after = load_file(output)
        weights = [name for name in before if name.endswith(("weight", "bias"))]
        return max((after[f"backbone.{n}"] - before[n]).abs().max().item() for n in weights)

    # Steps of Adam are as large as its learning rate: three of them in this epoch.
    assert moved("slow", backbone_learning_rate=1e-5) < 4e-5
    assert moved("same", backbone_learning_rate=0.005) == moved("unsaid") > 1e-3


def test_it_starts_from_weights_as_they_came(train_head, tmp_path):
    torch.manual_seed(7)
    published = create_model(ENTRY, 5)
    file = tmp_path / "published.safetensors"
    save_file(published.state_dict(), file)
    entry = {**ENTRY, "pretrained": str(file)}
    output = train_head(None, recipe={"start": entry})
    before, after = published.state_dict(), load_file(output)
    last = published.pretrained_cfg["classifier"]
    body = [name for name in before if not name.startswith(last)]
    assert all(torch.equal(before[name], after[f"backbone.{name}"]) for name in body)
    assert after[f"backbone.{last}.weight"].shape[0] == 3, "as many outputs as there are classes"
    description = describe(output)
    assert description.entry == entry
    assert description.recipe["start"] == entry
    file.unlink()
    assert load_model(output, CPU)(torch.rand(2, 3, 32, 32)).shape == (2, 3)


def test_it_tunes_weights_as_they_came(train_head, tmp_path):
    torch.manual_seed(7)
    file = tmp_path / "published.safetensors"
    save_file(create_model(ENTRY, 3).state_dict(), file)
    recipe = {"start": {**ENTRY, "pretrained": str(file)}, "backbone": "tuned"}
    first, second = (train_head(None, name, recipe).read_bytes() for name in ("a", "b"))
    assert first == second
    curve = read_table(tmp_path / "a" / "seed0.parquet")
    assert curve["val_loss"][-1].as_py() < curve["val_loss"][0].as_py()


def test_it_loads_as_a_classifier(train, train_head):
    checkpoint = train()
    output = train_head(checkpoint)
    model = load_model(output, CPU)
    assert isinstance(model, MCDropoutClassifier)
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 3)
    description = describe(output)
    assert description.entry == describe(checkpoint).entry
    assert description.head == {"features": 64, "hidden": 20, "dropout": [0.2, 0.4]}


def test_two_runs_give_the_same_bytes_and_seeds_differ(train, train_head):
    checkpoint = train()
    first, second = (train_head(checkpoint, name).read_bytes() for name in ("a", "b"))
    assert first == second
    assert train_head(checkpoint, "c", seed=1).read_bytes() != first


def test_loss_is_the_mean_over_classes_and_samples():
    logits = torch.tensor([[2.0, -1.0], [0.5, 0.0]])
    sigmoid = logits.sigmoid()
    targets = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    expected = -(targets * sigmoid.log() + (1 - targets) * (1 - sigmoid).log()).mean()
    pixels = torch.zeros(2, 3, 4, 4)
    loss = _binary_cross_entropy(logits, torch.tensor([1, 0]), pixels)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(_binary_cross_entropy(logits, targets, pixels), expected)


def test_other_classes_are_refused(train, train_head, tmp_path):
    checkpoint = train()
    description = describe(checkpoint)
    other = tmp_path / "other.safetensors"
    object.__setattr__(description, "classes", 7)
    save_checkpoint(other, create_model(description.entry, 7), description)
    with pytest.raises(SidekickError, match=r"other.safetensors: made for 7 classes.* has 3"):
        train_head(other)


def test_missing_network(train_head, tmp_path):
    with pytest.raises(SidekickError, match="no such file"):
        train_head(tmp_path / "none.safetensors")
