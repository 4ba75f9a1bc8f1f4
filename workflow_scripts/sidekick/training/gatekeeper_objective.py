"""The objective of a Gatekeeper training: what its settings make of the loss."""

from pathlib import Path

import torch
from torch import Tensor, nn

from sidekick.errors import SidekickError
from sidekick.models.checkpoints import describe
from sidekick.models.loading import load_model
from sidekick.models.preprocessing import Preprocessing, ToInput
from sidekick.training.gatekeeper_loss import cross_entropy_per_sample, gatekeeper_loss
from sidekick.training.gatekeeper_settings import GatekeeperSettings
from sidekick.training.session import require_classes
from sidekick.training.validation import forward


class SoftAnswers:
    """What a large network says to images, through its own preprocessing.

    Parameters
    ----------
    model
        On the device; it takes no gradient.
    preprocessing
        Its own.
    device
        Where images lie.
    """

    def __init__(
        self, model: nn.Module, preprocessing: Preprocessing, device: torch.device
    ) -> None:
        self._model = model.requires_grad_(False).eval()
        self._to_input = ToInput(preprocessing, device)
        self._device = device

    @torch.no_grad()
    def __call__(self, samples: Tensor) -> Tensor:
        """Map pixels (B, 3, h, w) in [0, 1] to probabilities (B, C) float32."""
        return forward(self._model, self._to_input(samples), self._device).softmax(dim=1)


def open_large(
    checkpoint: str | Path | None, classes: int, dataset_folder: str | Path, device: torch.device
) -> tuple[nn.Module, Preprocessing]:
    """Load the large model, and say how it reads images.

    Raises
    ------
    SidekickError
        If no checkpoint is given, or it is unreadable, has an MC-dropout head or is made for other
        classes.
    """
    if checkpoint is None:
        raise SidekickError(
            "gatekeeper: these settings need the large model's checkpoint, but none was given"
        )
    source = describe(checkpoint)
    if source.head is not None:
        raise SidekickError(
            f"{checkpoint}: a network with an MC-dropout head cannot be the large model"
        )
    require_classes(checkpoint, source, classes, dataset_folder)
    return load_model(checkpoint, device), Preprocessing(**source.preprocessing)


class GatekeeperObjective:
    """The loss of one recipe of a sweep, a `Loss` with correctness as an optional fourth argument.

    Parameters
    ----------
    alpha
        That of the Gatekeeper loss; None for the control, which has the cross-entropy with the
        same targets in its place, and the same anchor.
    settings
        Of the sweep.
    smoothing
        Label smoothing of every cross-entropy.
    large
        The large network, if it takes part.
    """

    def __init__(
        self,
        alpha: float | None,
        settings: GatekeeperSettings,
        smoothing: float = 0.0,
        large: SoftAnswers | None = None,
    ) -> None:
        self._alpha = alpha
        self._settings = settings
        self._smoothing = smoothing
        self._large = large

    def __call__(
        self, logits: Tensor, targets: Tensor, samples: Tensor, correct: Tensor | None = None
    ) -> Tensor:
        """Give the mean loss of logits (B, C) for pixels (B, 3, h, w) in [0, 1].

        `correct` (B,) says what counts as right; without it, the logits do.
        """
        settings = self._settings
        known = {"labels": targets}
        if self._large is not None:
            known["large"] = self._large(samples)
        wanted = known[settings.targets]
        if self._alpha is None:
            loss = self._cross_entropy(logits, wanted)
        else:
            loss = gatekeeper_loss(
                logits,
                wanted,
                self._alpha,
                correct=correct,
                normalisation=settings.normalisation,
                divergence=settings.divergence,
                smoothing=self._smoothing,
            )
        if not settings.anchor:
            return loss
        return loss + settings.anchor * self._cross_entropy(logits, known[settings.anchor_targets])

    def _cross_entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy_per_sample(logits, targets, self._smoothing).mean()
