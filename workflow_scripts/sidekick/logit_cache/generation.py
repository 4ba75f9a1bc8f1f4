"""Let language models generate answers to open questions and cache what comes of it."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from sidekick.artifacts import write_table
from sidekick.datasets.questions import Question, read_questions, read_shots
from sidekick.errors import SidekickError
from sidekick.logit_cache.decoding import Decoded, decode_greedily
from sidekick.models.encoding import encode_texts, longest_input
from sidekick.models.language import LanguageModel
from sidekick.models.language_checkpoints import load_language_checkpoint
from sidekick.models.runtime import describe_device, reproducible, select_device
from sidekick.prompts import Prompt, choose_shots, load_prompt, read_answer, reference, render

_log = logging.getLogger("sidekick")

TOKEN_BUDGETS = {"cpu": 16_384, "cuda": 65_536}
"""Most tokens, padding included, whose keys and values are held at once, by the device's type."""

QUANTILES = np.linspace(0, 1, 11)
"""Which quantiles over an answer's tokens are cached: 0, 10, …, 100 %."""


@dataclass(frozen=True)
class _Job:
    checkpoint: str | Path
    outputs: Mapping[str, str | Path]
    facts: Mapping[str, object]


def cache_generations(
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
    """Cache the greedy answers of one language model on several splits.

    Parameters
    ----------
    checkpoint
        A language model's.
    dataset_folder
        A prepared dataset of open questions.
    outputs
        For each split (`val`, `test`, `shift`) the Parquet file to write; see
        `generation_table`. The file of `shift` has no rows.
    seed
        Whose splits to read.
    device
        `cpu` or `cuda`.
    threads
        Threads on the CPU.
    facts
        Key-value metadata of every file; `split`, `architecture` and the task's are added.
    task
        `prompt`, of the protocol `generate`, and optionally `shots`, `hedge` and
        `max_new_tokens`, which goes before the prompt's own.
    token_budget
        Most tokens of prompts and answers in one batch, padding included; `TOKEN_BUDGETS` unless
        given.

    Raises
    ------
    SidekickError
        If the device is missing, the checkpoint or a split is unreadable, or the task unknown.
    """
    job = _Job(checkpoint, outputs, facts)
    _cache([job], dataset_folder, seed, device, threads, task, token_budget)


def cache_generation_sweep(
    *,
    checkpoints: Mapping[str, str | Path],
    dataset_folder: str | Path,
    outputs: Mapping[str, Mapping[str, str | Path]],
    seed: int,
    device: str,
    threads: int,
    facts: Mapping[str, object],
    task: Mapping[str, object],
    token_budget: int | None = None,
) -> None:
    """Cache the greedy answers of several recipes of one language model.

    Parameters
    ----------
    checkpoints
        Recipe to weights.
    outputs
        For each split and recipe the Parquet file to write.
    facts
        As for `cache_generations`; `recipe` is added as well.
    dataset_folder, seed, device, threads, task, token_budget
        As for `cache_generations`.

    Raises
    ------
    SidekickError
        As `cache_generations`.
    """
    jobs = [
        _Job(
            checkpoint,
            {split: paths[recipe] for split, paths in outputs.items()},
            {**facts, "recipe": recipe},
        )
        for recipe, checkpoint in checkpoints.items()
    ]
    _cache(jobs, dataset_folder, seed, device, threads, task, token_budget)


def _cache(
    jobs: Sequence[_Job],
    dataset_folder: str | Path,
    seed: int,
    device: str,
    threads: int,
    task: Mapping[str, object],
    token_budget: int | None,
) -> None:
    """Run jobs one after the other; only one model is in memory."""
    prompt = _prompt(task)
    place = select_device(device)
    budget = token_budget or TOKEN_BUDGETS[place.type]
    count, hedge = task.get("shots", 0), task.get("hedge", "")
    shots = read_shots(dataset_folder)
    questions = {split: read_questions(dataset_folder, split, seed) for split in jobs[0].outputs}
    contexts = {
        split: [render(prompt, one, choose_shots(shots, one, count), hedge).context for one in own]
        for split, own in questions.items()
    }
    asked = {
        "prompt": prompt.name,
        "prompt_version": prompt.version,
        "protocol": prompt.protocol,
        "shots": count,
        "hedge": hedge,
        "max_new_tokens": prompt.generation.max_new_tokens,
    }
    model = None
    with reproducible(place, threads, seed):
        for job in jobs:
            _log.info("Running %s on %s", job.checkpoint, describe_device(place, threads))
            # The one before must be gone before the next comes.
            model = None
            model = load_language_checkpoint(job.checkpoint, place)
            architecture = model.entry.get("architecture") or model.entry["pretrained"]
            for split, path in job.outputs.items():
                start = time.perf_counter()
                answers = generate_answers(model, prompt, contexts[split], budget)
                rate = len(answers) / (time.perf_counter() - start)
                _log.info("%s: %d items, %.2f per second", split, len(answers), rate)
                facts = {**job.facts, "split": split, "architecture": architecture, **asked}
                write_table(generation_table(prompt, questions[split], answers), path, facts)


def _prompt(task: Mapping[str, object]) -> Prompt:
    """Load a task's prompt; what the task says of it goes before what its file says."""
    prompt = load_prompt(task["prompt"])
    if prompt.generation is None:
        raise SidekickError(f"prompt: '{prompt.name}' scores options; expected one that generates")
    most = task.get("max_new_tokens", prompt.generation.max_new_tokens)
    return replace(prompt, generation=replace(prompt.generation, max_new_tokens=most))


def generate_answers(
    model: LanguageModel, prompt: Prompt, contexts: Sequence[str], token_budget: int
) -> list[Decoded]:
    """Answer prompts, in their order; those of similar length run together.

    Where prompt and answer might be longer together than the model reads, tokens at the prompt's
    start are left out, as lm-evaluation-harness does it.

    Raises
    ------
    SidekickError
        If the model reads no more tokens than an answer may have.
    """
    most = prompt.generation.max_new_tokens
    longest = longest_input(model.network.config, model.tokenizer) - most
    if longest < 1:
        raise SidekickError(
            f"max_new_tokens: an answer may have {most} tokens, but the model reads only "
            f"{longest + most}"
        )
    encoded = encode_texts(model.tokenizer, contexts) if contexts else []
    ids = [one[-longest:] for one in encoded]
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]), reverse=True)
    answers: dict[int, Decoded] = {}
    for rows in _batches(order, [len(one) + most for one in ids], token_budget):
        found = decode_greedily(
            model.network,
            model.tokenizer,
            [ids[row] for row in rows],
            prompt.generation.until,
            most,
        )
        answers |= zip(rows, found, strict=True)
    return [answers[row] for row in range(len(ids))]


