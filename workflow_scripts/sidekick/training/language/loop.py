"""The step loop that every training of a language model shares."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sidekick.errors import SidekickError
from sidekick.training.language.answers import AnswerLogits, answering
from sidekick.training.language.batching import StepBatches
from sidekick.training.language.encoding import EncodedSplit
from sidekick.training.language.objectives import Objective, Size
from sidekick.training.language.preparing import cast_weights
from sidekick.training.language.scoring import Score, score_split
from sidekick.training.resume import ResumeFile
from sidekick.training.schedule import WARMUP, warmup_cosine

_log = logging.getLogger("sidekick")

_VALIDATIONS = 10


@dataclass(frozen=True)
class LanguageTask:
    """What to train and how.

    Attributes
    ----------
    network
        On the device. Only parameters that require gradients are trained.
    train, val
        The splits, on the device.
    objective
        What is minimised.
    recipe
        See `sidekick.training.language.finetune.finetune_language_model`.
    seed
        Decides order and dropout.
    device
        Where the network lies.
    dtype
        Type that the finished network takes, before it is scored for the last time; None if it
        keeps its own.
    """

    network: nn.Module
    train: EncodedSplit
    val: EncodedSplit
    objective: Objective
    recipe: Mapping[str, Any]
    seed: int
    device: torch.device
    dtype: torch.dtype | None = None


def run_steps(task: LanguageTask, resume: ResumeFile) -> tuple[list[dict[str, Any]], Score]:
    """Train, going on after the last validation that `resume` holds; keep the last weights.

    All randomness between two validations comes from the seed and the step's number, so a training
    that was interrupted ends with the same bits as one that was not.

    Returns
    -------
    rows
        Per validation, the first before any step: `step`, `epoch` (passes over `train`),
        `learning_rate` (of the next step), `train_loss` (mean objective since the row before, each
        step's before the step; NaN at first), `train_token_accuracy` (likewise), `val_loss`,
        `val_token_accuracy`, `val_accuracy` and `val_macro_f1` as in `Score`, and `kept`, true for
        the last.
    score
        Of the finished network on val.

    Raises
    ------
    SidekickError
        If the loss stops being finite, with the step and what to change.
    """
    recipe, steps = task.recipe, task.recipe["steps"]
    batches = StepBatches(task.train.answers.lengths, recipe["batch_size"], task.seed)
    trained = [parameter for parameter in task.network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(
        trained, lr=recipe["learning_rate"], weight_decay=recipe["weight_decay"], fused=True
    )
    scheduler = warmup_cosine(optimiser, steps, recipe.get("warmup", WARMUP))
    state = _State(task.network, optimiser, scheduler, resume)
    rows = state.restore()
    with answering(task.network, task.device, recipe.get("precision", "float32")) as logits:
        runner = _Runner(task, batches, trained, optimiser, scheduler, logits)
        score = None
        for step in _stops(steps, recipe.get("validate_every")):
            if rows and step <= rows[-1]["step"]:
                continue
            means = runner.advance(rows[-1]["step"], step) if rows else (math.nan, math.nan)
            if step == steps:
                _finish(task)
            score = score_split(task.network, logits, task.val)
            rate = scheduler.get_last_lr()[0]
            rows.append(curve_row(score, step, step / batches.per_epoch, rate, *means))
            _require_finite(rows[-1], recipe["learning_rate"])
            if step:
                state.save(rows)
            _log.info(
                "Step %d of %d: train loss %.4f, val loss %.4f, val accuracy %.4f",
                step, steps, means[0], score.loss, score.accuracy,
            )  # fmt: skip
        if score is None:
            _finish(task)
            score = score_split(task.network, logits, task.val)
    return [{**row, "kept": row is rows[-1]} for row in rows], score


def curve_row(
    score: Score,
    step: int = 0,
    epoch: float = 0.0,
    learning_rate: float = 0.0,
    train_loss: float = math.nan,
    train_token_accuracy: float = math.nan,
) -> dict[str, Any]:
    """Give a row as `run_steps` does, without `kept`; by default that of an untrained network."""
    return {
        "step": step,
        "epoch": epoch,
        "learning_rate": learning_rate,
        "train_loss": train_loss,
        "train_token_accuracy": train_token_accuracy,
        "val_loss": score.loss,
        "val_token_accuracy": score.token_accuracy,
        "val_accuracy": score.accuracy,
        "val_macro_f1": score.macro_f1,
    }


def _finish(task: LanguageTask) -> None:
    if task.dtype is not None:
        cast_weights(task.network, task.dtype)


def _stops(steps: int, every: int | None) -> list[int]:
    """Give the steps after which there is a validation, by default about ten."""
    every = every or max(1, math.ceil(steps / _VALIDATIONS))
    return [*range(0, steps, every), steps]


@dataclass(frozen=True)
class _Runner:
    """Takes steps; the attributes are those of `run_steps`."""

    task: LanguageTask
    batches: StepBatches
    trained: list[nn.Parameter]
    optimiser: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    answer_logits: AnswerLogits

    def advance(self, begin: int, end: int) -> tuple[float, float]:
        """Take the steps from `begin` to before `end`; give mean loss and token accuracy."""
        task = self.task
        state = np.random.SeedSequence([task.seed, begin]).generate_state(1, np.uint64)
        # Of dropout.
        torch.manual_seed(int(state[0]))
        task.network.train()
        # On the device, so that a GPU need not wait for each batch.
        loss = torch.zeros((), dtype=torch.float64, device=task.device)
        correct = torch.zeros((), dtype=torch.int64, device=task.device)
        count = 0
        for step in range(begin, end):
            rows = self.batches[step]
            tokens = int(task.train.answers.answer_lengths[rows].sum())
            for part in rows.tensor_split(min(task.recipe.get("accumulation", 1), len(rows))):
                found, hits = self._add_gradients(part, Size(len(rows), tokens))
                loss += found
                correct += hits
            count += tokens
            torch.nn.utils.clip_grad_norm_(self.trained, task.recipe.get("clip", 1.0))
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            self.scheduler.step()
        return loss.item() / (end - begin), correct.item() / count

    def _add_gradients(self, rows: Tensor, size: Size) -> tuple[Tensor, Tensor]:
        """Add a part's share of the gradients; give its share of the loss, and its hits."""
        batch = self.task.train.answers.batch(rows)
        logits = self.answer_logits(batch)
        loss = self.task.objective(logits, batch, self.task.train, size)
        loss.backward()
        return loss.detach(), (logits.detach().argmax(dim=1) == batch.targets).sum()


@dataclass(frozen=True)
class _State:
    """What a training goes on from; weights that are not trained take no part."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    resume: ResumeFile

    def _weights(self) -> dict[str, Tensor]:
        named = self.network.named_parameters()
        return {name: value.detach() for name, value in named if value.requires_grad}

    def save(self, rows: list[dict[str, Any]]) -> None:
        self.resume.save(
            {
                "weights": self._weights(),
                "optimiser": self.optimiser.state_dict(),
                "scheduler": self.scheduler.state_dict(),
                "curve": rows,
            }
        )

    def restore(self) -> list[dict[str, Any]]:
        """Go back to where the file is, if there is one; give the rows so far."""
        saved = self.resume.load()
        if saved is None:
            return []
        for name, value in self._weights().items():
            value.copy_(saved["weights"][name])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.scheduler.load_state_dict(saved["scheduler"])
        rows = saved["curve"]
        _log.info("Going on after step %d, from %s", rows[-1]["step"], self.resume.path)
        return rows


def _require_finite(row: Mapping[str, Any], learning_rate: float) -> None:
    losses = [row["val_loss"]] if row["step"] == 0 else [row["train_loss"], row["val_loss"]]
    if not np.isfinite(losses).all():
        raise SidekickError(
            f"training: the loss is not finite at step {row['step']} (train {row['train_loss']}, "
            f"val {row['val_loss']}) with learning_rate {learning_rate}; set a lower "
            "learning_rate for this model"
        )
