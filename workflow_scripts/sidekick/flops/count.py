"""Count the multiply-adds of a network."""

import logging
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sidekick.artifacts import software, write_json
from sidekick.datasets.reading import read_card
from sidekick.errors import SidekickError
from sidekick.models.create import (
    blank_image,
    create_empty_model,
    pooled_features,
    require_image_shape,
)
from sidekick.models.preprocessing import resolve_preprocessing

with warnings.catch_warnings():
    # fvcore compiles an unrelated loss with torch.jit.script when it is imported.
    warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated", FutureWarning)
    from fvcore.nn import FlopCountAnalysis

    from sidekick.flops.operators import HANDLERS, UNCOUNTED

_log = logging.getLogger("sidekick")


def count_flops(
    entry: Mapping[str, Any], classes: int, image_shape: Sequence[int] | None
) -> dict[str, Any]:
    """Count the multiply-adds of one forward pass of one image in evaluation mode.

    Parameters
    ----------
    entry
        The model entry; pretrained weights are not fetched, but decide the input's size.
    classes
        Number of outputs.
    image_shape
        (height, width, channels) of the dataset's images, or None if they vary; what counts is
        the size at which the network reads them (see `resolve_preprocessing`).

    Returns
    -------
    dict
        `gmacs` : float, 10⁹ multiply-adds. One multiply-add counts once; papers that count two
        operations give twice as much.
        `feature_gmacs` : float, the part up to and including the pooled features.
        `parameters` : int.
        `input_shape` : list, (1, channels, height, width).
        `modules` : list of dict, `name`, `type`, `gmacs`, `parameters` of each module that
        costs anything; a module's numbers include its children's, so the root (name "") comes
        first with the totals.
        `unsupported` : dict, operators that fvcore does not know, with `count` (how often one
        pass runs it) and `handling`.

    Raises
    ------
    SidekickError
        If the network cannot be built or cannot read the images, or runs an operator of unknown
        cost.

    Notes
    -----
    The network is counted as built: branches that could be merged into one for inference are not,
    and batch norms (2 per element) and layer norms (5) are counted, as in fvcore. Therefore sums
    exceed those of `torch.utils.flop_counter`, which counts neither, by a few per cent.
    """
    model = create_empty_model(entry, classes).eval()
    input_shape = resolve_preprocessing(entry, model.pretrained_cfg, image_shape).input_shape
    require_image_shape(model, entry, input_shape)
    image = blank_image(input_shape)
    analysis = analyse(model, image, entry["architecture"])
    features = analyse(_PooledFeatures(model), image, entry["architecture"])
    return {
        "gmacs": analysis.total() / 1e9,
        "feature_gmacs": features.total() / 1e9,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "input_shape": list(image.shape),
        "modules": _module_table(model, analysis),
        "unsupported": _explain(analysis.unsupported_ops()),
    }


def write_flops(
    *,
    entry: Mapping[str, Any],
    dataset_folder: str | Path,
    output: str | Path,
    facts: Mapping[str, object],
) -> None:
    """Write what `count_flops` gives for a dataset's images and classes, and `facts`, as JSON.

    Raises
    ------
    SidekickError
        As `count_flops`.
    """
    card = read_card(dataset_folder)
    counted = count_flops(entry, len(card["classes"]), card["image_shape"])
    _log.info("%s: %.6f GMACs, %d parameters",
              entry["architecture"], counted["gmacs"], counted["parameters"])  # fmt: skip
    write_json({**counted, "facts": {**facts, **software()}}, output)


def analyse(model: nn.Module, image: Tensor, architecture: str) -> FlopCountAnalysis:
    """Trace a network and refuse operators of unknown cost.

    Parameters
    ----------
    model
        In evaluation mode.
    image
        (1, channels, height, width).
    architecture
        What to call the network in a message.
    """
    analysis = FlopCountAnalysis(model, image).set_op_handle(**HANDLERS)
    # Both are in our result, where they can be read: the logger need not repeat them.
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with torch.no_grad():
        analysis.total()
    unknown = sorted(set(analysis.unsupported_ops()) - set(UNCOUNTED))
    if unknown:
        raise SidekickError(
            f"architecture: '{architecture}' runs operators of unknown cost: "
            f"{', '.join(unknown)}. Add each to sidekick/flops/operators.py, to HANDLERS if it "
            "multiplies and adds, or else to UNCOUNTED"
        )
    return analysis


class _PooledFeatures(nn.Module):
    """A network without its last layer, in a form that can be traced."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        return pooled_features(self.model, image)


def _module_table(model: nn.Module, analysis: FlopCountAnalysis) -> list[dict[str, Any]]:
    macs = analysis.by_module()
    return [
        {
            "name": name,
            "type": type(module).__name__,
            "gmacs": macs[name] / 1e9,
            "parameters": sum(parameter.numel() for parameter in module.parameters()),
        }
        for name, module in model.named_modules()
        if macs[name]
    ]


def _explain(unsupported: Counter[str]) -> dict[str, dict[str, Any]]:
    return {
        operator: {"count": count, "handling": f"not counted: {UNCOUNTED[operator]}"}
        for operator, count in sorted(unsupported.items())
    }
