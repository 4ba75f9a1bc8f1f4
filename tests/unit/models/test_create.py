import pytest
import torch

from sidekick.errors import SidekickError
from sidekick.models.create import (
    blank_image,
    create_empty_model,
    create_model,
    pooled_features,
    require_image_shape,
)

ENTRIES = [
    ({"architecture": "test_resnet"}, 96),
    ({"architecture": "test_convnext"}, 64),
    ({"architecture": "test_vit", "options": {"img_size": 32}}, 64),
    ({"architecture": "small_cnn"}, 64),
    ({"architecture": "small_cnn", "options": {"width": 8}}, 64),
]


@pytest.mark.parametrize(("entry", "width"), ENTRIES)
def test_shapes(entry, width):
    model = create_model(entry, classes=7).eval()
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        features = pooled_features(model, images)
        assert features.shape == (2, width)
        assert model(images).shape == (2, 7)
        torch.testing.assert_close(model.get_classifier()(features), model(images))


def test_unknown_architecture_lists_three_similar_names():
    with pytest.raises(SidekickError, match=r"'resnet5O'.* resnet50, \w+, \w+$"):
        create_model({"architecture": "resnet5O"}, 10)


@pytest.mark.parametrize(
    "entry",
    [
        {"architecture": "small_cnn", "options": {"depth": 3}},
        {"architecture": "test_resnet", "options": {"no_such": 1}},
        {"architecture": "test_resnet", "options": {"num_classes": 5}},
        {"architecture": "test_vit", "options": {"img_size": "large"}},
    ],
)
def test_bad_options_are_named(entry):
    with pytest.raises(SidekickError, match=next(iter(entry["options"]))):
        create_model(entry, 10)


def test_an_error_that_options_cannot_have_caused_stays_as_it_is(monkeypatch):
    def broken(*arguments, **options):
        raise TypeError("ours")

    monkeypatch.setattr("sidekick.models.create.timm.create_model", broken)
    with pytest.raises(TypeError, match="ours"):
        create_model({"architecture": "test_resnet"}, 10)


def test_empty_model_fetches_nothing(monkeypatch):
    seen = {}
    monkeypatch.setattr(
        "sidekick.models.create.timm.create_model", lambda name, **given: seen.update(given)
    )
    create_empty_model({"architecture": "resnet18", "pretrained": True}, 4)
    assert seen == {"pretrained": False, "num_classes": 4}


def test_require_image_shape():
    entry = {"architecture": "test_resnet"}
    model = create_model(entry, 3).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    require_image_shape(model, entry, (32, 32, 3))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_network_that_cannot_read_the_images_is_refused():
    entry = {"architecture": "vit_tiny_patch16_224"}
    with pytest.raises(SidekickError, match=r"'vit_tiny_patch16_224'.*48×32.*img_size: 48"):
        require_image_shape(create_model(entry, 3), entry, (48, 32, 3))
    entry = {"architecture": "small_cnn"}
    with pytest.raises(SidekickError, match="64×64"):
        require_image_shape(create_model(entry, 3), entry, (64, 64, 3))


def test_blank_image():
    assert blank_image((20, 30, 3)).shape == (1, 3, 20, 30)
