"""Layers of a network that draw random numbers: found by watching it, switched on one by one.

Networks have dropout in many forms: modules (`nn.Dropout`, timm's `DropPath`), functions called
with `self.training` (`drop_rate` of timm's ResNet), arguments of attention. What a network does is
therefore watched, operator by operator, and not read off its modules' types.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._python_dispatch import TorchDispatchMode

from sidekick.errors import SidekickError
from sidekick.models.create import blank_image

# Operators that are marked as random, but are not unless an argument says so.
_ATTENTION = "scaled_dot_product"


@dataclass(frozen=True)
class StochasticLayer:
    """A module that draws random numbers itself, in training mode.

    Attributes
    ----------
    name
        Path of the module; empty for the network itself.
    kind
        Its class.
    operators
        Of torch, that draw: `aten.bernoulli_`, `aten.native_dropout` and so on.
    """

    name: str
    kind: str
    operators: tuple[str, ...]


def stochastic_layers(model: nn.Module, image_shape: Sequence[int]) -> list[StochasticLayer]:
    """Find the layers that are random in training mode, in the order in which they run.

    Parameters
    ----------
    model
        A timm model or an `MCDropoutClassifier`; it is left as it is.
    image_shape
        (height, width, channels) of its input.

    Raises
    ------
    SidekickError
        If there is none: the network has no dropout, or all its rates are 0.
    """
    layers = _watch(model, image_shape, model)
    if not layers:
        raise SidekickError(
            f"architecture: {type(model).__name__} has no active dropout: nothing in it is random "
            "(no dropout or stochastic depth, or all rates are 0), so Monte-Carlo passes would all "
            "be the same. Give it a rate above 0 (`options: {drop_rate: 0.2}` or "
            "`drop_path_rate`), or the recipe `mc_dropout`"
        )
    return layers


@contextmanager
def stochastic_mode(model: nn.Module, layers: Sequence[StochasticLayer]) -> Iterator[None]:
    """Put the network in evaluation mode but for these layers; restore its modes afterwards.

    Batch norms go on using their running statistics.
    """
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        for layer in layers:
            # Not `train()`, which would reach the layers inside.
            model.get_submodule(layer.name).training = True
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@torch.inference_mode()
def sample_network(
    model: nn.Module,
    inputs: Tensor,
    layers: Sequence[StochasticLayer],
    passes: int,
    rows_at_once: int = 256,
) -> Tensor:
    """Run N stochastic passes of the whole network.

    Parameters
    ----------
    model
        On the device of `inputs`.
    inputs
        (B, channels, H, W), normalised.
    layers
        Of `stochastic_layers`.
    passes
        N, at least 2.
    rows_at_once
        Copies of images per forward pass: several passes share one.

    Returns
    -------
    torch.Tensor
        Logits (N, B, C). Masks are drawn from torch's global generator, anew for each pass and
        image.
    """
    if passes < 2:
        raise SidekickError(f"mc_dropout passes: {passes}; at least 2 are needed for a spread")
    together = max(1, rows_at_once // max(len(inputs), 1))
    found = []
    with stochastic_mode(model, layers):
        for first in range(0, passes, together):
            count = min(together, passes - first)
            logits = model(inputs.repeat(count, 1, 1, 1))
            found.append(logits.view(count, len(inputs), logits.shape[-1]))
    return torch.cat(found)


def _watch(
    model: nn.Module, image_shape: Sequence[int], run: Callable[[Tensor], Any]
) -> list[StochasticLayer]:
    """Run on a black image in training mode, batch norms aside, and collect what draws."""
    modes = {module: module.training for module in model.modules()}
    parameter = next(model.parameters())
    names = {module: name for name, module in model.named_modules()}
    stack: list[nn.Module] = []
    draws: dict[nn.Module, list[str]] = {}

    def enter(module: nn.Module, *_: Any) -> None:
        stack.append(module)

    def leave(*_: Any) -> None:
        stack.pop()

    hooks = []
    try:
        for module in modes:
            module.training = not isinstance(module, _NormBase)
            hooks += [
                module.register_forward_pre_hook(enter),
                module.register_forward_hook(leave, always_call=True),
            ]
        devices = [parameter.device] if parameter.device.type == "cuda" else []
        image = blank_image(image_shape).to(parameter)
        with torch.random.fork_rng(devices), torch.no_grad(), _Draws(stack, draws, model):
            run(image)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    return [
        StochasticLayer(names[module], type(module).__name__, tuple(dict.fromkeys(operators)))
        for module, operators in draws.items()
    ]


class _Draws(TorchDispatchMode):
    """Note which module was running when a random operator was called."""

    def __init__(
        self, stack: list[nn.Module], draws: dict[nn.Module, list[str]], root: nn.Module
    ) -> None:
        super().__init__()
        self._stack = stack
        self._draws = draws
        self._root = root

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple = (), keywords: dict | None = None
    ) -> Any:
        keywords = keywords or {}
        if _is_random(function, arguments, keywords):
            # Outside of any call, a method of the network itself runs.
            module = self._stack[-1] if self._stack else self._root
            self._draws.setdefault(module, []).append(str(function).rpartition(".")[0])
        return function(*arguments, **keywords)


def _is_random(function: Any, arguments: tuple, keywords: dict) -> bool:
    if torch.Tag.nondeterministic_seeded not in function.tags:
        return False
    if _ATTENTION not in str(function):
        return True
    named = dict(zip((a.name for a in function._schema.arguments), arguments, strict=False))
    return (named | keywords).get("dropout_p", 0.0) > 0
