import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sidekick.errors import SidekickError
from sidekick.models.create import create_model
from sidekick.models.mc_dropout_head import MCDropoutClassifier, MCDropoutHead
from sidekick.models.stochastic import (
    sample_network,
    stochastic_layers,
    stochastic_mode,
)

SHAPE = (32, 32, 3)


def build(name, **options):
    torch.manual_seed(0)
    return create_model({"architecture": name, "options": options}, 5).eval()


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


# Architecture, options, and which modules draw: as functions, modules, or in attention.
RANDOM = {
    "functional dropout": ("resnet18", {"drop_rate": 0.3}, {""}),
    "dropout module": ("convnext_atto", {"drop_rate": 0.3}, {"head.drop"}),
    "stochastic depth": (
        "convnext_atto", {"drop_path_rate": 0.3}, {"stages.3.blocks.1.drop_path"},
    ),
    "attention": (
        "vit_tiny_patch16_224",
        {"img_size": 32, "depth": 2, "attn_drop_rate": 0.3},
        {"blocks.0.attn", "blocks.1.attn"},
    ),
    "dense layers": ("densenet121", {"proj_drop_rate": 0.1}, {"features.denseblock1.denselayer1"}),
    "several kinds": ("efficientnet_b0", {"drop_rate": 0.2, "drop_path_rate": 0.2}, {""}),
}  # fmt: skip


@pytest.mark.parametrize("kind", RANDOM)
def test_what_draws_is_found_and_nothing_is_changed(kind):
    name, options, expected = RANDOM[kind]
    model = build(name, **options)
    before, generator = state(model), torch.get_rng_state()
    layers = stochastic_layers(model, SHAPE)
    assert expected <= {layer.name for layer in layers}
    assert all(layer.operators for layer in layers)
    assert not any(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(generator, torch.get_rng_state())


@pytest.mark.parametrize("kind", RANDOM)
def test_passes_differ_and_batch_norms_do_not_learn(kind):
    name, options, _ = RANDOM[kind]
    model = build(name, **options)
    with torch.no_grad():
        # Initial weights leave what stochastic depth skips, and some logits, near 0.
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith("gamma"):
                parameter.fill_(1.0)
            if parameter_name == "classifier.weight":
                parameter.normal_(std=100.0)
    before = state(model)
    images = torch.rand(3, 3, 32, 32)
    torch.manual_seed(0)
    passes = sample_network(model, images, stochastic_layers(model, SHAPE), 4)
    assert passes.shape == (4, 3, 5)
    assert passes.std(dim=0).max() > 1e-4
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {}),
        ("convnext_atto", {"drop_rate": 0.0, "drop_path_rate": 0.0}),
        ("vit_tiny_patch16_224", {"img_size": 32, "depth": 2}),
        ("small_cnn", {}),
    ],
)
def test_networks_in_which_nothing_is_random_are_refused(name, options):
    with pytest.raises(SidekickError, match="has no active dropout"):
        stochastic_layers(build(name, **options), SHAPE)


class Hidden(nn.Module):
    """Dropout that no type tells: a function, under an `nn.Dropout` that does nothing."""

    def __init__(self, rate):
        super().__init__()
        self.norm = nn.BatchNorm1d(12)
        self.idle = nn.Dropout(0.0)
        self.layer = nn.Linear(12, 2)
        self.rate = rate

    def forward(self, x):
        x = self.idle(self.norm(x.flatten(1)))
        return self.layer(F.dropout(x, self.rate, self.training))


def test_rates_count_and_types_do_not():
    (layer,) = stochastic_layers(Hidden(0.5), (2, 2, 3))
    assert (layer.name, layer.kind) == ("", "Hidden")
    with pytest.raises(SidekickError, match="Hidden has no active dropout"):
        stochastic_layers(Hidden(0.0), (2, 2, 3))


def test_only_the_found_layers_are_switched_on():
    model = Hidden(0.5).train()
    layers = stochastic_layers(model, (2, 2, 3))
    with stochastic_mode(model, layers):
        assert model.training
        assert not model.norm.training
        assert not model.idle.training
    assert model.norm.training
    assert model.idle.training


def test_modes_come_back_after_an_error():
    model = Hidden(0.5).eval()
    layers = stochastic_layers(model, (2, 2, 3))
    with pytest.raises(ZeroDivisionError), stochastic_mode(model, layers):
        1 / 0  # noqa: B018
    assert not model.training


def test_several_passes_share_a_forward_pass():
    """The masks of a batch are drawn at once, so grouping decides which, but not their law."""
    model = build("convnext_atto", drop_rate=0.5)
    layers = stochastic_layers(model, SHAPE)
    images = torch.rand(2, 3, 32, 32)
    calls = []
    hook = model.register_forward_hook(lambda module, given, result: calls.append(len(result)))
    passes = sample_network(model, images, layers, 7, rows_at_once=6)
    hook.remove()
    assert calls == [6, 6, 2]
    assert passes.shape == (7, 2, 5)
    with torch.no_grad():
        certain = model(images)
    many = sample_network(model, images, layers, 500)
    # Dropout before a linear layer leaves the mean as it is: five standard errors.
    assert ((many.mean(0) - certain).abs() < 5 * many.std(0) / 500**0.5 + 1e-6).all()


def test_the_global_generator_decides():
    model = build("convnext_atto", drop_rate=0.5)
    layers = stochastic_layers(model, SHAPE)
    images = torch.rand(2, 3, 32, 32)
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(sample_network(model, images, layers, 3))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("passes", [0, 1])
def test_fewer_than_two_passes_are_refused(passes):
    with pytest.raises(SidekickError, match="at least 2"):
        sample_network(Hidden(0.5), torch.rand(1, 3, 2, 2), [], passes)


def test_a_head_brings_the_layers_of_its_own():
    backbone = build("small_cnn", width=4)
    model = MCDropoutClassifier(backbone, MCDropoutHead(64, 5, hidden=8))
    names = [layer.name for layer in stochastic_layers(model, SHAPE)]
    assert names == ["head.hidden_dropout", "head.output_dropout"]


def test_a_head_without_rates_is_refused():
    backbone = build("small_cnn", width=4)
    model = MCDropoutClassifier(backbone, MCDropoutHead(64, 5, hidden=8, dropout=(0.0, 0.0)))
    with pytest.raises(SidekickError, match="MCDropoutClassifier has no active dropout"):
        stochastic_layers(model, SHAPE)
