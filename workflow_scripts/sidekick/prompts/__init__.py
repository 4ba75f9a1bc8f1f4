"""What language models are asked: prompts in files, and how an item becomes one (no torch)."""

from sidekick.prompts.extraction import Reading, read_answer, reference
from sidekick.prompts.files import PROTOCOLS, Generation, Prompt, load_prompt, prompt_names
from sidekick.prompts.rendering import (
    HEDGES,
    LETTERS,
    Rendered,
    choose_shots,
    render,
)

__all__ = [
    "HEDGES",
    "LETTERS",
    "PROTOCOLS",
    "Generation",
    "Prompt",
    "Reading",
    "Rendered",
    "choose_shots",
    "load_prompt",
    "prompt_names",
    "read_answer",
    "reference",
    "render",
]
