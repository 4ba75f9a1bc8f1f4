"""The loop that every evaluation job shares: splits, shift cells, seeds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sidekick.artifacts import read_facts, write_table
from sidekick.errors import SidekickError
from sidekick.evaluation.board import Board, Outcome
from sidekick.evaluation.curves import (
    COVERAGES,
    CURVE_REPLICATES,
    curve_points,
    reliability_points,
    risk_coverage_curves,
)
from sidekick.evaluation.identity import Identity, Member
from sidekick.evaluation.tables import (
    CURVES_SCHEMA,
    FITS_SCHEMA,
    METRICS_SCHEMA,
    PARTS_SCHEMA,
    to_table,
)
from sidekick.logit_cache import CachedLogits, ShiftCell, read_logits, require_same_samples
from sidekick.logit_cache.answers import CachedAnswers, read_answers, require_same_questions
from sidekick.methods.prediction import Prediction
from sidekick.metrics import (
    Resampler,
    SampleStatistics,
    evaluate_part,
    evaluate_statistics,
    mean_over_seeds,
    undefined_reason,
)

SPLITS = ("test", "shift")

# What tells the caches of one seed apart: a model, a recipe, or both.
Key = str | Member
# What a model said of a split: logits of classes, or answers that it generated.
Cache = CachedLogits | CachedAnswers
# One seed's caches, all rows in the same order.
SeedCaches = Mapping[Key, Cache]


@dataclass(frozen=True)
class Candidate:
    """A predictor on one cell, before it is scored.

    Attributes
    ----------
    predictions
        One per seed; a single one for a predictor made of all seeds; none if only `values` count.
        Statistics stand for a prediction that was never made as a whole.
    gmacs, flops_balance, baseline, published, notes, remark
        As in `Outcome`.
    values
        Further metrics, per seed: metric to (1 + B,) replicates.
    """

    predictions: Sequence[Prediction | SampleStatistics]
    gmacs: float | None
    flops_balance: float | None = None
    baseline: Identity | None = None
    published: bool = True
    values: Sequence[Mapping[str, np.ndarray]] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    remark: str | None = None


# From a split's name, the seeds' caches and their resampling weights ((1 + B, n) each, ones first)
# to candidates.
Predict = Callable[[str, Sequence[SeedCaches], Sequence[np.ndarray]], Mapping[Identity, Candidate]]


@dataclass(frozen=True)
class Settings:
    """How intervals are made: the config's `evaluation` block.

    Attributes
    ----------
    replicates
        Resamples by split.
    level
        Coverage of the intervals.
    seed
        Of the resampling and of the random controls.
    """

    replicates: Mapping[str, int]
    level: float
    seed: int


class Evaluation:
    """One evaluation job: its caches, its board and its curves.

    Parameters
    ----------
    paths
        Split to the logit files of all models and seeds.
    seeds
        The benchmark's seeds.
    settings
        Of the intervals.
    facts
        `benchmark` and `dataset`; with files told apart by recipe their `model`, too.
    by
        What tells a seed's files apart: their `model`, their `recipe`, or both as a `member`.
    lazily
        Whether to read one file per split and seed only for now; others follow by `hold`.
    cells
        As in `Board`.
    generated
        Whether the files hold generated answers instead of logits.

    Attributes
    ----------
    passes
        Key to forward passes per sample: more than one for an ensemble.
    """

    def __init__(
        self,
        paths: Mapping[str, Sequence[str]],
        seeds: Sequence[int],
        settings: Settings,
        facts: Mapping[str, str],
        by: str = "model",
        lazily: bool = False,
        cells: bool = True,
        generated: bool = False,
    ):
        self.seeds = list(seeds)
        self.settings = settings
        self._read = read_answers if generated else read_logits
        self._in_order_of = require_same_questions if generated else require_same_samples
        self._by = by
        same = ("dataset", "model") if by == "recipe" else ("dataset",)
        self._expected = {key: facts[key] for key in same}
        self.facts = {key: facts[key] for key in ("benchmark", "dataset")}
        self.passes: dict[Key, int] = {}
        self._files = {split: self._find(split, paths[split]) for split in paths}
        self.caches: dict[str, list[dict[Key, Cache]]] = {
            split: [{} for _ in self.seeds] for split in paths
        }
        for split in paths:
            self.hold(split, self.keys[:1] if lazily else self.keys)
        # A dataset may come without a shift set; its caches then have no rows.
        self._splits = [
            split for split in SPLITS if any(len(_any(seed)) for seed in self.caches.get(split, []))
        ]
        self._resamplers = {split: self._resampler(split) for split in self._splits}
        self._rows = {split: self._weights(split) for split in self._splits}
        seed_weights = {split: own.seed_weights for split, own in self._resamplers.items()}
        self.board = Board(self.facts, seed_weights, settings.level, cells)
        # Of questions, the same by subject and by level.
        self._parts = Board(self.facts, seed_weights, settings.level)
        self.curves: list[dict] = []
        self.fits: list[dict] = []

    @property
    def keys(self) -> list[Key]:
        """All models, recipes or members that there are files of, sorted."""
        return sorted(next(iter(self._files.values()))[0])

    def run(self, keys: Sequence[Key], predict: Predict) -> None:
        """Score the candidates of `predict`, which sees the caches of `keys` only."""
        for split in self._splits:
            self.hold(split, keys)
            caches = [{key: seed[key] for key in keys} for seed in self.caches[split]]
            weights = self._rows[split]
            for cells in zip(*map(_cells, caches), strict=True):
                place = cells[0][0]
                seeds = [cell for _, cell in cells]
                candidates = predict(split, seeds, weights)
                self._score(split, place, seeds, weights, candidates)
        self.board.add_shift_means()

    def rng(self, stream: int = 0) -> np.random.Generator:
        """Give the generator of the random controls; `stream` tells independent uses apart."""
        return np.random.default_rng([self.settings.seed, stream])

    def curve_weights(self) -> list[np.ndarray]:
        """Give each seed's resampling weights on `test`, as many as bands of curves need."""
        return [weights[: 1 + CURVE_REPLICATES] for weights in self._rows["test"]]

    def mean_curve(self, curves: Sequence[np.ndarray]) -> np.ndarray:
        """Average the seeds' (1 + R, G) curves on `test`; the bands resample seeds as well."""
        if len(curves) == 1:
            return curves[0]
        by_point = np.moveaxis(np.stack(curves), -1, 0)
        drawn = self._resamplers["test"].seed_weights[: by_point.shape[-1] - 1]
        return mean_over_seeds(by_point, drawn).T

    def write(self, metrics: str, curves: str, fits: str, parts: str | None = None) -> None:
        """Write the job's tables."""
        for rows, schema, path in (
            (self.board.rows, METRICS_SCHEMA, metrics),
            (self.curves, CURVES_SCHEMA, curves),
            (self.fits, FITS_SCHEMA, fits),
            (self._parts.rows, PARTS_SCHEMA, parts),
        ):
            if path is None:
                continue
            write_table(to_table(rows, schema), path, self.facts, dictionary=True)

    def _score(self, split, cell, seeds, weights, candidates) -> None:
        caches = [_any(own) for own in seeds]
        outcomes, known = {}, {}
        for identity, candidate in candidates.items():
            statistics = [
                one.statistics(own.labels) if isinstance(one, Prediction) else one
                for one, own in zip(candidate.predictions, caches, strict=False)
            ]
            scored = [
                evaluate_statistics(own, resampled)
                for own, resampled in zip(statistics, weights, strict=False)
            ]
            values = {
                metric: np.stack([seed[metric] for seed in scored])
                for metric in (scored[0] if scored else ())
            }
            values |= {
                metric: np.stack([seed[metric] for seed in candidate.values])
                for metric in (candidate.values[0] if candidate.values else ())
            }
            outcomes[identity] = Outcome(
                values,
                len(caches[0]),
                candidate.gmacs,
                candidate.flops_balance,
                candidate.baseline,
                candidate.published,
                {**_reasons(values, statistics), **candidate.notes},
                candidate.remark,
            )
            known[identity] = statistics
            if split == "test" and statistics and candidate.published:
                self._add_curves(identity, statistics)
        self.board.add(split, cell, outcomes)
        if split == "test":
            self._add_parts([own.groups for own in caches], weights, outcomes, known)

    def _add_parts(self, groups, weights, outcomes, known) -> None:
        """Score predictors on each part of `test` that questions can be grouped into."""
        for grouping in groups[0]:
            for group in sorted(set(groups[0][grouping]) - {""}):
                rows = [np.flatnonzero(own[grouping] == group) for own in groups]
                found = {
                    identity: _part(outcomes[identity], statistics, rows, weights, known)
                    for identity, statistics in known.items()
                    if statistics
                }
                place = {"grouping": grouping, "group": group}
                self._parts.add_part("test", place, found)

    def _add_curves(self, identity, statistics) -> None:
        place = {**self.facts, "split": "test", **identity._asdict()}
        curve = self.mean_curve(risk_coverage_curves(statistics, self.curve_weights()))
        points = curve_points(COVERAGES, curve, self.settings.level)
        self.curves += [{**place, "curve": "risk_coverage", **point} for point in points]
        points = reliability_points(statistics, self.settings.level)
        self.curves += [{**place, "curve": "reliability", **point} for point in points]

    def hold(self, split: str, keys: Sequence[Key]) -> None:
        """Read the caches of these keys, and forget all others of the split.

        Rows are put in the order of their ids, so that no random control depends on their order
        in the files.
        """
        files = self._files[split]
        for caches, paths in zip(self.caches[split], files, strict=True):
            for key in set(caches) - set(keys):
                del caches[key]
            for key in keys:
                if key in caches:
                    continue
                cache = self._read(paths[key])
                if caches:
                    caches[key] = self._in_order_of(_any(caches), cache)
                else:
                    order = np.argsort(cache.sample_ids.astype(np.str_), kind="stable")
                    caches[key] = cache.take(order)

    def _find(self, split: str, paths: Sequence[str]) -> list[dict[Key, str]]:
        """Sort files by seed and key, as their own metadata say."""
        by_seed: dict[int, dict[Key, str]] = {seed: {} for seed in self.seeds}
        for path in paths:
            seed, key = self._origin(split, path)
            if key in by_seed[seed]:
                raise SidekickError(
                    f"{by_seed[seed][key]} and {path}: both are of {self._named(key)}, seed {seed}"
                )
            by_seed[seed][key] = str(path)
        keys = sorted({key for files in by_seed.values() for key in files})
        if not keys:
            raise SidekickError(f"no logits of the {split} split were given")
        for seed, files in by_seed.items():
            for key in keys:
                if key not in files:
                    raise SidekickError(f"no {split} logits of {self._named(key)}, seed {seed}")
        return list(by_seed.values())

    def _named(self, key: Key) -> str:
        if isinstance(key, Member):
            return f"model '{key.model}', recipe '{key.recipe}'"
        return f"{self._by} '{key}'"

    def _origin(self, split: str, path: str) -> tuple[int, Key]:
        facts = read_facts(path)
        for key, expected in {**self._expected, "split": split}.items():
            if facts.get(key, expected) != expected:
                raise SidekickError(
                    f"{path}: these are logits of {key} '{facts[key]}', expected '{expected}'"
                )
        names = Member._fields if self._by == "member" else (self._by,)
        try:
            seed, own = int(facts["seed"]), [facts[name] for name in names]
        except (KeyError, ValueError):
            told = " and ".join([*names, "seed"])
            raise SidekickError(f"{path}: its metadata name no {told}") from None
        if seed not in self.seeds:
            raise SidekickError(f"{path}: seed {seed} is not one of {self.seeds}")
        key = Member(*own) if self._by == "member" else own[0]
        self.passes[key] = int(facts.get("members", 1))
        return seed, key

    def _resampler(self, split: str) -> Resampler:
        # All parts of a shift set hold the same samples, so the first one's ids stand for all.
        caches = [_any(seed) for seed in self.caches[split]]
        parts = [_require_equal_parts(cache) for cache in caches]
        keys = list(parts[0])
        for cache, own in zip(caches, parts, strict=True):
            if list(own) != keys:
                raise SidekickError(
                    f"{caches[0].source} and {cache.source}: different corruptions or severities"
                )
        ids = [own[keys[0]] for own in parts]
        return Resampler(ids, self.settings.replicates[split], self.settings.seed)

    def _weights(self, split: str) -> list[np.ndarray]:
        """Give each seed's resampling weights, (1 + B, n), ones first."""
        resampler = self._resamplers[split]
        return [resampler.weights_and_ones(index) for index in range(len(self.seeds))]


