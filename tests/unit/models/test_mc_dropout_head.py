import pytest
import torch

from sidekick.models.create import create_model, pooled_features
from sidekick.models.mc_dropout_head import MCDropoutClassifier, MCDropoutHead


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    backbone = create_model({"architecture": "small_cnn", "options": {"width": 4}}, 3)
    return MCDropoutClassifier(backbone, MCDropoutHead(64, 5, hidden=20))


def test_tensors_are_as_documented():
    head = MCDropoutHead(features=6, classes=3, hidden=4, dropout=(0.1, 0.3))
    assert {name: tuple(value.shape) for name, value in head.state_dict().items()} == {
        "norm.weight": (6,),
        "norm.bias": (6,),
        "norm.running_mean": (6,),
        "norm.running_var": (6,),
        "norm.num_batches_tracked": (),
        "norm_eps": (1,),
        "dropout": (2,),
        "hidden.weight": (4, 6),
        "hidden.bias": (4,),
        "output.weight": (3, 4),
        "output.bias": (3,),
    }
    assert head.dropout.tolist() == [0.1, 0.3]
    assert head.norm_eps.item() == 1e-5


def test_the_tensors_alone_give_the_output():
    torch.manual_seed(0)
    head = MCDropoutHead(6, 3, hidden=4)
    head.train()
    head(torch.randn(50, 6) * 3 + 1)
    head.eval()
    x = torch.randn(8, 6)
    t = {name: value.double() for name, value in head.state_dict().items()}
    scale = t["norm.weight"] / (t["norm.running_var"] + t["norm_eps"]).sqrt()
    normalised = (x - t["norm.running_mean"]) * scale + t["norm.bias"]
    hidden = (normalised @ t["hidden.weight"].T + t["hidden.bias"]).clamp(min=0)
    expected = hidden @ t["output.weight"].T + t["output.bias"]
    torch.testing.assert_close(head(x).double(), expected, rtol=1e-5, atol=1e-6)


def test_dropout_is_on_in_training_only(classifier):
    images = torch.rand(4, 3, 32, 32)
    classifier.eval()
    assert torch.equal(classifier(images), classifier(images))
    classifier.train()
    assert not torch.equal(classifier(images), classifier(images))


def test_the_backbone_stays_frozen(classifier):
    before = {name: value.clone() for name, value in classifier.backbone.state_dict().items()}
    classifier.train()
    assert classifier.head.training
    assert not any(module.training for module in classifier.backbone.modules())
    classifier(torch.rand(4, 3, 32, 32)).sum().backward()
    assert all(parameter.grad is None for parameter in classifier.backbone.parameters())
    assert all(parameter.grad is not None for parameter in classifier.head.parameters())
    after = classifier.backbone.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_tuned_backbone_is_trained_along(classifier):
    tuned = MCDropoutClassifier(classifier.backbone, classifier.head, tuned=True)
    before = {name: value.clone() for name, value in tuned.backbone.state_dict().items()}
    tuned.train()
    assert all(module.training for module in tuned.modules())
    tuned(torch.rand(4, 3, 32, 32)).sum().backward()
    unused = {id(parameter) for parameter in tuned.backbone.get_classifier().parameters()}
    assert all((p.grad is None) == (id(p) in unused) for p in tuned.parameters())
    after = tuned.backbone.state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved == {name for name in before if "running" in name or "num_batches" in name}
    tuned.eval()
    assert not any(module.training for module in tuned.modules())
    with torch.no_grad():
        assert not tuned.pooled_features(torch.rand(1, 3, 32, 32)).requires_grad


def test_features_and_normalisation_are_the_backbones(classifier):
    images = torch.rand(2, 3, 32, 32)
    classifier.eval()
    expected = pooled_features(classifier.backbone, images)
    assert torch.equal(classifier.pooled_features(images), expected)
    assert torch.equal(classifier(images), classifier.head(expected))
    assert classifier.pretrained_cfg is classifier.backbone.pretrained_cfg
