"""Evaluate Monte-Carlo dropout whose randomness is anywhere in the network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from sidekick.artifacts import read_json
from sidekick.errors import SidekickError
from sidekick.evaluation.identity import Identity, Member, base_recipe, raw
from sidekick.evaluation.mc_dropout_rows import (
    by_sigmoid,
    of_decomposition,
    of_estimator,
    of_rule,
)
from sidekick.evaluation.run import Candidate, Evaluation, Settings, as_list, gmacs_of
from sidekick.logit_cache import CachedLogits
from sidekick.methods.dropout_decomposition import Decomposition
from sidekick.methods.mc_dropout import PassMoments
from sidekick.recipe_names import PASSES


@dataclass(frozen=True)
class _Costs:
    """Every pass is one of the whole network."""

    gmacs: float

    def of(self, estimator: str) -> float:
        """Give the cost of a pass, `1`, or of those of an estimator such as `full_20`."""
        return int(estimator.removeprefix("full_")) * self.gmacs


@dataclass(frozen=True)
class _WholeNetwork:
    """A fine-tuned network, with its dropout on or off."""

    member: Member
    costs: _Costs

    def identity(self, variant: str) -> Identity:
        """Name one of its predictors."""
        return Identity("mc_dropout", variant, self.member.model, None, self.member.recipe)

    @property
    def control(self) -> Identity:
        """Name the network with its dropout off."""
        return raw(self.member)


def evaluate_passes(
    *,
    logits: Mapping[str, Sequence[str]],
    flops: str,
    seeds: Sequence[int],
    passes: int,
    levels: Sequence[float],
    evaluation: Mapping,
    facts: Mapping[str, str],
    metrics: str,
    curves: str,
    fits: str,
) -> None:
    """Write the rows of passes through one model's whole network.

    Their variants have `full_{N}` where those of a head have `{N}`; the control is the model as
    it comes, dropout off, at 1/N of the cost.

    Parameters
    ----------
    logits
        `test`, and `shift` unless that was left out, to the caches of the base recipe and of
        `passes` (see `sidekick.logit_cache.passes`), per seed.
    flops
        The model's FLOPs file.
    passes
        N of the caches.
    seeds, levels, evaluation, facts
        From the config; `facts` names the model.
    metrics, curves, fits
        The Parquet files to write; the last has no rows, as nothing is fitted.

    Raises
    ------
    SidekickError
        If caches are missing, damaged, or do not belong together.
    """
    model = facts["model"]
    paths = {split: as_list(files) for split, files in logits.items()}
    job = Evaluation(paths, seeds, Settings(**evaluation), facts, by="recipe")
    member = Member(model, base_recipe(job.keys))
    network = _WholeNetwork(member, _Costs(gmacs_of({model: read_json(flops)}, model)))
    name = f"full_{passes}"

    def predict(
        _: str, cells: Sequence[Mapping[str, CachedLogits]], weights
    ) -> dict[Identity, Candidate]:
        plain = [cell[member.recipe] for cell in cells]
        certain = [by_sigmoid(_probabilities(cache)) for cache in plain]
        summaries = [_summary(cell[PASSES]) for cell in cells]
        moments = [own for own, _ in summaries]
        candidates = {
            # Its rows are another job's; here it is what differences are taken against.
            network.control: Candidate(certain, network.costs.of("1"), published=False),
            **of_estimator(network, name, moments),
        }
        for level in levels:
            candidates |= of_rule(network, name, moments, level, certain, plain, weights)
        means = [by_sigmoid(own.mean) for own in moments]
        return candidates | of_decomposition(network, name, means, [own for _, own in summaries])

    job.run(job.keys, predict)
    job.write(metrics, curves, fits)


def _summary(cache: CachedLogits) -> tuple[PassMoments, Decomposition]:
    """Take apart what `sidekick.logit_cache.passes` put together."""
    width = cache.classes + 2
    if cache.features is None or cache.features.shape[1] != width:
        found = 0 if cache.features is None else cache.features.shape[1]
        raise SidekickError(
            f"{cache.source}: {found} features per row; passes through {cache.classes} classes "
            f"leave {width}: a deviation each, the expected entropy and the variation ratio"
        )
    mean = _probabilities(cache)
    features = cache.features.astype(np.float64)
    deviations, expected, ratio = np.split(features, [cache.classes, cache.classes + 1], axis=1)
    total = -(mean * np.log(np.where(mean > 0, mean, 1.0))).sum(axis=1)
    information = np.maximum(total - expected[:, 0], 0.0)
    return PassMoments(mean, deviations), Decomposition(
        total, expected[:, 0], information, ratio[:, 0]
    )


def _probabilities(cache: CachedLogits) -> np.ndarray:
    return softmax(cache.logits.astype(np.float64), axis=1)
