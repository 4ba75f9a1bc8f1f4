"""Teach a trained small network to be unsure where it is wrong: recipes as `gatekeeper_a30`.

One job trains a sweep: a network per alpha of the Gatekeeper loss, and the control `ce_control`,
whose loss is the cross-entropy and which is the same in everything else. All start from the same
weights and see the same batches in the same order, changed in the same way, at the same learning
rates.

The loss can collapse: `sidekick.training.gatekeeper_loss` derives why, and each recipe's files say
whether it did.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sidekick.errors import SidekickError
from sidekick.methods.collapse import find_collapse
from sidekick.models.checkpoints import describe
from sidekick.models.runtime import describe_device, reproducible, select_device
from sidekick.training.cross_fitting import out_of_fold_logits, split_logits
from sidekick.training.data import TrainingData
from sidekick.training.distillation import DistillationLoss
from sidekick.training.finetune import cross_entropy
from sidekick.training.gatekeeper_objective import GatekeeperObjective, SoftAnswers, open_large
from sidekick.training.gatekeeper_settings import GatekeeperSettings
from sidekick.training.inputs import ImageInputs
from sidekick.training.loop import run_epochs
from sidekick.training.outcome import write_outcome
from sidekick.training.resume import ResumeFile
from sidekick.training.session import identity_of, open_session
from sidekick.training.sweep import sweep_recipes
from sidekick.training.task import adamw_task
from sidekick.training.validation import in_order

_log = logging.getLogger("sidekick")


@dataclass(frozen=True)
class StageOne:
    """How the network was trained that the sweep starts from.

    Attributes
    ----------
    recipe
        As for `sidekick.training.finetune.finetune`; with `distill`, as for `distill`, and the
        large model is the teacher.
    start
        The checkpoint that it started from, such as a linear probe, if any.
    """

    recipe: Mapping[str, Any]
    start: str | Path | None = None

    @classmethod
    def of(cls, checkpoint: str | Path, start: str | Path | None = None) -> "StageOne":
        """Read from the checkpoint that the sweep starts from how it was trained."""
        return cls(describe(checkpoint).recipe, start)


def train_gatekeepers(
    *,
    dataset_folder: str | Path,
    entry: Mapping[str, Any],
    recipe: Mapping[str, Any],
    alphas: Sequence[float],
    seed: int,
    start: str | Path,
    checkpoints: Sequence[str | Path],
    curves: Sequence[str | Path],
    device: str,
    threads: int,
    facts: Mapping[str, object],
    large: str | Path | None = None,
    stage_one: StageOne | None = None,
) -> None:
    """Train a sweep of alphas and its control, each for all epochs; keep the last weights.

    Parameters
    ----------
    dataset_folder, entry, seed, device, threads
        As for `sidekick.training.finetune.finetune`.
    recipe
        As for `finetune`, but for `early_stopping`, and `gatekeeper`: see `GatekeeperSettings`.
    alphas
        Of the sweep.
    start
        The fine-tuned (or distilled) checkpoint of the entry.
    checkpoints, curves
        Where each recipe's weights and training curve go, in the order of
        `sidekick.training.sweep.sweep_recipes`: the alphas, then the control.
    facts
        Key-value metadata for all files. Added are `recipe`; `start`, the recipe and the main
        metric on val of the start; `collapse`, what `find_collapse` says of the logits on val; and
        with cross-fitted correctness `cross_fitted_accuracy`.
    large
        A checkpoint of the large model for the same classes; needed if the settings give it a part,
        or if the start was distilled from it and correctness is cross-fitted.
    stage_one
        Needed for cross-fitted correctness.

    Raises
    ------
    SidekickError
        As `finetune`; or if settings are not allowed or contradict each other, or a checkpoint is
        needed and not given, or is of another network.

    Notes
    -----
    The state of each training, and of each fold's, lies beside its (or the first) checkpoint until
    the whole sweep is done. A sweep that was killed goes on from there and ends with the same
    weights, even if finished checkpoints were deleted meanwhile.
    """
    place = select_device(device)
    settings = GatekeeperSettings.of(recipe)
    outputs = list(zip(sweep_recipes(alphas).items(), checkpoints, curves, strict=True))
    _log.info("Gatekeeping %s on %s", entry["architecture"], describe_device(place, threads))
    # One set of weights to come back to; the data are read once.
    with reproducible(place, threads, seed):
        model, data = open_session(
            dataset_folder=dataset_folder,
            entry=entry,
            seed=seed,
            device=place,
            threads=threads,
            start=start,
        )
    answers = None
    if settings.asks_large:
        answers = SoftAnswers(*open_large(large, data.classes, dataset_folder, place), place)
    facts = {**facts, "start": _origin(start)}
    known = {"start": Path(start), "large": Path(large) if settings.asks_large else None}
    correct, resumes = None, []
    if settings.correctness == "cross_fitted":
        with reproducible(place, threads, seed):
            correct, resumes = _cross_fit(
                settings, stage_one, large, answers, data, place,
                dataset_folder=dataset_folder, entry=entry, seed=seed, threads=threads,
                facts=facts, checkpoint=checkpoints[0],
            )  # fmt: skip
        facts["cross_fitted_accuracy"] = correct.double().mean().item()
        known["correct"] = [hashlib.sha256(correct.cpu().numpy().tobytes()).hexdigest()]
    initial = {name: value.clone() for name, value in model.state_dict().items()}
    sweep = _Sweep(
        model, initial, data, entry, recipe, settings, answers, correct, seed, place, threads,
        facts, known,
    )  # fmt: skip
    resumes += [sweep.train(*own, *paths) for own, *paths in outputs]
    # Not before: a job that is repeated finds its outputs deleted.
    for resume in resumes:
        resume.delete()


@dataclass(frozen=True)
class _Sweep:
    """What the recipes of a sweep have in common; most as `train_gatekeepers` has it.

    Attributes
    ----------
    initial
        The weights that each starts from.
    answers
        The large network, if it takes part.
    correct
        Frozen correctness, if any.
    known
        Whatever decides the outcome besides; see `identity_of`.
    """

    model: nn.Module
    initial: Mapping[str, Tensor]
    data: TrainingData
    entry: Mapping[str, Any]
    recipe: Mapping[str, Any]
    settings: GatekeeperSettings
    answers: SoftAnswers | None
    correct: Tensor | None
    seed: int
    device: torch.device
    threads: int
    facts: Mapping[str, Any]
    known: Mapping[str, Any]

    def train(
        self, name: str, alpha: float | None, checkpoint: str | Path, curve: str | Path
    ) -> ResumeFile:
        """Train one recipe and write its files; give its state, which is not deleted."""
        _log.info("Recipe %s", name)
        recipe = _own_recipe(self.recipe, self.settings, alpha)
        facts = {**self.facts, "recipe": name}
        identity = identity_of(
            "gatekeeper",
            recipe=recipe,
            seed=self.seed,
            data=self.data,
            facts=facts,
            entry=dict(self.entry),
            **self.known,
        )
        resume = ResumeFile(checkpoint, identity)
        smoothing = recipe.get("label_smoothing", 0.0)
        loss = GatekeeperObjective(alpha, self.settings, smoothing, self.answers)
        with reproducible(self.device, self.threads, self.seed):
            self.model.load_state_dict(self.initial)
            task = adamw_task(
                self.model, self.data, loss, recipe, self.seed, self.device, self.correct
            )
            rows = run_epochs(task, self.data, resume)
            collapse = _judge(self.model, task.inputs, self.data, self.device)
        write_outcome(
            model=self.model,
            data=self.data,
            entry=self.entry,
            recipe=recipe,
            seed=self.seed,
            rows=rows,
            checkpoint=checkpoint,
            curve=curve,
            facts={**facts, "collapse": collapse},
        )
        return resume


def _own_recipe(
    recipe: Mapping[str, Any], settings: GatekeeperSettings, alpha: float | None
) -> dict[str, Any]:
    """Spell out the settings of one recipe; the control has no alpha."""
    chosen = asdict(settings) if alpha is None else {**asdict(settings), "alpha": alpha}
    return {**recipe, "gatekeeper": chosen}


def _origin(start: str | Path) -> dict[str, Any]:
    source = describe(start)
    return {"recipe": source.facts.get("recipe"), "val_metric": dict(source.val_metric)}


def _judge(
    model: nn.Module, inputs: ImageInputs, data: TrainingData, device: torch.device
) -> dict[str, Any]:
    """Say whether the network has collapsed, by the logits on val."""
    logits = split_logits(model, inputs, data.val, device)
    found = find_collapse(logits.cpu().numpy(), data.val.labels.cpu().numpy())
    if found.collapsed:
        _log.warning("The network has collapsed: %s", found.reason)
    return asdict(found)


def _cross_fit(
    settings: GatekeeperSettings,
    stage_one: StageOne | None,
    large: str | Path | None,
    answers: SoftAnswers | None,
    data: TrainingData,
    device: torch.device,
    *,
    dataset_folder: str | Path,
    **arguments: Any,
) -> tuple[Tensor, list[ResumeFile]]:
    """Give whether networks that have not seen a training sample get it right: (n,) bool."""
    if stage_one is None:
        raise SidekickError(
            "gatekeeper.correctness: 'cross_fitted' needs the settings of stage one"
        )
    recipe, loss, identity = stage_one.recipe, cross_entropy(stage_one.recipe), {}
    if "distill" in recipe:
        teacher = open_large(large, data.classes, dataset_folder, device)
        block = recipe["distill"]
        loss = DistillationLoss(*teacher, loss, block["temperature"], block["weight"], device)
        identity = {"teacher": Path(large)}
    logits, resumes = out_of_fold_logits(
        dataset_folder=dataset_folder,
        recipe=recipe,
        folds=settings.folds,
        data=data,
        loss=loss,
        identity=identity,
        device=device,
        start=stage_one.start,
        **arguments,
    )
    wanted = data.train.labels
    if settings.targets == "large":
        inputs = ImageInputs(data.preprocessing, data.classes, {}, device)
        wanted = _most_probable(answers, inputs, data)
    return logits.argmax(dim=1) == wanted, resumes


def _most_probable(answers: SoftAnswers, inputs: ImageInputs, data: TrainingData) -> Tensor:
    """Give the large model's answers (n,) to the training images, without augmentation."""
    batches = data.train.batches(in_order(len(data.train)))
    return torch.cat([answers(inputs.evaluation(pixels)).argmax(dim=1) for pixels, _ in batches])
