"""Deferral cascades of generated answers: a small model answers if it is sure enough."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from sidekick.evaluation.answers import PLAIN, reading_values
from sidekick.evaluation.cascades import CascadeSettings, choose_thresholds, threshold_row
from sidekick.evaluation.curves import GRID, curve_points
from sidekick.evaluation.deferral import deferral_values, reference_lines
from sidekick.evaluation.identity import Identity
from sidekick.evaluation.run import Candidate, Evaluation
from sidekick.logit_cache.answers import GATES, CachedAnswers
from sidekick.methods import cascade, controls
from sidekick.methods.thresholds import Threshold
from sidekick.metrics import evaluate_deferral, weighted_mean


@dataclass(frozen=True)
class AnswerPair:
    """Both models' answers to the same questions, in the same order."""

    small: CachedAnswers
    large: CachedAnswers

    def joined(self, defer: np.ndarray) -> CachedAnswers:
        """Take each answer from the model that gave it; it keeps no gate, for scales differ."""
        chosen = {
            name: np.where(defer, getattr(self.large, name), getattr(self.small, name))
            for name in ("correct", "correct_flexible", "truncated")
        }
        return CachedAnswers(self.small.sample_ids, self.small.references, **chosen, gates={})


def choose_answer_thresholds(
    pair: AnswerPair, costs: tuple[float, float], settings: CascadeSettings
) -> dict[str, Threshold]:
    """Choose the thresholds of the gate `PLAIN` on one seed's `val`, by what they are for."""
    confidence = pair.small.gates[PLAIN]
    return choose_thresholds(confidence, pair.small.correct, pair.large.correct, costs, settings)


class AnswerCascades:
    """The cascades of one pair, on the test split of all seeds.

    Parameters
    ----------
    job
        Where curves go, and how intervals are made.
    identity
        From predictor and variant to what the board calls it.
    costs
        GMACs of the small and of the large model.
    thresholds
        Per seed what `choose_answer_thresholds` gives.
    gates
        `PLAIN`, which all others are compared with, is first.
    published
        Whether its curves go to the job's, or to another's.
    """

    def __init__(
        self,
        job: Evaluation,
        identity: Callable[[str, str], Identity],
        costs: tuple[float, float],
        thresholds: Sequence[Mapping[str, Threshold]],
        gates: Sequence[str] = GATES,
        published: bool = True,
    ):
        self.job, self.costs, self.thresholds = job, costs, thresholds
        self.name = partial(identity, "cascade")
        self.balance = costs[0] / costs[1]
        self.gates, self.published = gates, published

    def candidates(
        self,
        pairs: Sequence[AnswerPair],
        weights: Sequence[np.ndarray],
        rng: np.random.Generator,
    ) -> dict[Identity, Candidate]:
        """Give all cascades of the pair, each with its control.

        Parameters
        ----------
        pairs, weights
            Per seed: the answers, and resampling weights (1 + B, n).
        rng
            Of the random controls.
        """
        found = {}
        for what in self.thresholds[0]:
            values = [own[what].value for own in self.thresholds]
            # A budget that does not pay for the small model has no threshold, for any seed.
            if not np.isnan(values).any():
                found |= self._operating_point(what, values, pairs, weights, rng)
        found |= self._whole_curves(pairs, weights)
        if self.published:
            self._add_curves(pairs)
        return found

    def fit_rows(self, seed: int) -> Iterator[dict]:
        """Describe what the `val` split of the seed at a position decided."""
        for what, threshold in self.thresholds[seed].items():
            yield threshold_row(self.name(f"{PLAIN}_{what}"), threshold)

    def _operating_point(self, what, values, pairs, weights, rng) -> dict[Identity, Candidate]:
        """Give the cascade at a chosen threshold, and the random deferral of as many."""
        masks = [
            cascade.deferred(pair.small.gates[PLAIN], value)
            for pair, value in zip(pairs, values, strict=True)
        ]
        random = [controls.random_deferral(len(m), int(m.sum()), rng) for m in masks]
        rate = float(np.mean([mask.mean() for mask in masks]))
        gmacs = cascade.expected_gmacs(*self.costs, rate)
        control = self.name(f"random_{what}")
        return {
            control: self._joined(pairs, random, weights, gmacs, None),
            self.name(f"{PLAIN}_{what}"): self._joined(pairs, masks, weights, gmacs, control),
        }

    def _joined(self, pairs, masks, weights, gmacs, baseline) -> Candidate:
        values = []
        for pair, mask, part in zip(pairs, masks, weights, strict=True):
            joint = pair.joined(mask)
            accuracy = {"accuracy": weighted_mean(joint.correct, part)}
            values.append(accuracy | reading_values(joint, part))
        return Candidate([], gmacs, self.balance, baseline, values=values)

    def _whole_curves(self, pairs, weights) -> dict[Identity, Candidate]:
        """Give the metrics of deferral curves, over all thresholds."""
        small = [pair.small.correct for pair in pairs]
        large = [pair.large.correct for pair in pairs]
        # All samples tied: whatever is deferred, it is a random part.
        tied = [np.zeros(len(own)) for own in small]
        gain_first = [s.astype(np.int8) - z for s, z in zip(small, large, strict=True)]
        random, plain = self.name("random"), self.name(PLAIN)
        wanted = [
            (random, tied, None),
            (self.name("oracle"), gain_first, random),
            (plain, [pair.small.gates[PLAIN] for pair in pairs], random),
        ]
        for gate in self.gates[1:]:
            wanted.append((self.name(gate), [pair.small.gates[gate] for pair in pairs], plain))
        interval = partial(self.job.board.interval, "test")
        found = {}
        for identity, order, baseline in wanted:
            values, notes = deferral_values(order, small, large, weights, self.costs, interval)
            found[identity] = Candidate(
                [], None, self.balance, baseline, values=values, notes=notes
            )
        return found

    def _add_curves(self, pairs: Sequence[AnswerPair]) -> None:
        weights = self.job.curve_weights()
        for gate in self.gates:
            joint = [
                evaluate_deferral(
                    pair.small.gates[gate], pair.small.correct, pair.large.correct, part, GRID
                ).accuracy_at.T
                for pair, part in zip(pairs, weights, strict=True)
            ]
            points = curve_points(GRID, self.job.mean_curve(joint), self.job.settings.level)
            self._append(self.name(gate), points)
        lines = [reference_lines(own.small.correct, own.large.correct, GRID) for own in pairs]
        for variant in lines[0]:
            height = np.mean([line[variant] for line in lines], axis=0)
            points = [{"x": float(x), "y": float(y)} for x, y in zip(GRID, height, strict=True)]
            self._append(self.name(variant), points)

    def _append(self, identity: Identity, points) -> None:
        place = {**self.job.facts, "split": "test", **identity._asdict(), "curve": "deferral"}
        self.job.curves += [{**place, **point} for point in points]
