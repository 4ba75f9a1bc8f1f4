"""Evaluate pairs of models: duos and cascades, against their matched controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from sidekick.artifacts import read_json
from sidekick.evaluation.board import Identity
from sidekick.evaluation.curves import GRID, curve_points
from sidekick.evaluation.deferral import deferral_values, reference_lines
from sidekick.evaluation.run import Candidate, Evaluation, Settings, as_list, gmacs_of
from sidekick.logit_cache import CachedLogits
from sidekick.methods import cascade, controls, duo
from sidekick.methods.prediction import Prediction
from sidekick.methods.temperature import fit_temperature, scale
from sidekick.methods.weight_fit import WeightFit
from sidekick.metrics import evaluate_deferral, max_softmax


@dataclass(frozen=True)
class PairFits:
    """What one seed's `val` split decides: nothing here ever sees `test`."""

    large: WeightFit
    small: WeightFit
    duo: WeightFit
    noise_duo: WeightFit
    thresholds: Mapping[float, float]


def evaluate_pairs(
    *,
    logits: Mapping[str, Sequence[str]],
    flops: Sequence[str],
    model: str,
    seeds: Sequence[int],
    deferral_ratios: Sequence[float],
    evaluation: Mapping,
    facts: Mapping[str, str],
    metrics: str,
    curves: str,
    fits: str,
) -> None:
    """Write the rows of all pairs of `model` with the other models whose logits are given.

    Parameters
    ----------
    logits
        `val`, `test` and `shift` to the logit files of all the models and seeds.
    flops
        The models' FLOPs files; of each pair the model with more GMACs is the large one.
    model
        The model that is in every pair.
    seeds, deferral_ratios, evaluation, facts
        From the config.
    metrics, curves, fits
        The Parquet files to write.
    """
    counted = {entry["facts"]["model"]: entry for entry in map(read_json, as_list(flops))}
    paths = {split: as_list(files) for split, files in logits.items()}
    job = Evaluation(paths, seeds, Settings(**evaluation), facts)
    for partner in counted:
        if partner != model:
            # Equal costs are possible; the name then decides, so that both orders agree.
            small, large = sorted((model, partner), key=lambda m: (gmacs_of(counted, m), m))
            costs = gmacs_of(counted, small), gmacs_of(counted, large)
            _Pair(job, small, large, costs, deferral_ratios).evaluate()
    job.write(metrics, curves, fits)