def generation_table(
    prompt: Prompt, questions: Sequence[Question], answers: Sequence[Decoded]
) -> pa.Table:
    """Give answers as a table, one row per question in their order.

    Returns
    -------
    pyarrow.Table
        `sample_id`, `subject`, `level` : string.
        `text` : string, the generated answer.
        `prediction`, `reference` : string, what is read off it, and off the worked solution.
        `correct`, `correct_flexible` : bool, by the strict and by the flexible pattern.
        `tokens` : int32, how many were generated, those that end the answer included.
        `truncated` : bool, whether the answer was cut off.
        `nent` : float32, mean over the tokens of Σ p log p over the vocabulary: minus the mean
        entropy in nats, so that higher is more confident.
        `mean_logprob`, `sum_logprob` : float32, over the tokens.
        `logprob_quantiles`, `entropy_quantiles` : fixed_size_list<float32>[11], the quantiles
        `QUANTILES` over the tokens, linearly interpolated.
    """
    generation = prompt.generation
    readings = [
        read_answer(generation, answer.text, question.answer)
        for question, answer in zip(questions, answers, strict=True)
    ]
    logprobs = [answer.log_probabilities for answer in answers]
    entropies = [answer.entropies for answer in answers]
    return pa.table(
        {
            **{
                name: pa.array([getattr(question, name) for question in questions], pa.string())
                for name in ("sample_id", "subject", "level")
            },
            "text": pa.array([answer.text for answer in answers], pa.string()),
            "prediction": pa.array([reading.prediction for reading in readings], pa.string()),
            "reference": pa.array(
                [reference(generation, question.answer) for question in questions], pa.string()
            ),
            "correct": pa.array([reading.correct for reading in readings], pa.bool_()),
            "correct_flexible": pa.array(
                [reading.correct_flexible for reading in readings], pa.bool_()
            ),
            "tokens": pa.array([len(one) for one in logprobs], pa.int32()),
            "truncated": pa.array([answer.truncated for answer in answers], pa.bool_()),
            "nent": _floats([-one.mean() for one in entropies]),
            "mean_logprob": _floats([one.mean() for one in logprobs]),
            "sum_logprob": _floats([one.sum() for one in logprobs]),
            "logprob_quantiles": _quantiles(logprobs),
            "entropy_quantiles": _quantiles(entropies),
        }
    )


def _floats(values: Sequence[float]) -> pa.Array:
    return pa.array(np.asarray(values, dtype=np.float32))


def _quantiles(values: Sequence[np.ndarray]) -> pa.FixedSizeListArray:
    found = [np.quantile(own, QUANTILES) for own in values]
    flat = np.asarray(found, dtype=np.float32).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), len(QUANTILES))


def _batches(order: Sequence[int], lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Split rows, from the longest to the shortest; a batch is as long as its first."""
    start = 0
    while start < len(order):
        count = max(1, budget // lengths[order[start]])
        yield list(order[start : start + count])
        start += count
