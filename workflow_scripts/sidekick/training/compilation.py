"""`torch.compile`, where it is asked for."""

import torch
from torch import nn

from sidekick.errors import SidekickError


def compiled(model: nn.Module, device: torch.device) -> nn.Module:
    """Give a compiled form of the model that shares its weights.

    Raises
    ------
    SidekickError
        If nothing can be compiled here; with what is missing.
    """
    try:
        torch.compile(lambda x: (x.sin() + 1).sum())(torch.ones(64, device=device))
    except Exception as error:
        # A missing compiler shows as any kind of exception.
        needed = "Triton" if device.type == "cuda" else "a C++ compiler"
        reason = next(iter(str(error).splitlines()), repr(error))
        raise SidekickError(
            f"finetune.compile: torch.compile does not work on this machine ({reason}). It needs "
            f"{needed}; install that, or set `compile: false`"
        ) from error
    return torch.compile(model)
