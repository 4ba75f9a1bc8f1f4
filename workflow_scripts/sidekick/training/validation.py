"""How well a network does on a split."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sidekick.training.data import LabelledImages
from sidekick.training.f1 import macro_f1
from sidekick.training.inputs import Inputs

# On the CPU 256 halves the speed of a small network: the allocator then maps and unmaps its
# activations for every batch.
EVALUATION_BATCH = 128

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Maps logits (B, C) float32, targets and samples to the mean loss.

Targets are labels (B,) int64 or probabilities (B, C) float32; samples are as `Inputs` gives them.
"""


@dataclass(frozen=True)
class Score:
    """What a split says about a network.

    Attributes
    ----------
    loss
        Mean of the objective.
    accuracy, macro_f1
        In [0, 1].
    """

    loss: float
    accuracy: float
    macro_f1: float


def forward(network: nn.Module, inputs: Tensor, device: torch.device) -> Tensor:
    """Give logits (B, C) float32; on CUDA in bfloat16 where autocast deems it safe."""
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        logits = network(inputs)
    return logits.float()


@torch.no_grad()
def validate(
    network: nn.Module, inputs: Inputs, images: LabelledImages, loss: Loss, device: torch.device
) -> Score:
    """Score a network, which is left in evaluation mode, on a whole split without augmentation."""
    network.eval()
    total = torch.zeros((), dtype=torch.float64, device=device)
    predicted = []
    for samples, labels in images.batches(in_order(len(images))):
        samples = inputs.evaluation(samples)
        logits = forward(network, inputs.to_network(samples), device)
        total += loss(logits, labels, samples).double() * len(labels)
        predicted.append(logits.argmax(dim=1))
    prediction, labels = torch.cat(predicted).cpu(), images.labels.cpu()
    return Score(
        loss=total.item() / len(images),
        accuracy=(prediction == labels).sum().item() / len(images),
        macro_f1=macro_f1(prediction, labels),
    )


def in_order(samples: int) -> list[Tensor]:
    """Give the rows of each evaluation batch."""
    return list(torch.arange(samples).split(EVALUATION_BATCH))