def _require_equal_parts(cache: Cache) -> dict[ShiftCell | None, list[str]]:
    """Give the sample ids of each shift cell (or of the whole split); they must be the same."""
    parts = {key: part.sample_ids.tolist() for key, part in cache.cells()}
    if not parts:
        raise SidekickError(f"{cache.source}: no samples, but other seeds have some")
    first = next(iter(parts))
    for key, ids in parts.items():
        if ids != parts[first]:
            raise SidekickError(f"{cache.source}: {key} and {first} hold different samples")
    return parts


def _part(
    outcome: Outcome,
    statistics: Sequence[SampleStatistics],
    rows: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    known: Mapping[Identity, Sequence[SampleStatistics]],
) -> Outcome:
    """Score one predictor on some rows of each seed, by few metrics."""
    scored = [
        evaluate_part(own.take(chosen), resampled[:, chosen])
        for own, chosen, resampled in zip(statistics, rows, weights, strict=False)
    ]
    values = {metric: np.stack([seed[metric] for seed in scored]) for metric in scored[0]}
    baseline = outcome.baseline if known.get(outcome.baseline) else None
    return replace(outcome, values=values, samples=len(rows[0]), notes={}, baseline=baseline)


def _any(caches: SeedCaches) -> Cache:
    return next(iter(caches.values()))


