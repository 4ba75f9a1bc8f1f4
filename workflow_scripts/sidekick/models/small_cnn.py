"""SmallCNN, the small model of the Gatekeeper paper, registered with timm."""

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

_IMAGE_SIZE = 32
_HEAD_WIDTH = 64


class SmallCNN(nn.Module):
    """Two convolutions and two dense layers for 32×32 images.

    conv 3×3 – BN – ReLU – max-pool 2 – conv 3×3 – BN – ReLU – max-pool 2 – dense 64 – ReLU –
    (dropout –) dense C, as in appendix B.1 of Rabanser et al., *Gatekeeper*, arXiv 2502.19335. With
    width 16 it has 136,970 parameters for 10 classes and 142,820 for 100.

    Parameters
    ----------
    num_classes
        C.
    in_chans
        Channels of the image.
    width
        Channels after the first convolution; the second has twice as many.
    drop_rate
        Of dropout before the last layer.

    Notes
    -----
    It follows timm's protocol. The pooled features are the 64 activations before the last layer.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_chans: int = 3,
        width: int = 16,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.num_features = 2 * width
        self.head_hidden_size = _HEAD_WIDTH
        self.features = nn.Sequential(
            nn.Conv2d(in_chans, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )
        self.hidden = nn.Linear(2 * width * (_IMAGE_SIZE // 4) ** 2, _HEAD_WIDTH)
        self.act = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(drop_rate)
        self.fc = nn.Linear(_HEAD_WIDTH, num_classes)

    def get_classifier(self) -> nn.Module:
        """Give the last dense layer."""
        return self.fc

    def reset_classifier(self, num_classes: int) -> None:
        """Put in a new last dense layer."""
        self.num_classes = num_classes
        self.fc = nn.Linear(_HEAD_WIDTH, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map images (B, 3, 32, 32) to feature maps (B, 2·width, 8, 8)."""
        return self.features(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Map feature maps to logits (B, C), or to pooled features (B, 64)."""
        x = self.act(self.hidden(x.flatten(1)))
        return x if pre_logits else self.fc(self.drop(x))

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, 3, 32, 32) to logits (B, C)."""
        return self.forward_head(self.forward_features(x))


# timm reads this name when it registers the function below.
default_cfgs = generate_default_cfgs(
    {
        "small_cnn": {
            "num_classes": 10,
            "input_size": (3, _IMAGE_SIZE, _IMAGE_SIZE),
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
            "first_conv": "features.0",
            "classifier": "fc",
        }
    }
)


@register_model
def small_cnn(pretrained: bool = False, **options: Any) -> SmallCNN:
    """Build a `SmallCNN` the way timm builds its models; there are no pretrained weights."""
    return build_model_with_cfg(SmallCNN, "small_cnn", pretrained, **options)
