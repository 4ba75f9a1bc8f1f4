import pytest
import timm
import torch

from sidekick.models.small_cnn import SmallCNN


@pytest.mark.parametrize(
    ("classes", "width", "parameters"),
    [
        (10, 16, 136_970),  # arXiv 2502.19335, appendix B.1
        (100, 16, 142_820),
        (10, 8, 67_690),
    ],
)
def test_parameter_counts(classes, width, parameters):
    model = SmallCNN(classes, width=width)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_timm_builds_it_like_any_other():
    assert timm.is_model("small_cnn")
    model = timm.create_model("small_cnn", num_classes=5, width=4)
    assert isinstance(model, SmallCNN)
    assert model.pretrained_cfg["mean"] == model.pretrained_cfg["std"] == (0.5, 0.5, 0.5)
    assert model.pretrained_cfg["input_size"] == (3, 32, 32)
    assert model.get_classifier().out_features == model.num_classes == 5


def test_protocol():
    model = timm.create_model("small_cnn").eval()
    images = torch.rand(2, 3, 32, 32)
    maps = model.forward_features(images)
    assert maps.shape == (2, model.num_features, 8, 8)
    pooled = model.forward_head(maps, pre_logits=True)
    assert pooled.shape == (2, model.head_hidden_size)
    assert (pooled >= 0).all()
    torch.testing.assert_close(model(images), model.get_classifier()(pooled))
