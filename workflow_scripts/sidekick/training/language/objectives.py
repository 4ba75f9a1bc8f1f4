"""What is minimised: cross-entropy of the answers, or the Gatekeeper loss."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from sidekick.training.gatekeeper_loss import cross_entropy_per_sample, selected_token_loss
from sidekick.training.language.encoding import EncodedSplit
from sidekick.training.language.sequences import TokenBatch
from sidekick.training.language.settings import LanguageGatekeeperSettings


@dataclass(frozen=True)
class Size:
    """How much a whole batch holds, of which a loss may see a part.

    Attributes
    ----------
    sequences, tokens
        Answers, and their tokens.
    """

    sequences: int
    tokens: int


Objective = Callable[[Tensor, TokenBatch, EncodedSplit, Size], Tensor]
"""Maps the logits (M, V) of a part of a batch, the part, its split and the batch's size to a
scalar. Those of all parts add up to the batch's."""


class AnswerCrossEntropy:
    """Mean cross-entropy of the answers' tokens.

    Parameters
    ----------
    options_loss
        Whether to add the mean cross-entropy over the items' options, which must be single tokens.
        Small models that are trained from scratch first learn which words are answers at all;
        this tells them early which of the four is.
    """

    def __init__(self, options_loss: bool = False) -> None:
        self._options_loss = options_loss

    def __call__(
        self, logits: Tensor, batch: TokenBatch, split: EncodedSplit, size: Size
    ) -> Tensor:
        """See `Objective`."""
        loss = F.cross_entropy(logits, batch.targets, reduction="sum") / size.tokens
        if not self._options_loss:
            return loss
        choices, labels = choice_logits(logits, batch, split)
        return loss + cross_entropy_per_sample(choices, labels).sum() / size.sequences


class TokenGatekeeper:
    """The loss of one recipe of a sweep; see `sidekick.training.gatekeeper_loss`.

    Parameters
    ----------
    alpha
        That of the Gatekeeper loss; None for the control, which has the cross-entropy of the same
        tokens over the same alternatives in its place, divided by the same number, and the same
        anchor.
    settings
        Of the sweep.
    """

    def __init__(self, alpha: float | None, settings: LanguageGatekeeperSettings) -> None:
        self._alpha, self._settings = alpha, settings

    def __call__(
        self, logits: Tensor, batch: TokenBatch, split: EncodedSplit, size: Size
    ) -> Tensor:
        """See `Objective`; with `normalisation: subset` only of whole batches."""
        settings, targets = self._settings, batch.targets
        if settings.over == "options":
            logits, targets = choice_logits(logits, batch, split)
        # As the Gatekeeper loss would be if all tokens were right and alpha were 1.
        count = size.sequences if settings.normalisation == "batch" else size.tokens
        everything = None
        if self._alpha is None or settings.anchor:
            everything = cross_entropy_per_sample(logits, targets).sum() / count
        if self._alpha is None:
            loss = everything
        else:
            loss = selected_token_loss(
                logits,
                targets,
                size.sequences,
                self._alpha,
                normalisation=settings.normalisation,
                divergence=settings.divergence,
            )
        return loss if not settings.anchor else loss + settings.anchor * everything


def choice_logits(logits: Tensor, batch: TokenBatch, split: EncodedSplit) -> tuple[Tensor, Tensor]:
    """Give the logits (B, C) of the options that are single tokens, −inf where there is none.

    Parameters
    ----------
    logits
        (B, V): with single-token options, a sequence has a single answer token.
    batch, split
        Whose logits these are.

    Returns
    -------
    logits : Tensor
        (B, C).
    labels : Tensor
        (B,) int64.
    """
    options = split.options[batch.rows]
    found = logits.gather(1, options.clamp(min=0)).masked_fill(options < 0, -math.inf)
    return found, split.labels[batch.rows]
