"""The questions of a split as tokens, rendered and encoded once."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sidekick.datasets.questions import Question, read_questions, read_shots
from sidekick.errors import SidekickError
from sidekick.models.encoding import longest_input, padding_token
from sidekick.models.language import LanguageModel
from sidekick.models.word_encoding import options_encoder
from sidekick.prompts import Rendered, choose_shots, load_prompt, render
from sidekick.training.language.sequences import Sequences

# Of an option's text and tokens; as `sidekick.logit_cache.choice_items` has them.
_DIVISORS = {
    "none": lambda text, tokens: 1,
    "bytes": lambda text, tokens: len(text.encode()),
    "characters": lambda text, tokens: len(text),
    "tokens": lambda text, tokens: len(tokens),
}


@dataclass(frozen=True)
class Alternatives:
    """All options of all items, where options are not single tokens.

    Attributes
    ----------
    sequences
        One per item and option.
    items, options
        (m,) int64 on the CPU: which item and which of its options each is.
    divisors
        (m,) float64 on the CPU: what the log-likelihood of each is divided by.
    """

    sequences: Sequences
    items: Tensor
    options: Tensor
    divisors: Tensor


@dataclass(frozen=True)
class EncodedSplit:
    """The questions of a split, ascending by sample id.

    Attributes
    ----------
    answers
        A sequence per question, with its right answer.
    labels
        (n,) int64 on the device.
    classes
        C, the largest number of options; 0 for open questions.
    options
        (n, C) int64 on the device: the tokens of the options, −1 where there is none. None if not
        every option is a single token, the questions are open, or options were not asked for.
    alternatives
        If there are options that are not all single tokens, and they were asked for.
    """

    answers: Sequences
    labels: Tensor
    classes: int
    options: Tensor | None = None
    alternatives: Alternatives | None = None

    def __len__(self) -> int:
        return len(self.answers)

    def require_single_tokens(self, key: str) -> None:
        """Refuse a split that was encoded with options, but whose options are not single tokens.

        Raises
        ------
        SidekickError
            Naming the setting `key` that needs them.
        """
        if self.options is None:
            raise SidekickError(
                f"{key}: needs a dataset, prompt and tokenizer of which every option is a single "
                "token; here some are longer, or the questions are open"
            )

    @property
    def digest(self) -> str:
        """Of all tokens and labels."""
        parts = [self.answers.digest, repr(self.labels.tolist())]
        if self.options is not None:
            parts.append(repr(self.options.tolist()))
        if self.alternatives is not None:
            parts += [self.alternatives.sequences.digest, repr(self.alternatives.divisors.tolist())]
        return hashlib.sha256("".join(parts).encode()).hexdigest()


class Asked:
    """The questions of a split as text, as a task asks them.

    Parameters
    ----------
    dataset_folder, split, seed
        Which questions.
    task
        `prompt`: the name of a prompt, and optionally `shots`: the number of worked examples (0),
        and `normalise`: what log-likelihoods of options are divided by, `none` (that is what it is
        by default), `bytes`, `characters` or `tokens` of the option.

    Attributes
    ----------
    questions, rendered
        As many of each.

    Raises
    ------
    SidekickError
        If the task has an unknown value, or questions or examples are missing.
    """

    def __init__(
        self, dataset_folder: str | Path, split: str, seed: int, task: Mapping[str, Any]
    ) -> None:
        self.normalise = task.get("normalise", "none")
        if self.normalise not in _DIVISORS:
            raise SidekickError(
                f"task.normalise: '{self.normalise}'; allowed are {list(_DIVISORS)}"
            )
        prompt, count = load_prompt(task["prompt"]), task.get("shots", 0)
        shots = read_shots(dataset_folder) if count else []
        self.questions: list[Question] = read_questions(dataset_folder, split, seed)
        self.rendered: list[Rendered] = [
            render(prompt, question, choose_shots(shots, question, count))
            for question in self.questions
        ]

    def texts(self) -> list[str]:
        """Give all that a model reads or may answer, of which a vocabulary is built."""
        return [
            "".join((item.context, *(item.continuations or (item.target,))))
            for item in self.rendered
        ]

    def encode(
        self, model: LanguageModel, device: torch.device, with_options: bool = True
    ) -> EncodedSplit:
        """Encode the questions for a model.

        Parameters
        ----------
        model
            Its tokenizer encodes, and its configuration says how much it reads.
        device
            Where the tokens go.
        with_options
            Whether the options are wanted, beside the answers.
        """
        tokenizer, encode = model.tokenizer, options_encoder(model.tokenizer)
        longest = longest_input(model.network.config, tokenizer)
        padding = padding_token(tokenizer)
        labels = torch.tensor([question.label for question in self.questions], dtype=torch.int64)
        classes = max(len(item.continuations) for item in self.rendered)
        if not (with_options and classes):
            pairs = []
            for item in self.rendered:
                context, (answer,) = encode(item.context, [item.target])
                pairs.append((context, answer))
            answers = Sequences(pairs, longest, padding, device)
            return EncodedSplit(answers, labels.to(device), classes)
        encoded = [encode(item.context, item.continuations) for item in self.rendered]
        answers = Sequences(
            [
                (context, options[label])
                for (context, options), label in zip(encoded, labels.tolist(), strict=True)
            ],
            longest,
            padding,
            device,
        )
        if all(len(option) == 1 for _, options in encoded for option in options):
            return EncodedSplit(
                answers, labels.to(device), classes, _single_tokens(encoded, classes).to(device)
            )
        alternatives = self._alternatives(encoded, longest, padding, device)
        return EncodedSplit(answers, labels.to(device), classes, alternatives=alternatives)

    def _alternatives(
        self, encoded: Sequence[tuple[list[int], list[list[int]]]], *where: Any
    ) -> Alternatives:
        rows = [
            (item, option)
            for item, (_, options) in enumerate(encoded)
            for option in range(len(options))
        ]
        divide = _DIVISORS[self.normalise]
        pairs = [(encoded[item][0], encoded[item][1][option]) for item, option in rows]
        divisors = [
            divide(self.questions[item].choices[option], tokens)
            for (item, option), (_, tokens) in zip(rows, pairs, strict=True)
        ]
        if 0 in divisors:
            item, option = rows[divisors.index(0)]
            raise SidekickError(
                f"sample {self.questions[item].sample_id}: option {option} has no text, so it "
                f"cannot be normalised by {self.normalise}"
            )
        items, options = torch.tensor(rows, dtype=torch.int64).unbind(1)
        return Alternatives(
            Sequences(pairs, *where), items, options, torch.tensor(divisors, dtype=torch.float64)
        )


def _single_tokens(encoded: Sequence[tuple[list[int], list[list[int]]]], classes: int) -> Tensor:
    """Give the options' tokens (n, C) int64, −1 where there is none."""
    found = torch.full((len(encoded), classes), -1, dtype=torch.int64)
    for row, (_, options) in enumerate(encoded):
        found[row, : len(options)] = torch.tensor([option[0] for option in options])
    return found
