"""Networks that read images, back from their checkpoints.

Apart from `sidekick.models.checkpoints`, which language models share: these do without timm.
"""

from pathlib import Path

import torch
from torch import nn

from sidekick.errors import SidekickError
from sidekick.models.checkpoints import read_checkpoint
from sidekick.models.create import create_empty_model
from sidekick.models.mc_dropout_head import MCDropoutClassifier, MCDropoutHead


def load_model(path: str | Path, device: torch.device) -> nn.Module:
    """Build the network of a checkpoint, with its weights, in evaluation mode.

    Returns
    -------
    torch.nn.Module
        A timm model, or an `MCDropoutClassifier` if the checkpoint has such a head; channels
        last in memory, on the device.

    Raises
    ------
    SidekickError
        If the file is missing, damaged, not one of ours or does not fit its own description.
    """
    description, tensors = read_checkpoint(path)
    if description.language is not None:
        raise SidekickError(f"{path}: a language model; expected a network that reads images")
    try:
        model = create_empty_model(description.entry, description.classes)
        if description.head is not None:
            head = MCDropoutHead(classes=description.classes, **description.head)
            model = MCDropoutClassifier(model, head)
        model.load_state_dict(tensors)
    except SidekickError as error:
        raise SidekickError(f"{path}: {error}") from None
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise SidekickError(
            f"{path}: its weights do not fit the architecture "
            f"'{description.entry.get('architecture')}' that it names ({error}). "
            "Delete it and start the run again: its job is then repeated"
        ) from None
    return model.to(device, memory_format=torch.channels_last).eval()
