"""Teach a trained small language model to be unsure where it is wrong (arXiv 2502.19335).

One job trains a sweep: a model per alpha of the token-level Gatekeeper loss, and the control
`ce_control`, whose loss is the cross-entropy and which is the same in everything else. All start
from the same weights and see the same batches in the same order at the same learning rates. See
`sidekick.training.gatekeeper` for images, and `sidekick.training.gatekeeper_loss` on collapse.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sidekick.datasets.reading import read_card
from sidekick.errors import SidekickError
from sidekick.models.checkpoints import Description, describe
from sidekick.models.language import LanguageModel
from sidekick.models.language_checkpoints import load_language_checkpoint
from sidekick.models.runtime import describe_device, reproducible, select_device
from sidekick.training.identity import training_identity
from sidekick.training.language.encoding import Asked, EncodedSplit
from sidekick.training.language.loop import LanguageTask, run_steps
from sidekick.training.language.objectives import TokenGatekeeper
from sidekick.training.language.outcome import write_language_outcome
from sidekick.training.language.preparing import cast_weights, prepare
from sidekick.training.language.settings import LanguageGatekeeperSettings
from sidekick.training.resume import ResumeFile
from sidekick.training.sweep import sweep_recipes

_log = logging.getLogger("sidekick")


def train_language_gatekeepers(
    *,
    dataset_folder: str | Path,
    entry: Mapping[str, Any],
    recipe: Mapping[str, Any],
    task: Mapping[str, Any],
    alphas: Sequence[float],
    seed: int,
    start: str | Path,
    checkpoints: Sequence[str | Path],
    curves: Sequence[str | Path],
    device: str,
    threads: int,
    facts: Mapping[str, object],
) -> None:
    """Train a sweep of alphas and its control, each for all steps; keep the last weights.

    Parameters
    ----------
    dataset_folder, entry, task, seed, device, threads
        As for `sidekick.training.language.finetune.finetune_language_model`.
    recipe
        As there, but for `options_loss`, which has no part here, and `gatekeeper`: see
        `LanguageGatekeeperSettings`.
    alphas
        Of the sweep.
    start
        The fine-tuned checkpoint of the entry. If it holds an adapter, that is what is trained.
    checkpoints, curves
        Where each recipe's weights and training curve go, in the order of
        `sidekick.training.sweep.sweep_recipes`: the alphas, then the control.
    facts
        Key-value metadata for all files. Added are `recipe`; `start`, the recipe and the metric on
        val of the start; and `collapse`, what `sidekick.methods.collapse` says of the choices on
        val, or of the answers' tokens if there are no options.

    Raises
    ------
    SidekickError
        As `finetune_language_model`; or if settings are not allowed or contradict each other, or
        `start` is of another model.

    Notes
    -----
    The state of each training lies beside its checkpoint until the whole sweep is done. A sweep
    that was killed goes on from there and ends with the same weights, even if finished checkpoints
    were deleted meanwhile.
    """
    place = select_device(device)
    name = entry.get("pretrained") or entry["architecture"]
    _log.info("Gatekeeping %s on %s", name, describe_device(place, threads))
    settings = LanguageGatekeeperSettings.of(recipe)
    outputs = list(zip(sweep_recipes(alphas).items(), checkpoints, curves, strict=True))
    source = describe(start)
    _require_start(start, source, entry)
    if recipe.get("lora") and source.language["holds"] == "weights":
        raise SidekickError(
            f"lora: {dict(recipe['lora'])}, but {start} holds weights that were all trained, and "
            "an adapter builds on a published model only; leave it out, or fine-tune an adapter"
        )
    with reproducible(place, threads, seed):
        model = load_language_checkpoint(start, place)
        dtype = prepare(model, recipe, place)
        train, val = _encode(dataset_folder, seed, task, settings, model, place)
    origin = {"recipe": source.facts.get("recipe"), "val_metric": dict(source.val_metric)}
    sweep = _Sweep(
        model=model,
        initial=_trained_weights(model),
        dtype=dtype,
        train=train,
        val=val,
        card=read_card(dataset_folder),
        recipe=recipe,
        settings=settings,
        seed=seed,
        device=place,
        threads=threads,
        facts={**facts, "start": origin},
        known={"entry": dict(entry), "task": dict(task), "start": Path(start)},
    )
    resumes = [sweep.train_recipe(*own, *paths) for own, *paths in outputs]
    # Not before: a job that is repeated finds its outputs deleted.
    for resume in resumes:
        resume.delete()


@dataclass(frozen=True)
class _Sweep:
    """What the recipes of a sweep have in common; most as `train_language_gatekeepers` has it.

    Attributes
    ----------
    initial
        The weights that each starts from, of those that are trained.
    dtype
        See `LanguageTask`.
    known
        Whatever decides the outcome besides; see `training_identity`.
    """

    model: LanguageModel
    initial: Mapping[str, Tensor]
    dtype: torch.dtype | None
    train: EncodedSplit
    val: EncodedSplit
    card: Mapping[str, Any]
    recipe: Mapping[str, Any]
    settings: LanguageGatekeeperSettings
    seed: int
    device: torch.device
    threads: int
    facts: Mapping[str, Any]
    known: Mapping[str, Any]

    def train_recipe(
        self, name: str, alpha: float | None, checkpoint: str | Path, curve: str | Path
    ) -> ResumeFile:
        """Train one recipe and write its files; give its state, which is not deleted."""
        _log.info("Recipe %s", name)
        recipe = _own_recipe(self.recipe, self.settings, alpha)
        facts = {**self.facts, "recipe": name}
        identity = training_identity(
            "language_gatekeeper",
            recipe=recipe,
            seed=self.seed,
            data=self.train.digest + self.val.digest,
            facts=facts,
            **self.known,
        )
        resume = ResumeFile(checkpoint, identity)
        with reproducible(self.device, self.threads, self.seed):
            self._start_again()
            task = LanguageTask(
                self.model.network,
                self.train,
                self.val,
                TokenGatekeeper(alpha, self.settings),
                recipe,
                self.seed,
                self.device,
                self.dtype,
            )
            rows, score = run_steps(task, resume)
        collapse = score.collapse()
        if collapse.collapsed:
            _log.warning("The model has collapsed: %s", collapse.reason)
        write_language_outcome(
            model=self.model,
            card=self.card,
            recipe=recipe,
            seed=self.seed,
            rows=rows,
            checkpoint=checkpoint,
            curve=curve,
            facts={**facts, "collapse": asdict(collapse)},
        )
        return resume

    @torch.no_grad()
    def _start_again(self) -> None:
        if self.dtype is not None:
            # The recipe before may have left another type.
            cast_weights(self.model.network, torch.float32)
        for name, value in self.model.network.named_parameters():
            if name in self.initial:
                value.copy_(self.initial[name])


def _require_start(start: str | Path, source: Description, entry: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of another model than the entry's."""
    # A checkpoint that builds on a published model says which revision that was.
    found = {key: value for key, value in source.entry.items() if key in {*entry, "pretrained"}}
    if found != dict(entry):
        raise SidekickError(
            f"{start}: made from the model entry {dict(source.entry)}, but wanted is one of "
            f"{dict(entry)}. Delete it and start the run again: its job is then repeated"
        )


def _encode(
    dataset_folder: str | Path,
    seed: int,
    task: Mapping[str, Any],
    settings: LanguageGatekeeperSettings,
    model: LanguageModel,
    device: torch.device,
) -> tuple[EncodedSplit, EncodedSplit]:
    with_options = settings.over == "options"
    train = Asked(dataset_folder, "train", seed, task).encode(model, device, with_options)
    if with_options:
        train.require_single_tokens("gatekeeper.over: options")
    return train, Asked(dataset_folder, "val", seed, task).encode(model, device)


def _trained_weights(model: LanguageModel) -> dict[str, Tensor]:
    named = model.network.named_parameters()
    return {name: value.detach().clone() for name, value in named if value.requires_grad}


def _own_recipe(
    recipe: Mapping[str, Any], settings: LanguageGatekeeperSettings, alpha: float | None
) -> dict[str, Any]:
    """Spell out the settings of one recipe; the control has no alpha."""
    chosen = asdict(settings) if alpha is None else {**asdict(settings), "alpha": alpha}
    return {**recipe, "gatekeeper": chosen}