def _cells(caches: SeedCaches):
    """Give each shift cell (or the whole split) with all models' rows in it."""
    for parts in zip(*(cache.cells() for cache in caches.values()), strict=True):
        key = parts[0][0]
        yield key, dict(zip(caches, (cache for _, cache in parts), strict=True))


def _reasons(values, statistics) -> dict[str, str]:
    reasons = {}
    for metric, replicates in values.items():
        for index in np.flatnonzero(np.isnan(replicates[:, 0])):
            reason = undefined_reason(metric, statistics[index]) if statistics else None
            if reason is not None:
                reasons[metric] = f"undefined for a seed: {reason}"
    return reasons


def gmacs_of(flops: Mapping[str, dict], model: str) -> float:
    """Look up a model's GMACs.

    Raises
    ------
    SidekickError
        If they were not counted, or are not positive.
    """
    try:
        value = float(flops[model]["gmacs"])
    except KeyError:
        raise SidekickError(f"model '{model}': its GMACs were not counted") from None
    if not value > 0:
        raise SidekickError(f"model '{model}': {value} GMACs; expected a positive number")
    return value


def as_list(paths: str | Sequence[str]) -> list[str]:
    """Snakemake hands over a single input as a string."""
    return [paths] if isinstance(paths, str | Path) else list(paths)
