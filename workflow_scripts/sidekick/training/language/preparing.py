"""Which weights of a language model a training changes, and how it computes."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from sidekick.errors import SidekickError
from sidekick.models.adapters import is_adapted
from sidekick.models.language import LanguageModel

PRECISIONS = ("float32", "bfloat16")


def prepare(
    model: LanguageModel, recipe: Mapping[str, Any], device: torch.device
) -> torch.dtype | None:
    """Make a model ready to be trained, in place.

    Parameters
    ----------
    model
        One with an adapter goes on training that, whatever the recipe says of `lora`.
    recipe
        `lora`, `precision` and `gradient_checkpointing`: see `finetune_language_model`.
    device
        Where it goes.

    Returns
    -------
    torch.dtype or None
        Type to take when finished. Weights that are all trained are float32 meanwhile: steps are
        smaller than what bfloat16 tells apart.

    Raises
    ------
    SidekickError
        If the precision is unknown, or an adapter is asked for that cannot be.
    """
    precision = recipe.get("precision", "float32")
    if precision not in PRECISIONS:
        raise SidekickError(f"precision: '{precision}'; allowed are {list(PRECISIONS)}")
    if recipe.get("lora") and not is_adapted(model.network):
        model.network = _with_adapter(model, recipe["lora"])
    finished = None
    if not is_adapted(model.network):
        finished = model.network.dtype
        model.network.requires_grad_(True)
        cast_weights(model.network, torch.float32)
    model.network.to(device)
    if recipe.get("gradient_checkpointing"):
        model.network.activation_checkpointing_enable({"use_reentrant": False})
    return finished


@torch.no_grad()
def cast_weights(network: nn.Module, dtype: torch.dtype) -> None:
    """Change the type of all weights in place.

    Not that of buffers, as `Module.to` would: those of rotary embeddings are float32 in models of
    any type, and rounding them is for good.
    """
    for parameter in network.parameters():
        parameter.data = parameter.data.to(dtype)


def _with_adapter(model: LanguageModel, settings: Mapping[str, Any]) -> nn.Module:
    if not model.entry.get("pretrained"):
        raise SidekickError(
            f"lora: needs a model with `pretrained`; '{model.entry.get('architecture')}' is "
            "trained from scratch"
        )
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=settings["rank"],
        lora_alpha=settings["alpha"],
        lora_dropout=settings.get("dropout", 0.0),
        target_modules=settings.get("targets"),
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model.network, config)
    except ValueError as error:
        raise SidekickError(f"lora.targets: {settings.get('targets')}: {error}") from error
