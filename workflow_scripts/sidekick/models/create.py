"""The one way to build a network: by the name that its config entry gives."""

from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn

import sidekick.models.small_cnn  # noqa: F401 (registers our own with timm)
from sidekick.errors import SidekickError
from sidekick.models import names


def create_model(entry: Mapping[str, Any], classes: int) -> nn.Module:
    """Build the network of a model entry.

    Parameters
    ----------
    entry
        `architecture`: a timm name (`small_cnn` is one), optionally `options`: keyword arguments
        of its constructor, and optionally `pretrained`: whether to load pretrained weights.
        Other keys are ignored.
    classes
        Number of outputs.

    Raises
    ------
    SidekickError
        If the architecture is unknown (with the three most similar names), or refuses the
        options.
    """
    architecture, options = entry["architecture"], entry.get("options", {})
    if not names.is_known(architecture):
        raise SidekickError(
            f"architecture: '{architecture}' is not a timm model or one of ours. "
            f"Most similar: {', '.join(names.similar(architecture))}"
        )
    try:
        return timm.create_model(
            architecture,
            pretrained=entry.get("pretrained", False),
            num_classes=classes,
            **options,
        )
    except (TypeError, ValueError, AssertionError) as error:
        if not options:
            raise
        raise SidekickError(
            f"options: {dict(options)} do not suit the architecture '{architecture}' ({error}); "
            "allowed are the keyword arguments of its constructor"
        ) from error


def create_empty_model(entry: Mapping[str, Any], classes: int) -> nn.Module:
    """Build the network of a model entry without fetching pretrained weights."""
    return create_model({**entry, "pretrained": False}, classes)


def require_image_shape(
    model: nn.Module, entry: Mapping[str, Any], image_shape: Sequence[int]
) -> None:
    """Refuse a network that cannot read the dataset's images.

    Parameters
    ----------
    model, entry
        The network and the entry it was built from.
    image_shape
        (height, width, channels) of the images.

    Raises
    ------
    SidekickError
        Naming the architecture and the shape.
    """
    was_training = model.training
    try:
        with torch.no_grad():
            model.eval()(blank_image(image_shape))
    except (RuntimeError, ValueError, AssertionError) as error:
        height, width, channels = image_shape
        raise SidekickError(
            f"architecture: '{entry['architecture']}' with options {entry.get('options', {})} "
            f"cannot read images of {height}×{width} pixels and {channels} channels ({error}); "
            f"networks of a fixed input size need the option `img_size: {height}`"
        ) from error
    finally:
        model.train(was_training)


def blank_image(image_shape: Sequence[int]) -> Tensor:
    """Give a batch of one black image, (1, channels, height, width) float32."""
    height, width, channels = image_shape
    return torch.zeros(1, channels, height, width)


def pooled_features(model: nn.Module, x: Tensor) -> Tensor:
    """Give what a timm model's last layer sees: (B, F), for images (B, channels, H, W)."""
    return model.forward_head(model.forward_features(x), pre_logits=True)
