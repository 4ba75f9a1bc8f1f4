"""How well a language model answers the questions of a split."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sidekick.methods.collapse import Collapse, find_collapse, judge_collapse
from sidekick.training.f1 import macro_f1
from sidekick.training.language.answers import AnswerLogits
from sidekick.training.language.batching import sorted_batches
from sidekick.training.language.encoding import EncodedSplit
from sidekick.training.language.objectives import choice_logits
from sidekick.training.language.sequences import Sequences

EVALUATION_BATCH = 64


@dataclass(frozen=True)
class TokenScores:
    """What a model says about each token of some answers, in the order of the sequences.

    Attributes
    ----------
    log_probability, top
        (m,) float64: log p of the token, and the largest p.
    correct
        (m,) bool: whether the token is the most probable.
    owners
        (m,) int64: which sequence it is of.
    targets
        (m,) int64: the token.
    """

    log_probability: Tensor
    top: Tensor
    correct: Tensor
    owners: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Score:
    """What a split says about a model.

    Attributes
    ----------
    loss
        Mean cross-entropy of the right answers' tokens, whatever the model was trained on.
    token_accuracy
        Share of these tokens that are the most probable after those before.
    accuracy, macro_f1
        Of the most likely option; NaN for open questions.
    vocabulary
        V.
    tokens
        Of the right answers.
    choices
        (n, C) float64 log-likelihoods, or logits of single tokens, −inf where there is no option;
        None for open questions.
    labels
        (n,) int64.
    """

    loss: float
    token_accuracy: float
    accuracy: float
    macro_f1: float
    vocabulary: int
    tokens: TokenScores
    choices: np.ndarray | None
    labels: np.ndarray

    def collapse(self) -> Collapse:
        """Say whether the model has collapsed: by its choices, or by tokens if there are none."""
        if self.choices is not None:
            return find_collapse(self.choices, self.labels)
        targets = self.tokens.targets.cpu()
        return judge_collapse(
            self.tokens.top.cpu().numpy(),
            np.full(len(targets), 1 / self.vocabulary),
            self.tokens.correct.cpu().numpy(),
            float(targets.bincount().max() / len(targets)),
        )


@torch.no_grad()
def score_split(network: nn.Module, answer_logits: AnswerLogits, split: EncodedSplit) -> Score:
    """Score a network, which is left in evaluation mode, on a whole split.

    Parameters
    ----------
    network
        On the device of the split.
    answer_logits
        Of this network.
    split
        Encoded with its options, if it has any.
    """
    network.eval()
    vocabulary, tokens, choices = _score(answer_logits, split.answers, split)
    if split.alternatives is not None:
        choices = _of_alternatives(answer_logits, split)
    labels = split.labels.cpu()
    prediction = None if choices is None else choices.argmax(dim=1)
    return Score(
        loss=-tokens.log_probability.mean().item(),
        token_accuracy=tokens.correct.double().mean().item(),
        accuracy=math.nan if prediction is None else (prediction == labels).double().mean().item(),
        macro_f1=math.nan if prediction is None else macro_f1(prediction, labels),
        vocabulary=vocabulary,
        tokens=tokens,
        choices=None if choices is None else choices.numpy(),
        labels=labels.numpy(),
    )


def _score(
    answer_logits: AnswerLogits, sequences: Sequences, split: EncodedSplit | None = None
) -> tuple[int, TokenScores, Tensor | None]:
    """Give V, what the model says about all tokens, and the logits of single-token options.

    The last, (n, C) float64 on the CPU, only if `split` has such options.
    """
    parts: list[tuple[Tensor, ...]] = []
    rows_seen, choices = [], []
    for rows in sorted_batches(sequences.lengths, EVALUATION_BATCH):
        batch = sequences.batch(rows)
        logits = answer_logits(batch)
        log_p = -F.cross_entropy(logits, batch.targets, reduction="none")
        largest, argmax = logits.max(dim=1)
        top = (largest - logits.logsumexp(dim=1)).exp()
        owners = batch.rows[batch.owners]
        parts.append((log_p.double(), top.double(), argmax == batch.targets, owners, batch.targets))
        if split is not None and split.options is not None:
            rows_seen.append(rows)
            choices.append(choice_logits(logits, batch, split)[0])
    joined = [torch.cat(column) for column in zip(*parts, strict=True)]
    order = joined[3].argsort(stable=True)
    tokens = TokenScores(*(column[order] for column in joined))
    if not choices:
        return logits.shape[1], tokens, None
    restore = torch.cat(rows_seen).argsort()
    return logits.shape[1], tokens, torch.cat(choices).double().cpu()[restore]


def _of_alternatives(answer_logits: AnswerLogits, split: EncodedSplit) -> Tensor:
    """Give the log-likelihood of each option (n, C) float64, divided as the task has it."""
    found = split.alternatives
    _, tokens, _ = _score(answer_logits, found.sequences)
    sums = torch.zeros(len(found.sequences), dtype=torch.float64)
    sums.index_add_(0, tokens.owners.cpu(), tokens.log_probability.cpu())
    choices = torch.full((len(split), split.classes), -math.inf, dtype=torch.float64)
    choices[found.items, found.options] = sums / found.divisors
    return choices
