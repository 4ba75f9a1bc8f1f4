"""Read the answer off a generated text."""

import re
from typing import NamedTuple

from sidekick.prompts.files import Generation

NO_ANSWER = "[invalid]"
"""What stands for an answer that cannot be read, as in lm-evaluation-harness."""


class Reading(NamedTuple):
    """What a text answers, and whether that is right.

    Attributes
    ----------
    prediction
        As the strict pattern reads it.
    correct
        Whether it equals the reference.
    correct_flexible
        Whether what the flexible pattern reads does.
    """

    prediction: str
    correct: bool
    correct_flexible: bool


def read_answer(generation: Generation, text: str, solution: str) -> Reading:
    """Compare a generated text with the worked solution.

    The patterns, what they ignore and how they compare are those of lm-evaluation-harness' task
    gsm8k: the first strict match or the last flexible one, exact but for case.

    Parameters
    ----------
    generation
        Of the prompt.
    text
        Generated.
    solution
        Of the item; its answer stands at the end.
    """
    strict = _matches(generation.strict, text)
    flexible = _matches(generation.flexible, text)
    prediction = strict[0] if strict else NO_ANSWER
    loose = flexible[-1] if flexible else NO_ANSWER
    right = reference(generation, solution)
    return Reading(
        prediction,
        reference(generation, prediction) == right,
        reference(generation, loose) == right,
    )


def reference(generation: Generation, answer: str) -> str:
    """Take what does not count out of an answer, or out of a solution that ends in one."""
    for pattern in generation.ignore:
        answer = re.sub(pattern, "", answer)
    return answer.lower()


def _matches(pattern: str, text: str) -> list[str]:
    """Give the first group of each match that matched anything, without white space around."""
    return [
        next((group for group in match.groups() if group), NO_ANSWER).strip()
        for match in re.finditer(pattern, text)
    ]
