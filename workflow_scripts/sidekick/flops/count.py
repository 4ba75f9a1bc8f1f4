"""Count the multiply-adds of a network."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sidekick.artifacts import software, write_json
from sidekick.datasets.reading import read_card
from sidekick.flops.tracing import analyse, explain_unsupported, module_table
from sidekick.models.create import (
    blank_image,
    create_empty_model,
    pooled_features,
    require_image_shape,
)
from sidekick.models.preprocessing import resolve_preprocessing

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
        "modules": module_table(model, analysis),
        "unsupported": explain_unsupported(analysis.unsupported_ops()),
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


class _PooledFeatures(nn.Module):
    """A network without its last layer, in a form that can be traced."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        return pooled_features(self.model, image)
