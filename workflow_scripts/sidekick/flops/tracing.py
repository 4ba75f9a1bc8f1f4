"""Trace a network and count what its operators multiply and add."""

import warnings
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from sidekick.errors import SidekickError

with warnings.catch_warnings():
    # fvcore compiles an unrelated loss with torch.jit.script when it is imported.
    warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated", FutureWarning)
    from fvcore.nn import FlopCountAnalysis

    from sidekick.flops.operators import HANDLERS, UNCOUNTED


def analyse(model: nn.Module, inputs: Tensor, architecture: str) -> FlopCountAnalysis:
    """Trace a network and refuse operators of unknown cost.

    Parameters
    ----------
    model
        In evaluation mode.
    inputs
        (1, channels, height, width) of images, (1, tokens) of a language model.
    architecture
        What to call the network in a message.
    """
    analysis = FlopCountAnalysis(model, inputs).set_op_handle(**HANDLERS)
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


def module_table(model: nn.Module, analysis: FlopCountAnalysis) -> list[dict[str, Any]]:
    """Give name, type, GMACs and parameters of each module that costs anything."""
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


def explain_unsupported(unsupported: Counter[str]) -> dict[str, dict[str, Any]]:
    """Give how often each operator ran that fvcore does not know, and what was done about it."""
    return {
        operator: {"count": count, "handling": f"not counted: {UNCOUNTED[operator]}"}
        for operator, count in sorted(unsupported.items())
    }