class _Pair:
    """One pair on all splits and seeds."""

    def __init__(
        self,
        job: Evaluation,
        small: str,
        large: str,
        costs: tuple[float, float],
        deferral_ratios: Sequence[float],
    ):
        self.job, self.small, self.large = job, small, large
        self.small_gmacs, self.large_gmacs = costs
        self.balance = self.small_gmacs / self.large_gmacs
        self.fits = [self._fit(caches, deferral_ratios) for caches in job.caches["val"]]
        self.reference = Identity("temperature", "scaled", large, None, "finetune")

    def evaluate(self) -> None:
        """Add the pair's metrics, curves and fits to the job."""
        self.job.run([self.small, self.large], self._candidates)
        self._add_deferral_curves()
        for seed, fit in zip(self.job.seeds, self.fits, strict=True):
            self.job.fits += [
                {**self.job.facts, "seed": seed, **row} for row in self._fit_rows(fit)
            ]

    def _identity(self, predictor: str, variant: str) -> Identity:
        return Identity(predictor, variant, self.large, self.small, "finetune")

    def _fit(self, val: Mapping[str, CachedLogits], ratios: Sequence[float]) -> PairFits:
        large, small = val[self.large].logits, val[self.small].logits
        labels = val[self.large].labels
        noise = controls.noise_sidekick(small, self.job.rng())
        confidence = max_softmax(small)
        return PairFits(
            large=fit_temperature(large, labels),
            small=fit_temperature(small, labels),
            duo=duo.fit_duo(large, small, labels),
            noise_duo=duo.fit_duo(large, noise, labels),
            thresholds={ratio: cascade.threshold_for_ratio(confidence, ratio) for ratio in ratios},
        )

    def _candidates(self, split, cells, weights) -> dict[Identity, Candidate]:
        rng = self.job.rng()
        large = [cell[self.large].logits.astype(np.float64) for cell in cells]
        small = [cell[self.small].logits.astype(np.float64) for cell in cells]
        labels = [cell[self.large].labels for cell in cells]
        parts = list(zip(large, small, self.fits, strict=True))
        scaled_large = [scale(z, fit.large) for z, _, fit in parts]
        scaled_small = [scale(z, fit.small) for _, z, fit in parts]
        noise = [controls.noise_sidekick(z, rng) for z in small]
        duos = {
            "weighted": [duo.weighted(zl, zs, fit.duo) for zl, zs, fit in parts],
            "unweighted": [duo.unweighted(zl, zs, fit.large, fit.small) for zl, zs, fit in parts],
            "uq_only": [duo.uq_only(zl, zs, fit.duo) for zl, zs, fit in parts],
            "weighted_as_released": [
                duo.weighted_as_released(zl, zs, fit.duo) for zl, zs, fit in parts
            ],
            "noise_sidekick": [
                duo.weighted(zl, shuffled, fit.noise_duo)
                for (zl, _, fit), shuffled in zip(parts, noise, strict=True)
            ],
        }
        candidates = {self.reference: Candidate(scaled_large, self.large_gmacs, published=False)}
        for variant, predictions in duos.items():
            candidates[self._identity("duo", variant)] = Candidate(
                predictions, self.small_gmacs + self.large_gmacs, self.balance, self.reference
            )
        confidence = [max_softmax(z) for z in small]
        for ratio in self.fits[0].thresholds:
            candidates |= self._operating_points(
                ratio, confidence, scaled_small, scaled_large, duos["weighted"], rng
            )
        candidates |= self._whole_curves(
            split, confidence, labels, weights, scaled_small, scaled_large, duos["weighted"]
        )
        return candidates

    def _operating_points(self, ratio, confidence, small, large, duos, rng):
        """Give the cascades that defer about `ratio`, and the random deferral of as many."""
        masks = [
            cascade.deferred(own, fit.thresholds[ratio])
            for own, fit in zip(confidence, self.fits, strict=True)
        ]
        random = [controls.random_deferral(len(m), int(m.sum()), rng) for m in masks]
        rate = float(np.mean([mask.mean() for mask in masks]))
        gmacs = cascade.expected_gmacs(self.small_gmacs, self.large_gmacs, rate)
        suffix = f"defer{round(100 * ratio)}"
        control = self._identity("cascade", f"random_{suffix}")
        plain = self._identity("cascade", f"max_softmax_{suffix}")
        combined = self._identity("duo_cascade", f"max_softmax_{suffix}")

        def join(answers: Sequence[Prediction], chosen: Sequence[np.ndarray]) -> list[Prediction]:
            return [cascade.cascade(*part) for part in zip(small, answers, chosen, strict=True)]

        return {
            control: Candidate(join(large, random), gmacs, self.balance),
            plain: Candidate(join(large, masks), gmacs, self.balance, control),
            combined: Candidate(join(duos, masks), gmacs, self.balance, plain),
        }

    def _whole_curves(self, split, confidence, labels, weights, small, large, duos):
        """Give the metrics of deferral curves, over all thresholds."""
        costs = self.small_gmacs, self.large_gmacs
        right = {
            name: [_correct(p, y) for p, y in zip(group, labels, strict=True)]
            for name, group in (("small", small), ("large", large), ("duo", duos))
        }
        # All samples tied: whatever is deferred, it is a random part.
        tied = [np.zeros(len(own)) for own in labels]
        gain_first = [s - z for s, z in zip(right["small"], right["large"], strict=True)]
        random = self._identity("cascade", "random")
        plain = self._identity("cascade", "max_softmax")
        candidates = {}
        board_interval = partial(self.job.board.interval, split)
        for identity, order, answers, baseline in (
            (random, tied, "large", None),
            (self._identity("cascade", "oracle"), gain_first, "large", random),
            (plain, confidence, "large", random),
            (self._identity("duo_cascade", "max_softmax"), confidence, "duo", plain),
        ):
            values, notes = deferral_values(
                order, right["small"], right[answers], weights, costs, board_interval
            )
            candidates[identity] = Candidate(
                [], None, self.balance, baseline, values=values, notes=notes
            )
        return candidates

    def _add_deferral_curves(self) -> None:
        weights = self.job.curve_weights()
        cells = self.job.caches["test"]
        labels = [cell[self.large].labels for cell in cells]
        large = [cell[self.large].logits for cell in cells]
        small = [cell[self.small].logits for cell in cells]
        answers = {
            "small": [Prediction(z) for z in small],
            "cascade": [Prediction(z) for z in large],
            "duo_cascade": [
                duo.weighted(zl, zs, fit.duo)
                for zl, zs, fit in zip(large, small, self.fits, strict=True)
            ],
        }
        right = {
            name: [_correct(p, y) for p, y in zip(group, labels, strict=True)]
            for name, group in answers.items()
        }
        confidence = [max_softmax(z) for z in small]
        for predictor in ("cascade", "duo_cascade"):
            parts = zip(confidence, right["small"], right[predictor], weights, strict=True)
            joint = [evaluate_deferral(*part, GRID).accuracy_at.T for part in parts]
            points = curve_points(GRID, self.job.mean_curve(joint), self.job.settings.level)
            self._append_curve(self._identity(predictor, "max_softmax"), points)
        lines = [
            reference_lines(own, other, GRID)
            for own, other in zip(right["small"], right["cascade"], strict=True)
        ]
        for variant in lines[0]:
            height = np.mean([line[variant] for line in lines], axis=0)
            points = [{"x": float(x), "y": float(y)} for x, y in zip(GRID, height, strict=True)]
            self._append_curve(self._identity("cascade", variant), points)

    def _append_curve(self, identity: Identity, points) -> None:
        place = {**self.job.facts, "split": "test", **identity._asdict(), "curve": "deferral"}
        self.job.curves += [{**place, **point} for point in points]

    def _fit_rows(self, fit: PairFits):
        for variant, own in (("weighted", fit.duo), ("noise_sidekick", fit.noise_duo)):
            divisors = duo.divisors(own.weights)
            yield {
                **self._identity("duo", variant)._asdict(),
                "weight_large": float(own.weights[0]),
                "weight_small": float(own.weights[1]),
                "divisor_large": float(divisors[0]),
                "divisor_small": float(divisors[1]),
                "val_nll": own.nll,
                "iterations": own.iterations,
                "gradient_norm": own.gradient_norm,
                "small_at_zero": bool(own.at_zero[1]),
                "note": own.note,
            }
        for ratio, threshold in fit.thresholds.items():
            yield {
                **self._identity("cascade", f"max_softmax_defer{round(100 * ratio)}")._asdict(),
                "threshold": threshold,
                "deferral_ratio": ratio,
            }


def _correct(prediction: Prediction, labels: np.ndarray) -> np.ndarray:
    return (prediction.answers == labels).astype(np.float64)
