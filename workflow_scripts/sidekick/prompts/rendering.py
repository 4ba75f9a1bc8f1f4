"""Turn items into the texts that a language model reads and continues."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sidekick.errors import SidekickError
from sidekick.prompts.files import Prompt

if TYPE_CHECKING:
    # The workflow loads prompts while it is parsed, where reading tables is too heavy.
    from sidekick.datasets.questions import Question

LETTERS = "ABCDEFGHIJ"
"""Names of options, by position."""

HEDGES = {
    "low_confidence": "Respond with low confidence if you are uncertain.",
    "n": "Respond with 'N' if you are uncertain.",
}
"""The prompt baselines of the Gatekeeper paper (arXiv 2502.19335): ends of the instruction."""


@dataclass(frozen=True)
class Rendered:
    """One item as text.

    Attributes
    ----------
    context
        Up to where the answer starts, without white space at the end.
    continuations
        What may follow, one per option in their order, each with its leading space; none for the
        protocol `generate`.
    target
        What should follow: the right continuation, or the worked solution.
    """

    context: str
    continuations: tuple[str, ...]
    target: str

    @property
    def vocabulary_text(self) -> str:
        """The context and all that may follow it, so that options never right have words, too."""
        return "".join((self.context, *(self.continuations or (self.target,))))


def render(
    prompt: Prompt, question: "Question", shots: Sequence["Question"] = (), hedge: str = ""
) -> Rendered:
    """Ask a question by a prompt.

    Parameters
    ----------
    prompt
        As `load_prompt` gives it.
    question
        The item.
    shots
        Items that go before it with their answers, in this order.
    hedge
        A key of `HEDGES`, whose sentence closes the instruction, or "".

    Raises
    ------
    SidekickError
        If the hedge is unknown, or an item has no options or more than there are letters where
        the prompt wants options.
    """
    if hedge and hedge not in HEDGES:
        raise SidekickError(f"hedge: '{hedge}' is not known; allowed are {', '.join(HEDGES)}")
    instruction = prompt.instruction.format(subject=question.subject.replace("_", " "))
    opening = " ".join(filter(None, (instruction, HEDGES.get(hedge, ""))))
    answered = [_item(prompt, shot) + _target(prompt, shot) for shot in shots]
    context = prompt.separator.join(filter(None, (opening, *answered, _item(prompt, question))))
    return Rendered(context, _continuations(prompt, question), _target(prompt, question))


def choose_shots(shots: Sequence["Question"], question: "Question", count: int) -> list["Question"]:
    """Give the worked examples of one item: the first `count` of its subject, in their order.

    An item without a subject, as in MMLU's auxiliary training set, gets the first of all.

    Raises
    ------
    SidekickError
        If there are fewer.
    """
    own = [shot for shot in shots if question.subject in ("", shot.subject)]
    if len(own) < count:
        about = f" about '{question.subject}'" if question.subject else ""
        raise SidekickError(
            f"shots: {count} asked for, but the dataset has {len(own)} worked examples{about}"
        )
    return own[:count]


def _item(prompt: Prompt, question: "Question") -> str:
    if prompt.protocol != "generate" and not 0 < len(question.choices) <= len(LETTERS):
        raise SidekickError(
            f"sample {question.sample_id}: {len(question.choices)} options, but prompt "
            f"'{prompt.name}' wants 1 to {len(LETTERS)}"
        )
    options = (
        prompt.option.format(letter=letter, choice=choice)
        for letter, choice in zip(LETTERS, question.choices, strict=False)
    )
    return prompt.item.format(
        question=question.question,
        stripped=question.question.strip(),
        options="".join(options),
    )


def _continuations(prompt: Prompt, question: "Question") -> tuple[str, ...]:
    if prompt.protocol == "generate":
        return ()
    answers = LETTERS if prompt.protocol == "letter" else question.choices
    return tuple(f" {answer}" for answer in answers[: len(question.choices)])


def _target(prompt: Prompt, question: "Question") -> str:
    if prompt.protocol == "generate":
        return f" {question.answer}"
    return _continuations(prompt, question)[question.label]
