"""Prompt files: one YAML file each, beside this module.

The keys of a file:

`version`
    An integer; bump it with every change that changes a prompt's text.
`description`
    What the prompt is, and which published format it equals.
`protocol`
    `letter` (the options' letters are scored), `option_text` (their texts are) or `generate`.
`instruction`
    Opens the prompt; may name the `{subject}`. None unless given.
`item`
    A question, up to where its answer starts: `{question}`, `{stripped}` (the question without
    white space at its ends) and `{options}`.
`option`
    One option of `{options}`: `{letter}` and `{choice}`.
`separator`
    Stands between the instruction, the worked examples and the item; an empty line unless given.
`generation`
    Of `generate` only: see `Generation`.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

import yaml

from sidekick.errors import SidekickError

PROTOCOLS = ("letter", "option_text", "generate")
"""The ways to get an answer out of a model."""

_FOLDER = Path(__file__).parent
_FIELDS = {
    "instruction": {"subject"},
    "item": {"question", "stripped", "options"},
    "option": {"letter", "choice"},
}


@dataclass(frozen=True)
class Generation:
    """How an answer is generated and read.

    Attributes
    ----------
    until
        Texts that end the answer; the tokenizer's end of sequence does, too.
    max_new_tokens
        Where an answer is cut off that does not end.
    strict, flexible
        Regular expressions for the number that is the answer: the first match of the strict one
        counts, the last of the flexible one.
    ignore
        What is taken out of both answer and reference before they are compared.
    """

    until: tuple[str, ...]
    max_new_tokens: int
    strict: str
    flexible: str
    ignore: tuple[str, ...]


@dataclass(frozen=True)
class Prompt:
    """A prompt file; the module's docstring says what its keys mean."""

    name: str
    version: int
    description: str
    protocol: str
    item: str
    instruction: str = ""
    option: str = ""
    separator: str = "\n\n"
    generation: Generation | None = None


def prompt_names() -> list[str]:
    """Give the names of all prompts, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


@cache
def load_prompt(name: str) -> Prompt:
    """Read a prompt by name.

    Raises
    ------
    SidekickError
        If there is no such prompt, or its file breaks the form that the module's docstring gives.
    """
    if name not in prompt_names():
        raise SidekickError(
            f"prompt: '{name}' is not known; allowed are {', '.join(prompt_names())}"
        )
    path = _FOLDER / f"{name}.yaml"
    return _parse(path, yaml.safe_load(path.read_text(encoding="utf-8")))


def _parse(path: Path, content: dict[str, Any]) -> Prompt:
    """Check what a file holds."""
    generation = content.pop("generation", None)
    try:
        if generation is not None:
            lists = {key: tuple(generation.pop(key)) for key in ("until", "ignore")}
            generation = Generation(**generation, **lists)
        prompt = Prompt(name=path.stem, generation=generation, **content)
    except (TypeError, KeyError) as error:
        raise SidekickError(f"{path}: a key too many or too few ({error})") from None
    if prompt.protocol not in PROTOCOLS:
        raise SidekickError(
            f"{path}: protocol: '{prompt.protocol}' is not known; allowed are "
            f"{', '.join(PROTOCOLS)}"
        )
    if (prompt.protocol == "generate") != (generation is not None):
        raise SidekickError(f"{path}: `generation` belongs to the protocol 'generate' alone")
    for key, allowed in _FIELDS.items():
        found = {field for _, field, *_ in Formatter().parse(getattr(prompt, key)) if field}
        if found - allowed:
            raise SidekickError(
                f"{path}: {key}: {sorted(found - allowed)} is not known; allowed are "
                f"{sorted(allowed)}"
            )
    if generation is not None:
        for pattern in (generation.strict, generation.flexible, *generation.ignore):
            re.compile(pattern)
    return prompt
