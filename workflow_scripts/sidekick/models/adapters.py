"""Adapters of peft, which takes a second to import: only where there is one."""

import sys

from torch import nn


def is_adapted(network: nn.Module) -> bool:
    """Say whether a network has an adapter; without peft, nothing can have put one there."""
    peft = sys.modules.get("peft")
    return peft is not None and isinstance(network, peft.PeftModel)
