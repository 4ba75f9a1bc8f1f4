"""Multiple-choice items: to the requests that a language model answers, and back."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

from sidekick.datasets.questions import Question
from sidekick.errors import SidekickError
from sidekick.logit_cache.continuations import Request, Scores
from sidekick.models.word_encoding import options_encoder
from sidekick.prompts import Prompt, Rendered, choose_shots, load_prompt, render

_log = logging.getLogger("sidekick")

NORMALISATIONS = ("none", "bytes", "characters", "tokens")
"""By what the log-likelihood of an option's text may be divided."""


@dataclass(frozen=True)
class ChoiceTask:
    """How items are asked and scored.

    Attributes
    ----------
    prompt
        Of the protocol `letter` or `option_text`.
    shots
        How many worked examples go before an item.
    normalise
        One of `NORMALISATIONS`; of letters, which are all alike, only "none". lm-evaluation-harness
        calls the accuracies `acc`, `acc_bytes` and `acc_norm` (by characters).
    hedge
        A key of `sidekick.prompts.HEDGES`, or "".
    """

    prompt: Prompt
    shots: int = 0
    normalise: str = "none"
    hedge: str = ""

    def facts(self) -> dict[str, object]:
        """Give what a cache should record of it."""
        return {
            "prompt": self.prompt.name,
            "prompt_version": self.prompt.version,
            "protocol": self.prompt.protocol,
            "shots": self.shots,
            "normalise": self.normalise,
            "hedge": self.hedge,
        }


def read_task(task: Mapping[str, object]) -> ChoiceTask:
    """Read a task from its settings `prompt`, `shots`, `normalise` and `hedge`.

    Raises
    ------
    SidekickError
        If one is unknown, or the prompt is for generation.
    """
    found = ChoiceTask(**{**task, "prompt": load_prompt(task["prompt"])})
    if found.prompt.protocol == "generate":
        raise SidekickError(
            f"prompt: '{found.prompt.name}' generates answers; for choices it must score letters "
            "or texts of options"
        )
    allowed = NORMALISATIONS if found.prompt.protocol == "option_text" else ("none",)
    if found.normalise not in allowed:
        raise SidekickError(
            f"normalise: '{found.normalise}' is not known for prompt '{found.prompt.name}'; "
            f"allowed are {', '.join(allowed)}"
        )
    return found


def render_items(
    task: ChoiceTask, questions: Sequence[Question], shots: Sequence[Question]
) -> list[Rendered]:
    """Ask every question with its worked examples."""
    return [
        render(task.prompt, question, choose_shots(shots, question, task.shots), task.hedge)
        for question in questions
    ]


@dataclass(frozen=True)
class EncodedItems:
    """Items as requests.

    Attributes
    ----------
    requests
        As a rule one per item.
    owners
        Of each request the item and the options that it scores.
    """

    requests: list[Request]
    owners: list[tuple[int, Sequence[int]]]


def encode_items(
    tokenizer: PreTrainedTokenizerBase, items: Sequence[Rendered], longest: int
) -> EncodedItems:
    """Encode items.

    Where context and option are longer together than the model reads, tokens at the context's
    start are left out, as few as the option allows: as lm-evaluation-harness does it. The options
    of such an item do not share a context then, so each is a request of its own.

    Parameters
    ----------
    tokenizer
        Of the model.
    items
        With continuations.
    longest
        How many tokens the model reads at most.

    Raises
    ------
    SidekickError
        If an option alone is longer than that, or adds no token.
    """
    encode, found, shortened = options_encoder(tokenizer), EncodedItems([], []), 0
    for index, item in enumerate(items):
        context, options = encode(item.context, item.continuations)
        if max(map(len, options)) > longest:
            raise SidekickError(
                f"item {index}: an option of {max(map(len, options))} tokens, but the model reads "
                f"at most {longest}"
            )
        # The last token of an option is only predicted, never read.
        if len(context) + max(map(len, options)) <= longest + 1:
            found.requests.append(Request(context, options))
            found.owners.append((index, range(len(options))))
            continue
        shortened += 1
        for option, ids in enumerate(options):
            found.requests.append(Request(context[-(longest + 1 - len(ids)) :], [ids]))
            found.owners.append((index, [option]))
    if shortened:
        _log.warning(
            "%d of %d items are longer than the %d tokens that the model reads; the starts of "
            "their contexts are left out",
            shortened, len(items), longest,
        )  # fmt: skip
    return found


def choice_columns(
    task: ChoiceTask,
    questions: Sequence[Question],
    encoded: EncodedItems,
    scores: Sequence[Scores],
    classes: int,
) -> dict[str, np.ndarray]:
    """Turn a model's scores into the columns of the logit cache.

    Parameters
    ----------
    task, questions, encoded
        What was asked.
    scores
        Of each request.
    classes
        Number of logits C; the options that an item lacks get -inf.

    Returns
    -------
    dict of numpy.ndarray
        `logits` : (n, C) float32, log-likelihoods of the options, normalised.
        `entropy` : (n,) float32, in nats: the entropy of the whole vocabulary where the answer
        stands, for the protocol `option_text` its mean over the tokens of the option that the
        model prefers. The right answer has no part in it.
        `answer_nll` : (n,) float32, minus the log-likelihood of the right option, in nats, not
        normalised.
        `answer_tokens` : (n,) int32, of the right option.

    Raises
    ------
    SidekickError
        If an item has more than C options, or one without any text where texts are normalised.
    """
    shape = len(questions), classes
    likelihoods, entropies = np.full(shape, -np.inf), np.zeros(shape)
    tokens = np.ones(shape, dtype=np.int32)
    for question in questions:
        if len(question.choices) > classes:
            raise SidekickError(
                f"sample {question.sample_id}: {len(question.choices)} options, but the dataset "
                f"has {classes} classes"
            )
    for (item, options), own in zip(encoded.owners, scores, strict=True):
        likelihoods[item, options] = own.log_likelihoods
        entropies[item, options] = own.entropies
        tokens[item, options] = own.tokens
    logits = likelihoods / _lengths(task, questions, tokens)
    rows, chosen = np.arange(len(questions)), logits.argmax(axis=1)
    labels = np.array([question.label for question in questions], dtype=np.intp)
    return {
        "logits": logits.astype(np.float32),
        "entropy": (entropies / tokens)[rows, chosen].astype(np.float32),
        "answer_nll": -likelihoods[rows, labels].astype(np.float32),
        "answer_tokens": tokens[rows, labels],
    }


def _lengths(task: ChoiceTask, questions: Sequence[Question], tokens: np.ndarray) -> np.ndarray:
    """Give what each option's log-likelihood is divided by, (n, C)."""
    if task.normalise == "tokens":
        return tokens
    lengths = np.ones(tokens.shape)
    if task.normalise == "none":
        return lengths
    for row, question in enumerate(questions):
        for option, text in enumerate(question.choices):
            if not text:
                raise SidekickError(
                    f"sample {question.sample_id}: option {option} has no text, so it cannot be "
                    f"normalised by {task.normalise}"
                )
            lengths[row, option] = len(text.encode() if task.normalise == "bytes" else text)
    return lengths
