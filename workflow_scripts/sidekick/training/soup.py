"""Average the weights of several fine-tunings: the recipes `soup_uniform` and `soup_greedy`.

See Wortsman et al., *Model soups*, arXiv 2203.05482.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from sidekick.models.checkpoints import describe, save_checkpoint
from sidekick.models.loading import load_model
from sidekick.models.preprocessing import Preprocessing
from sidekick.models.runtime import describe_device, reproducible, select_device
from sidekick.training.data import TrainingData, load_training_data
from sidekick.training.finetune import cross_entropy
from sidekick.training.inputs import ImageInputs
from sidekick.training.outcome import val_metric
from sidekick.training.selection import ranked, require_alike, trial_name
from sidekick.training.session import require_classes
from sidekick.training.validation import Score, validate

_log = logging.getLogger("sidekick")


def make_soup(
    *,
    checkpoints: Sequence[str | Path],
    dataset_folder: str | Path,
    seed: int,
    uniform: str | Path,
    greedy: str | Path,
    device: str,
    threads: int,
    facts: Mapping[str, object],
) -> None:
    """Write the average of all networks, and of those that a greedy choice keeps.

    The greedy choice starts with the network of the best main metric on val and goes through the
    others in that order; each joins if the average with it is no worse on val, by the main
    metric, than without. So on val the greedy soup is at least as good as the best network.

    Parameters
    ----------
    checkpoints
        Fine-tunings of one model and seed, from the same initialisation.
    dataset_folder
        A prepared dataset.
    seed
        Of the splits.
    uniform, greedy
        Where the two averages (safetensors) go.
    device, threads
        As for `sidekick.training.finetune.finetune`.
    facts
        Key-value metadata for both files; `recipe`, and `members` (the recipes that went in, in
        the order in which they did), are added.

    Raises
    ------
    SidekickError
        If a checkpoint is unreadable, or they differ in architecture, preprocessing, classes or
        seed.

    Notes
    -----
    All floating-point tensors are averaged, the statistics of batch norm too, as in the soups
    that are published; integers are those of the first member.
    """
    place = select_device(device)
    trials = [describe(path) for path in checkpoints]
    require_alike(checkpoints, trials)
    _log.info("Averaging %d networks on %s", len(trials), describe_device(place, threads))
    preprocessing = Preprocessing(**trials[0].preprocessing)
    data = load_training_data(dataset_folder, seed, place, preprocessing, threads)
    require_classes(checkpoints[0], trials[0], data.classes, dataset_folder)
    order = ranked(trials)
    with reproducible(place, threads, seed):
        taste = _Taster(load_model(checkpoints[order[0]], place), data, place)
        for recipe, path, average, members in (
            ("soup_uniform", uniform, *_uniform(checkpoints)),
            ("soup_greedy", greedy, *_greedy([checkpoints[row] for row in order], taste)),
        ):
            score = taste(average)
            names = [trial_name(describe(member), member) for member in members]
            _log.info("%s of %s: %s", recipe, ", ".join(names), score)
            description = replace(
                trials[0],
                recipe={"soup": recipe, "members": names},
                val_accuracy=score.accuracy,
                val_metric=val_metric(data.main_metric, taste.metric(score)),
                facts={**facts, "recipe": recipe, "members": names},
            )
            save_checkpoint(path, taste.model, description)


class Average:
    """The mean of networks' tensors, to which networks can be added.

    Sums are kept in float64, so that the mean of one network is that network.
    """

    def __init__(self) -> None:
        self._count = 0
        self._sums: dict[str, Tensor] = {}
        self._first: dict[str, Tensor] = {}

    def joined(self, state: Mapping[str, Tensor]) -> "Average":
        """Give the mean with one more network in it; this one stays as it is."""
        new = Average()
        new._count = self._count + 1
        new._first = self._first or dict(state)
        new._sums = {
            name: value.double() + self._sums.get(name, 0.0)
            for name, value in state.items()
            if value.is_floating_point()
        }
        return new

    def state(self) -> dict[str, Tensor]:
        """Give the mean, in the types of the networks; integers are those of the first."""
        means = {
            name: (total / self._count).to(self._first[name].dtype)
            for name, total in self._sums.items()
        }
        return {**self._first, **means}


class _Taster:
    """Scores weights on val, in one network that is lent to them."""

    def __init__(self, model: nn.Module, data: TrainingData, device: torch.device) -> None:
        self.model = model
        self._data = data
        self._device = device
        self._inputs = ImageInputs(data.preprocessing, data.classes, {}, device)

    def __call__(self, average: Average) -> Score:
        """Load the weights and score them."""
        self.model.load_state_dict(average.state())
        return validate(self.model, self._inputs, self._data.val, cross_entropy({}), self._device)

    def metric(self, score: Score) -> float:
        """Give the dataset's main metric."""
        return getattr(score, self._data.main_metric)


def _uniform(paths: Sequence[str | Path]) -> tuple[Average, list[str | Path]]:
    average = Average()
    for path in paths:
        average = average.joined(_state(path))
    return average, list(paths)


def _greedy(paths: Sequence[str | Path], taste: _Taster) -> tuple[Average, list[str | Path]]:
    soup, members = Average().joined(_state(paths[0])), [paths[0]]
    best = taste.metric(taste(soup))
    for path in paths[1:]:
        candidate = soup.joined(_state(path))
        value = taste.metric(taste(candidate))
        if value >= best:
            soup, best = candidate, value
            members.append(path)
    return soup, members


def _state(path: str | Path) -> dict[str, Tensor]:
    return load_model(path, torch.device("cpu")).state_dict()
