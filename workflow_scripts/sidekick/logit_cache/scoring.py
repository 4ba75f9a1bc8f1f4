"""Score multiple-choice items with language models and cache their choice logits."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sidekick.datasets.questions import Question, read_questions, read_shots
from sidekick.datasets.reading import read_card
from sidekick.logit_cache.choice_items import (
    ChoiceTask,
    choice_columns,
    encode_items,
    read_task,
    render_items,
)
from sidekick.logit_cache.continuations import score_continuations
from sidekick.logit_cache.storage import write_logits
from sidekick.models.encoding import longest_input, padding_token
from sidekick.models.language import LanguageModel
from sidekick.models.language_checkpoints import load_language_checkpoint
from sidekick.models.runtime import describe_device, reproducible, select_device

_log = logging.getLogger("sidekick")

TOKEN_BUDGETS = {"cpu": 1024, "cuda": 16_384}
"""Most tokens of one forward pass, padding included, by the device's type."""


@dataclass(frozen=True)
class _Job:
    checkpoint: str | Path
    outputs: Mapping[str, str | Path]
    facts: Mapping[str, object]
    task: ChoiceTask


def cache_choice_logits(
    *,
    checkpoint: str | Path,
    dataset_folder: str | Path,
    outputs: Mapping[str, str | Path],
    seed: int,
    device: str,
    threads: int,
    facts: Mapping[str, object],
    task: Mapping[str, object],
    token_budget: int | None = None,
) -> None:
    """Cache the choice logits of one language model on several splits.

    The files are those of the logit cache (`sidekick.logit_cache.storage.write_logits`) with the
    further columns `subject` and `level`, strings, and `entropy`, `answer_nll` and
    `answer_tokens`, which `sidekick.logit_cache.choice_items.choice_columns` explains.

    Parameters
    ----------
    checkpoint
        A language model's.
    dataset_folder
        A prepared dataset of multiple-choice questions.
    outputs
        For each split (`val`, `test`, `shift`) the Parquet file to write. There are no shifted
        questions, so the file of `shift` has no rows.
    seed
        Whose splits to read.
    device
        `cpu` or `cuda`.
    threads
        Threads on the CPU.
    facts
        Key-value metadata of every file; `split`, `architecture` and the task's are added.
    task
        `prompt`, a name that `sidekick.prompts.load_prompt` knows, and optionally `shots`,
        `normalise` and `hedge`: see `sidekick.logit_cache.choice_items.ChoiceTask`.
    token_budget
        Most tokens of one forward pass, padding included; `TOKEN_BUDGETS` unless given.

    Raises
    ------
    SidekickError
        If the device is missing, the checkpoint or a split is unreadable, the task unknown or
        unfit for the dataset, or a logit is not finite.
    """
    job = _Job(checkpoint, outputs, facts, read_task(task))
    _cache([job], dataset_folder, seed, device, threads, token_budget)


def cache_choice_sweep(
    *,
    checkpoints: Mapping[str, str | Path],
    dataset_folder: str | Path,
    outputs: Mapping[str, Mapping[str, str | Path]],
    seed: int,
    device: str,
    threads: int,
    facts: Mapping[str, object],
    task: Mapping[str, object],
    hedges: Mapping[str, str] | None = None,
    token_budget: int | None = None,
) -> None:
    """Cache the choice logits of several recipes of one language model.

    Parameters
    ----------
    checkpoints
        Recipe to weights; recipes that differ by their prompt alone may name the same file.
    outputs
        For each split and recipe the Parquet file to write.
    hedges
        Recipe to hedge, of those that have one.
    facts
        As for `cache_choice_logits`; `recipe` is added as well.
    dataset_folder, seed, device, threads, task, token_budget
        As for `cache_choice_logits`.

    Raises
    ------
    SidekickError
        As `cache_choice_logits`.
    """
    jobs = [
        _Job(
            checkpoint,
            {split: paths[recipe] for split, paths in outputs.items()},
            {**facts, "recipe": recipe},
            read_task({**task, **({"hedge": hedges[recipe]} if recipe in (hedges or {}) else {})}),
        )
        for recipe, checkpoint in checkpoints.items()
    ]
    _cache(jobs, dataset_folder, seed, device, threads, token_budget)


def _cache(
    jobs: Sequence[_Job],
    dataset_folder: str | Path,
    seed: int,
    device: str,
    threads: int,
    token_budget: int | None,
) -> None:
    """Run jobs one after the other; only one model is in memory."""
    place = select_device(device)
    budget = token_budget or TOKEN_BUDGETS[place.type]
    classes = len(read_card(dataset_folder)["classes"])
    shots = read_shots(dataset_folder)
    questions: dict[str, list[Question]] = {
        split: read_questions(dataset_folder, split, seed) for split in jobs[0].outputs
    }
    loaded, model = None, None
    with reproducible(place, threads, seed):
        for job in jobs:
            _log.info("Running %s on %s", job.checkpoint, describe_device(place, threads))
            if job.checkpoint != loaded:
                # The one before must be gone before the next comes.
                model = None
                model, loaded = load_language_checkpoint(job.checkpoint, place), job.checkpoint
            architecture = model.entry.get("architecture") or model.entry["pretrained"]
            for split, path in job.outputs.items():
                start = time.perf_counter()
                columns = score_items(model, job.task, questions[split], shots, classes, budget)
                rate = len(questions[split]) / (time.perf_counter() - start)
                _log.info("%s: %d items, %.0f per second", split, len(questions[split]), rate)
                facts = {"split": split, "architecture": architecture, **job.task.facts()}
                _write(path, questions[split], columns, split, {**job.facts, **facts})


def score_items(
    model: LanguageModel,
    task: ChoiceTask,
    questions: Sequence[Question],
    shots: Sequence[Question],
    classes: int,
    token_budget: int,
) -> dict[str, np.ndarray]:
    """Score questions in their order.

    Parameters
    ----------
    model
        In evaluation mode.
    task
        How to ask and score.
    questions, shots
        The items, and the worked examples to choose from.
    classes
        Number of logits C.
    token_budget
        As for `sidekick.logit_cache.continuations.score_continuations`.

    Returns
    -------
    dict of numpy.ndarray
        See `sidekick.logit_cache.choice_items.choice_columns`.

    Raises
    ------
    SidekickError
        If the task does not suit a question or the model.
    """
    tokenizer = model.tokenizer
    longest = longest_input(model.network.config, tokenizer)
    encoded = encode_items(tokenizer, render_items(task, questions, shots), longest)
    scores = score_continuations(
        model.network,
        encoded.requests,
        padding=padding_token(tokenizer),
        token_budget=token_budget,
    )
    return choice_columns(task, questions, encoded, scores, classes)


def _write(
    path: str | Path,
    questions: Sequence[Question],
    columns: dict[str, np.ndarray],
    split: str,
    facts: Mapping[str, object],
) -> None:
    def text(name: str) -> np.ndarray:
        return np.array([getattr(question, name) for question in questions], dtype=object)

    no_cells = {"corruption": np.empty(0, dtype=object), "severity": np.empty(0, dtype=np.int8)}
    extras = {"subject": text("subject"), "level": text("level")}
    write_logits(
        path,
        text("sample_id"),
        np.array([question.label for question in questions], dtype=np.int32),
        columns.pop("logits"),
        facts,
        extras=extras | columns,
        **(no_cells if split == "shift" else {}),
    )
