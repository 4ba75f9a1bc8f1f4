"""Train only a network's last layer: the recipe `linear_probe`, the first half of LP-FT.

A last layer that is fit first keeps the rest from being distorted when all is fine-tuned; see
Kumar et al., *Fine-Tuning can Distort Pretrained Features*, arXiv 2202.10054.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sidekick.errors import SidekickError
from sidekick.models.create import pooled_features
from sidekick.models.preprocessing import Preprocessing
from sidekick.models.runtime import describe_device, reproducible, select_device
from sidekick.training.data import LabelledImages
from sidekick.training.finetune import cross_entropy
from sidekick.training.inputs import ImageInputs
from sidekick.training.loop import Task, run_epochs
from sidekick.training.outcome import write_outcome
from sidekick.training.resume import ResumeFile
from sidekick.training.session import identity_of, open_session
from sidekick.training.validation import forward, in_order

_log = logging.getLogger("sidekick")


def linear_probe(
    *,
    dataset_folder: str | Path,
    entry: Mapping[str, Any],
    recipe: Mapping[str, Any],
    seed: int,
    checkpoint: str | Path,
    curve: str | Path,
    device: str,
    threads: int,
    facts: Mapping[str, object],
) -> None:
    """Train the last layer by AdamW and cross-entropy; keep the best epoch's by the main metric.

    The rest of the network stays in evaluation mode and as it came; its features of each image,
    without augmentation, are computed once.

    Parameters
    ----------
    dataset_folder, entry, seed, device, threads, facts
        As for `sidekick.training.finetune.finetune`.
    recipe
        `epochs`, `batch_size` and `learning_rate` (constant). There is no weight decay.
    checkpoint, curve
        Where the whole network (safetensors) and the training curve (Parquet) go.

    Raises
    ------
    SidekickError
        If the device is missing, the architecture cannot be built or cannot read its input, or
        the network does not end in one linear layer on its pooled features.
    """
    place = select_device(device)
    _log.info("Probing %s on %s", entry["architecture"], describe_device(place, threads))
    with reproducible(place, threads, seed):
        model, data = open_session(
            dataset_folder=dataset_folder, entry=entry, seed=seed, device=place, threads=threads
        )
        classifier = require_linear_classifier(model.eval(), entry, data.preprocessing, place)
        inputs = ImageInputs(data.preprocessing, data.classes, {}, place)
        features = replace(
            data,
            train=_features(model, data.train, inputs, place),
            val=_features(model, data.val, inputs, place),
        )
        known = identity_of(
            "linear_probe", recipe=recipe, seed=seed, data=data, facts=facts, entry=dict(entry)
        )
        resume = ResumeFile(checkpoint, known)
        rows = run_epochs(_task(classifier, recipe, seed, place), features, resume)
    write_outcome(
        model=model,
        data=data,
        entry=entry,
        recipe=recipe,
        seed=seed,
        rows=rows,
        checkpoint=checkpoint,
        curve=curve,
        facts=facts,
    )
    resume.delete()


def require_linear_classifier(
    model: nn.Module, entry: Mapping[str, Any], preprocessing: Preprocessing, device: torch.device
) -> nn.Linear:
    """Give the last layer of a network in evaluation mode, if it alone maps features to logits.

    Raises
    ------
    SidekickError
        If it is no linear layer, or its answers to the pooled features of two random images are
        not the network's.
    """
    classifier = model.get_classifier()
    generator = torch.Generator().manual_seed(0)
    height, width, channels = preprocessing.input_shape
    sample = torch.rand(2, channels, height, width, generator=generator).to(device)
    if not isinstance(classifier, nn.Linear) or not _ends_in(model, classifier, sample):
        raise SidekickError(
            f"linear_probe: the architecture '{entry['architecture']}' does not end in one linear "
            "layer on its pooled features, so that layer cannot be trained alone; remove "
            "`linear_probe` for this model (`linear_probe: null` in its own `finetune:` block)"
        )
    return classifier


@torch.no_grad()
def _ends_in(model: nn.Module, classifier: nn.Linear, sample: Tensor) -> bool:
    try:
        features = pooled_features(model, sample)
        logits = classifier(features)
    except (AttributeError, TypeError, RuntimeError):
        # No head in timm's form, or features of another shape.
        return False
    expected = model(sample)
    scale = expected.abs().max().item()
    return logits.shape == expected.shape and torch.allclose(
        logits, expected, rtol=1e-3, atol=1e-4 * scale
    )


class _Features(LabelledImages):
    """The pooled features of a split, in the place of its images.

    Parameters
    ----------
    values
        (n, F) float32 on the device.
    images
        The split.
    """

    def __init__(self, values: Tensor, images: LabelledImages) -> None:
        self.labels = images.labels
        self._values = values

    def batches(
        self, rows: Iterable[Tensor], draw: Callable[[], None] | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Give features (B, F) and labels (B,) of each batch of rows."""
        for batch in rows:
            place = batch.to(self.labels.device)
            yield self._values[place], self.labels[place]


class _FeatureInputs:
    """Features are read as they are; see `sidekick.training.inputs.Inputs`."""

    def draw_change(self, generator: torch.Generator) -> None:
        return None

    def training(
        self, samples: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        return samples, labels

    def evaluation(self, samples: Tensor) -> Tensor:
        return samples

    def to_network(self, samples: Tensor) -> Tensor:
        return samples


class _Trunk(nn.Module):
    """A network without its last layer."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._model = model

    def forward(self, x: Tensor) -> Tensor:
        return pooled_features(self._model, x)


@torch.no_grad()
def _features(
    model: nn.Module, images: LabelledImages, inputs: ImageInputs, device: torch.device
) -> _Features:
    trunk = _Trunk(model)
    values = [
        forward(trunk, inputs.to_network(inputs.evaluation(pixels)), device)
        for pixels, _ in images.batches(in_order(len(images)))
    ]
    return _Features(torch.cat(values), images)


def _task(
    classifier: nn.Linear, recipe: Mapping[str, Any], seed: int, device: torch.device
) -> Task:
    optimiser = torch.optim.AdamW(
        classifier.parameters(), lr=recipe["learning_rate"], weight_decay=0.0, fused=True
    )
    constant = torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0)
    # So patient that it never stops early, but keeps the best epoch.
    patient = {**recipe, "early_stopping": recipe["epochs"]}
    inputs, loss = _FeatureInputs(), cross_entropy({})
    return Task(classifier, optimiser, constant, loss, inputs, patient, seed, device)
