"""ResNet-18 for 32×32 images, the large model of the Gatekeeper paper, registered with timm."""

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, ResNet
from torch import nn


class CifarResNet(ResNet):
    """timm's ResNet with the first layers that are usual for small images.

    The 7×7 convolution of stride 2 and the pooling behind it leave 8×8 of 32×32 pixels; here a
    3×3 convolution of stride 1 keeps all of them.
    """

    def __init__(self, *args: Any, in_chans: int = 3, **options: Any) -> None:
        super().__init__(*args, in_chans=in_chans, **options)
        width = self.conv1.out_channels
        self.conv1 = nn.Conv2d(in_chans, width, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.maxpool = nn.Identity()


# timm reads this name when it registers the function below.
default_cfgs = generate_default_cfgs(
    {
        "cifar_resnet18": {
            "num_classes": 10,
            "input_size": (3, 32, 32),
            "pool_size": (4, 4),
            "crop_pct": 1.0,
            "interpolation": "bicubic",
            "mean": (0.5, 0.5, 0.5),
            "std": (0.25, 0.25, 0.25),
            "first_conv": "conv1",
            "classifier": "fc",
        }
    }
)


@register_model
def cifar_resnet18(pretrained: bool = False, **options: Any) -> CifarResNet:
    """Build an 18-layer `CifarResNet`; there are no pretrained weights.

    It has 11,173,962 parameters for 10 classes and takes 0.556 GMACs for a 32×32 image.
    """
    fixed = {"block": BasicBlock, "layers": (2, 2, 2, 2)}
    return build_model_with_cfg(CifarResNet, "cifar_resnet18", pretrained, **fixed, **options)
