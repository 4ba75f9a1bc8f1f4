"""Everything that is scored of a large and a small model, from one reading of their logits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sidekick.methods.weight_fit import WeightFit, fit_combinations
from sidekick.metrics import Combination, SampleStatistics, combined_statistics


@dataclass(frozen=True)
class PairFits:
    """The weights of a pair, fitted on `val`.

    Attributes
    ----------
    large, small
        Single temperatures.
    duo, noise_duo
        (w_l, w_s), of the duo and of the duo with a noise sidekick.
    """

    large: WeightFit
    small: WeightFit
    duo: WeightFit
    noise_duo: WeightFit


@dataclass(frozen=True)
class PairStatistics:
    """What the metrics need of a pair's predictors.

    Attributes
    ----------
    large, small
        Temperature-scaled.
    unscaled
        The small model as it comes.
    duos
        `weighted`, `unweighted`, `uq_only`, `weighted_as_released` and `noise_sidekick`, as
        :mod:`sidekick.methods.duo` defines them.
    """

    large: SampleStatistics
    small: SampleStatistics
    unscaled: SampleStatistics
    duos: Mapping[str, SampleStatistics]

    @property
    def confidence(self) -> np.ndarray:
        """(n,) the small model's largest softmax probability, by which a plain cascade decides."""
        return self.unscaled.confidence


def fit_pairs(
    logits: Mapping[str, np.ndarray],
    labels: np.ndarray,
    pairs: Sequence[tuple[str, str]],
    noise_orders: Mapping[str, np.ndarray],
) -> list[PairFits]:
    """Fit all weights of several pairs together, by the NLL on validation logits.

    Parameters
    ----------
    logits
        Model to (n, C).
    labels
        (n,).
    pairs
        (large, small).
    noise_orders
        For each small model the rows that its noise sidekick takes, see
        `controls.noise_order`.
    """
    # Each model by itself, and each small model shuffled.
    names = [(name, False) for name in logits] + [(small, True) for small in noise_orders]
    position = {name: index for index, name in enumerate(names)}
    combinations = [[position[name, False]] for name in logits]
    for large, small in pairs:
        for noise in (False, True):
            combinations.append([position[large, False], position[small, noise]])
    fits = fit_combinations(
        [logits[name] for name, _ in names],
        labels,
        combinations,
        [noise_orders[name] if noise else None for name, noise in names],
    )
    single = dict(zip(logits, fits, strict=False))
    duos = fits[len(logits) :]
    return [
        PairFits(single[large], single[small], *duos[2 * index : 2 * index + 2])
        for index, (large, small) in enumerate(pairs)
    ]


def pair_statistics(
    large: np.ndarray,
    small: np.ndarray,
    noise_order: np.ndarray,
    labels: np.ndarray,
    fits: PairFits,
) -> PairStatistics:
    """Score a pair on logits (n, C) with the weights that `val` decided.

    Parameters
    ----------
    large, small
        (n, C) logits, rows of the same samples.
    noise_order
        (n,) the rows of `small` that the noise sidekick takes.
    labels
        (n,).
    fits
        From `fit_pairs`.
    """
    halves = fits.large.weights[0] / 2, fits.small.weights[0] / 2
    combinations = {
        "large": Combination([0], fits.large.weights),
        "small": Combination([1], fits.small.weights),
        "gate": Combination([1], [1.0]),
        "weighted": Combination([0, 1], fits.duo.weights, reference=0),
        "unweighted": Combination([0, 1], halves),
        "noise_sidekick": Combination([0, 2], fits.noise_duo.weights),
    }
    scored, asked = combined_statistics(
        [large, small, small], labels, list(combinations.values()), [None, None, noise_order]
    )
    found = dict(zip(combinations, scored, strict=True))
    weighted = found["weighted"]
    of_large = asked[list(combinations).index("weighted")]
    answers = found["large"].predicted
    return PairStatistics(
        large=found["large"],
        small=found["small"],
        unscaled=found["gate"],
        duos={
            "weighted": weighted,
            "unweighted": found["unweighted"],
            "uq_only": replace(
                weighted,
                predicted=answers,
                correct=answers == weighted.label,
                probability=of_large,
                confidence=of_large,
            ),
            "weighted_as_released": replace(weighted, confidence=of_large),
            "noise_sidekick": found["noise_sidekick"],
        },
    )
