"""Train a language model on the answers of a dataset: the recipe `finetune`."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sidekick.datasets.reading import read_card
from sidekick.models.language import LanguageModel, create_language_model
from sidekick.models.runtime import describe_device, reproducible, select_device
from sidekick.training.identity import training_identity
from sidekick.training.language.answers import answering
from sidekick.training.language.encoding import Asked
from sidekick.training.language.loop import LanguageTask, curve_row, run_steps
from sidekick.training.language.objectives import AnswerCrossEntropy
from sidekick.training.language.outcome import write_language_outcome
from sidekick.training.language.preparing import prepare
from sidekick.training.language.scoring import score_split
from sidekick.training.resume import ResumeFile

_log = logging.getLogger("sidekick")


def finetune_language_model(
    *,
    dataset_folder: str | Path,
    entry: Mapping[str, Any],
    recipe: Mapping[str, Any],
    task: Mapping[str, Any],
    seed: int,
    device: str,
    threads: int,
    checkpoint: str | Path,
    curve: str | Path,
    facts: Mapping[str, object],
) -> None:
    """Train by AdamW, a warm-up and a cosine of the learning rate, and answer-only cross-entropy.

    Parameters
    ----------
    dataset_folder
        A prepared dataset of questions.
    entry
        The model entry; see `sidekick.models.language.create_language_model`.
    recipe
        `steps`; unless these are 0 (the model is kept as it is), `batch_size` (questions),
        `learning_rate` (the peak), `weight_decay`, and optionally

        `options_loss`
            Whether the cross-entropy over the item's options is added, which must be single
            tokens.
        `warmup`
            Share of the steps in which the learning rate rises; see `rate_factor`.
        `clip`
            Largest norm of the gradient (1).
        `accumulation`
            Parts in which a batch is computed, to save memory. The step is the same but for
            dropout.
        `precision`
            `float32`, or `bfloat16` for autocast (optimised weights stay float32).
        `gradient_checkpointing`
            Whether activations are computed again, to save memory.
        `lora`
            Train an adapter (arXiv 2106.09685) instead of all weights: `rank`, `alpha`, and
            optionally `dropout` and `targets` (names of linear layers, or `all-linear`; by
            default what peft knows of the architecture).
        `validate_every`
            Steps between rows of the curve (a tenth of all).
    task
        How questions are asked: see `sidekick.training.language.encoding.Asked`.
    seed
        Decides the split, the initialisation, the order and dropout.
    device
        `cpu` or `cuda`.
    threads
        Threads on the CPU. Results repeat bit for bit on one machine with as many threads.
    checkpoint, curve
        Where the weights (safetensors) and the training curve (Parquet) go.
    facts
        Key-value metadata for both files.

    Raises
    ------
    SidekickError
        If the device or the model is missing, a setting is not allowed or does not go with the
        dataset, or the loss stops being finite.

    Notes
    -----
    The state of the latest validation lies beside the checkpoint until training ends; a training
    that was killed goes on from there and ends with the same weights.
    """
    place = select_device(device)
    name = entry.get("pretrained") or entry["architecture"]
    _log.info("Fine-tuning %s on %s", name, describe_device(place, threads))
    with reproducible(place, threads, seed):
        if recipe["steps"]:
            model, rows, resume = _train(
                dataset_folder, entry, recipe, task, seed, place, checkpoint, facts
            )
        else:
            model, rows = _as_it_is(dataset_folder, entry, task, seed, place)
    write_language_outcome(
        model=model,
        card=read_card(dataset_folder),
        recipe=recipe,
        seed=seed,
        rows=rows,
        checkpoint=checkpoint,
        curve=curve,
        facts=facts,
        untouched=not recipe["steps"] and _is_published(entry),
    )
    if recipe["steps"]:
        resume.delete()


def _train(
    dataset_folder: str | Path,
    entry: Mapping[str, Any],
    recipe: Mapping[str, Any],
    task: Mapping[str, Any],
    seed: int,
    device: torch.device,
    checkpoint: str | Path,
    facts: Mapping[str, object],
) -> tuple[LanguageModel, list[dict[str, Any]], ResumeFile]:
    asked = {split: Asked(dataset_folder, split, seed, task) for split in ("train", "val")}
    model = create_language_model(entry, _vocabulary(entry, asked))
    dtype = prepare(model, recipe, device)
    with_options = recipe.get("options_loss", False)
    train = asked["train"].encode(model, device, with_options)
    if with_options:
        train.require_single_tokens("options_loss: true")
    val = asked["val"].encode(model, device)
    identity = training_identity(
        "finetune_language_model",
        recipe=recipe,
        seed=seed,
        data=train.digest + val.digest,
        facts=facts,
        entry=dict(entry),
        task=dict(task),
    )
    resume = ResumeFile(checkpoint, identity)
    objective = AnswerCrossEntropy(with_options)
    rows, _ = run_steps(
        LanguageTask(model.network, train, val, objective, recipe, seed, device, dtype), resume
    )
    return model, rows, resume


def _as_it_is(
    dataset_folder: str | Path,
    entry: Mapping[str, Any],
    task: Mapping[str, Any],
    seed: int,
    device: torch.device,
) -> tuple[LanguageModel, list[dict[str, Any]]]:
    """Only score the model on val."""
    needed = ("val",) if _is_published(entry) else ("train", "val")
    asked = {split: Asked(dataset_folder, split, seed, task) for split in needed}
    model = create_language_model(entry, _vocabulary(entry, asked))
    model.network.to(device)
    val = asked["val"].encode(model, device)
    with answering(model.network, device) as logits:
        row = curve_row(score_split(model.network, logits, val))
    return model, [{**row, "kept": True}]


def _is_published(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("pretrained"))


def _vocabulary(entry: Mapping[str, Any], asked: Mapping[str, Asked]) -> list[str] | None:
    return None if _is_published(entry) else asked["train"].texts()
