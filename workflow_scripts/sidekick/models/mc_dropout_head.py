"""The Monte-Carlo dropout head of arXiv 2403.01076 on top of a network."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sidekick.models.create import pooled_features


class MCDropoutHead(nn.Module):
    """BN – dropout – dense ReLU – dropout – dense: pooled features to the logits of sigmoids.

    Parameters
    ----------
    features
        Number of pooled features F.
    classes
        Number of outputs C.
    hidden
        Width H of the hidden layer (300 in the paper).
    dropout
        The rates before the hidden and before the last layer (0.2 and 0.4 in the paper).

    Notes
    -----
    All that one needs to run the head without torch is among its tensors:

    ===================== ======== ==========================================================
    tensor                shape    meaning
    ===================== ======== ==========================================================
    norm.weight           (F,)     batch norm: (x − running_mean) / √(running_var + norm_eps)
    norm.bias             (F,)     · weight + bias
    norm.running_mean     (F,)
    norm.running_var      (F,)
    norm.num_batches_…    ()       int64, unused at inference
    norm_eps              (1,)     float64
    dropout               (2,)     float64, the two rates
    hidden.weight, .bias  (H, F), (H,)
    output.weight, .bias  (C, H), (C,)
    ===================== ======== ==========================================================

    They are float32 unless said. In a checkpoint each name has the prefix `head.`.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        hidden: int = 300,
        dropout: Sequence[float] = (0.2, 0.4),
    ) -> None:
        super().__init__()
        first, second = dropout
        self.norm = nn.BatchNorm1d(features)
        self.hidden_dropout = nn.Dropout(first)
        self.hidden = nn.Linear(features, hidden)
        self.output_dropout = nn.Dropout(second)
        self.output = nn.Linear(hidden, classes)
        self.register_buffer("norm_eps", torch.tensor([self.norm.eps], dtype=torch.float64))
        self.register_buffer("dropout", torch.tensor([first, second], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Map pooled features (B, F) to the logits of the class sigmoids (B, C)."""
        x = self.hidden(self.hidden_dropout(self.norm(x))).relu()
        return self.output(self.output_dropout(x))


class MCDropoutClassifier(nn.Module):
    """A network with an `MCDropoutHead` in place of its last layer.

    Parameters
    ----------
    backbone
        A timm model. Unless it is tuned, it takes no gradient and stays in evaluation mode, in
        `train()` too, so that neither its weights nor its batch-norm statistics change.
    head
        What is trained.
    tuned
        Whether the backbone is trained with the head. Its own last layer is never used.
    """

    def __init__(self, backbone: nn.Module, head: MCDropoutHead, tuned: bool = False) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(tuned).eval()
        self.head = head
        self._tuned = tuned

    @property
    def pretrained_cfg(self) -> dict[str, Any]:
        """The backbone's, which says how its input is normalised."""
        return self.backbone.pretrained_cfg

    def train(self, mode: bool = True) -> "MCDropoutClassifier":
        """Switch the mode of what is trained."""
        super().train(mode)
        if not self._tuned:
            self.backbone.eval()
        return self

    def pooled_features(self, x: Tensor) -> Tensor:
        """Map images (B, channels, H, W) to the network's pooled features (B, F)."""
        with torch.set_grad_enabled(self._tuned and torch.is_grad_enabled()):
            return pooled_features(self.backbone, x)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, channels, H, W) to the logits of the class sigmoids (B, C)."""
        return self.head(self.pooled_features(x))
