import pytest
import torch
from safetensors.torch import load_file

from sidekick.artifacts import read_table
from sidekick.errors import SidekickError
from sidekick.models.checkpoints import describe
from sidekick.models.create import create_model
from sidekick.models.loading import load_model
from sidekick.models.preprocessing import Preprocessing
from sidekick.training.probe import require_linear_classifier
from unit.training.architectures import ARCHITECTURES
from unit.training.fakes import ENTRY, PROBE_RECIPE

CPU = torch.device("cpu")


def _untrained(entry):
    torch.manual_seed(0)
    return create_model(entry, 3).state_dict()


def test_it_trains_the_last_layer_alone(probe):
    checkpoint = probe()
    before, after = _untrained(ENTRY), load_file(checkpoint)
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"fc.weight", "fc.bias"}
    curve = read_table(checkpoint.with_suffix(".parquet")).to_pylist()
    assert [row["epoch"] for row in curve] == list(range(1, PROBE_RECIPE["epochs"] + 1))
    assert {row["learning_rate"] for row in curve} == {PROBE_RECIPE["learning_rate"]}
    assert curve[-1]["train_loss"] < curve[0]["train_loss"]
    best = max(curve, key=lambda row: row["val_accuracy"])
    assert [row for row in curve if row["kept"]] == [best]
    description = describe(checkpoint)
    assert description.recipe == PROBE_RECIPE
    assert description.val_metric == {"name": "accuracy", "value": best["val_accuracy"]}
    assert sorted(file.name for file in checkpoint.parent.iterdir()) == [
        "seed0.parquet",
        "seed0.safetensors",
    ]


def test_the_whole_network_does_as_well_as_the_curve_says(probe, train):
    checkpoint = probe()
    # A step of nothing: the loop measures the network as it starts.
    still = {"epochs": 1, "learning_rate": 1e-12, "weight_decay": 0.0, "augmentation": {}}
    frozen = {"architecture": "test_vit", "options": {"img_size": 32}}
    checkpoint = probe("vit", entry=frozen)
    after = train("still", still, entry=frozen, start=checkpoint)
    assert describe(after).val_accuracy == describe(checkpoint).val_accuracy


def test_two_runs_give_the_same_bytes_and_seeds_differ(probe):
    first, second = (probe(name).read_bytes() for name in ("a", "b"))
    assert first == second
    assert probe("c", seed=1).read_bytes() != first


@pytest.mark.parametrize("entry", ARCHITECTURES.values(), ids=list(ARCHITECTURES))
def test_every_family_ends_in_a_linear_layer(entry):
    model = create_model(entry, 5).eval()
    preprocessing = Preprocessing((32, 32), 1.0, "bicubic", (0.5,) * 3, (0.5,) * 3)
    classifier = require_linear_classifier(model, entry, preprocessing, CPU)
    assert classifier is model.get_classifier()


@pytest.mark.parametrize(
    "entry",
    [
        # Two heads, of which the answers are averaged.
        {"architecture": "deit_tiny_distilled_patch16_224", "options": {"img_size": 32}},
        # Batch norm is part of the last layer.
        {"architecture": "levit_128s", "input": {"size": 224}},
    ],
    ids=["two heads", "norm"],
)
def test_other_last_layers_are_refused(probe, entry):
    with pytest.raises(SidekickError, match=r"linear_probe: .* does not end in one linear layer"):
        probe(entry=entry)


def test_a_layer_behind_the_classifier_is_noticed(monkeypatch):
    model = create_model(ENTRY, 3).eval()
    forward = type(model).forward_head

    def scaled(self, x, pre_logits=False):
        x = forward(self, x, pre_logits)
        return x if pre_logits else 2 * x

    monkeypatch.setattr(type(model), "forward_head", scaled)
    preprocessing = Preprocessing((32, 32), 1.0, "bicubic", (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(SidekickError, match="'small_cnn' does not end in one linear layer"):
        require_linear_classifier(model, ENTRY, preprocessing, CPU)


def test_fine_tuning_goes_on_from_it(probe, train):
    start = probe()
    checkpoint = train(start=start)
    assert load_model(checkpoint, CPU)
    assert describe(checkpoint).val_accuracy > 0.9
