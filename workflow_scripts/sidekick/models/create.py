"""The one way to build a network: by the name that its config entry gives."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

import sidekick.models.cifar_resnet
import sidekick.models.small_cnn  # noqa: F401 (both register with timm)
from sidekick.errors import SidekickError
from sidekick.models import names

_WEIGHT_FILES = (".safetensors", ".pth", ".bin")
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_LONGEST_REASON = 300


def create_model(entry: Mapping[str, Any], classes: int) -> nn.Module:
    """Build the network of a model entry.

    Parameters
    ----------
    entry
        `architecture`: a timm name (`small_cnn` is one), optionally `options`: keyword arguments
        of its constructor, and optionally `pretrained`: True for the published weights, or the
        path of a file of weights (.safetensors, .pth, .bin) or of a folder that holds one. Other
        keys are ignored.
    classes
        Number of outputs. Pretrained weights of another number get a new last layer.

    Raises
    ------
    SidekickError
        If the architecture is unknown (with the three most similar names), or refuses the
        options; if pretrained weights are missing, unreadable or not the architecture's.
    """
    architecture, pretrained = entry["architecture"], entry.get("pretrained", False)
    if not names.is_known(architecture):
        raise SidekickError(
            f"architecture: '{architecture}' is not a timm model or one of ours. "
            f"Most similar: {', '.join(names.similar(architecture))}"
        )
    if not pretrained:
        return _build(entry, pretrained=False, num_classes=classes)
    if pretrained is True:
        model = _with_published_weights(entry)
    else:
        model = _with_weights_of(entry, find_weights(pretrained))
    if model.num_classes != classes:
        model.reset_classifier(classes)
    return model


def find_weights(path: str | Path) -> Path:
    """Give the file of weights that a model entry's `pretrained` names.

    Parameters
    ----------
    path
        The file, or a folder with one; `model.safetensors` and `pytorch_model.bin`, the names of
        the Hugging Face hub, go before others.

    Raises
    ------
    SidekickError
        If there is none, or there are several to choose from.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        files = [path / name for name in _HUB_FILES if (path / name).is_file()][:1]
        files = files or sorted(file for file in path.iterdir() if file.suffix in _WEIGHT_FILES)
        if len(files) != 1:
            found = ", ".join(file.name for file in files) or "none"
            raise SidekickError(
                f"pretrained: {path}: expected one file of weights ({', '.join(_WEIGHT_FILES)}) "
                f"in the folder, found {found}"
            )
        return files[0]
    if not path.is_file():
        raise SidekickError(f"pretrained: {path}: no such file or folder")
    if path.suffix not in _WEIGHT_FILES:
        raise SidekickError(
            f"pretrained: {path}: not a file of weights; allowed are {', '.join(_WEIGHT_FILES)}"
        )
    return path


def _with_published_weights(entry: Mapping[str, Any]) -> nn.Module:
    try:
        return _build(entry, pretrained=True)
    except (OSError, RuntimeError) as error:
        raise SidekickError(
            f"pretrained: no published weights of '{entry['architecture']}' can be had "
            f"({_shortened(error)}). Without network, set `pretrained` to a local file of them "
            f"({', '.join(_WEIGHT_FILES)})"
        ) from error


def _with_weights_of(entry: Mapping[str, Any], file: Path) -> nn.Module:
    """Build a network with the weights of a file, with as many outputs as these have.

    timm loads strictly then: asked for another number of outputs, it would pass over weights of
    another network and leave ours random.
    """
    architecture = entry["architecture"]
    try:
        state = timm.models.load_state_dict(str(file))
    except Exception as error:
        # Damage shows as any kind of exception.
        raise SidekickError(
            f"pretrained: {file}: not readable as weights alone ({_shortened(error)})"
        ) from error
    overlay = {"file": str(file), "source": ""}
    known = timm.get_pretrained_cfg(architecture)
    if known is not None and known.classifier is not None:
        head = known.classifier if isinstance(known.classifier, str) else known.classifier[0]
        if f"{head}.weight" in state:
            overlay["num_classes"] = len(state[f"{head}.weight"]) - (known.label_offset or 0)
    try:
        return _build(entry, pretrained=True, pretrained_cfg_overlay=overlay)
    except (RuntimeError, KeyError, AttributeError) as error:
        raise SidekickError(
            f"pretrained: {file}: its weights do not fit the architecture '{architecture}' with "
            f"options {entry.get('options', {})} ({_shortened(error)})"
        ) from error


def _build(entry: Mapping[str, Any], **arguments: Any) -> nn.Module:
    options = entry.get("options", {})
    try:
        return timm.create_model(entry["architecture"], **arguments, **options)
    except (TypeError, ValueError, AssertionError) as error:
        if not options:
            raise
        raise SidekickError(
            f"options: {dict(options)} do not suit the architecture '{entry['architecture']}' "
            f"({error}); allowed are the keyword arguments of its constructor"
        ) from error


def _shortened(error: Exception) -> str:
    """Give a message on one line, without the end of a long list of tensors."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"


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
            f"networks of a fixed input size need the option `img_size: {height}`, or "
            "`input: {size: …}` with a size that they read"
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
