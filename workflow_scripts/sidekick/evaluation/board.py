"""Turn bootstrap replicates of predictors into rows of the leaderboard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sidekick.evaluation.identity import Identity
from sidekick.logit_cache import ShiftCell
from sidekick.metrics import METRICS, intervals, mean_over_seeds


@dataclass(frozen=True)
class Outcome:
    """A predictor's metrics on one cell.

    Attributes
    ----------
    values
        Metric to (S, 1 + B) float64: seeds by the actual sample (first) and its resamples.
    samples
        Samples per seed.
    gmacs
        Expected cost per sample, mean over seeds; None for metrics over all operating points.
    flops_balance
        GMACs(small) / GMACs(large), for pairs.
    baseline
        The matched control.
    published
        False for a control whose own rows another job writes.
    notes
        Metric to the reason why it is undefined, or what to know about it.
    remark
        What is to be known about the predictor as such.
    """

    values: Mapping[str, np.ndarray]
    samples: int
    gmacs: float | None
    flops_balance: float | None = None
    baseline: Identity | None = None
    published: bool = True
    notes: Mapping[str, str] = field(default_factory=dict)
    remark: str | None = None


class Board:
    """Collects the rows of one evaluation job.

    Parameters
    ----------
    facts
        `benchmark` and `dataset` of all rows.
    seed_weights
        By split, (B, S): how often each seed occurs in each resample.
    level
        Coverage of the intervals.
    cells
        Whether there are rows of single shift cells, or only of means over corruptions.
    """

    def __init__(
        self,
        facts: Mapping[str, str],
        seed_weights: Mapping[str, np.ndarray],
        level: float,
        cells: bool = True,
    ):
        self._facts = {key: facts[key] for key in ("benchmark", "dataset")}
        self._level = level
        self._cells = cells
        self._seed_weights = seed_weights
        self._seeds = next(iter(seed_weights.values())).shape[1]
        self.rows: list[dict] = []
        self._shifted: list[tuple] = []

    def add(self, split: str, cell: ShiftCell | None, outcomes: Mapping[Identity, Outcome]) -> None:
        """Add the rows of some predictors on one cell; baselines must be among them."""
        combined, deltas = self._compare(split, outcomes)
        place = {"split": split}
        if cell is not None:
            place |= {"corruption": cell.corruption, "severity": cell.severity}
            self._shifted.append((cell, outcomes, combined, deltas))
            if not self._cells:
                return
        self._add_rows(place, outcomes, combined, deltas)

    def add_part(
        self, split: str, place: Mapping[str, str], outcomes: Mapping[Identity, Outcome]
    ) -> None:
        """Add the rows of some predictors on a part of a split that `place` names."""
        self._add_rows({"split": split, **place}, outcomes, *self._compare(split, outcomes))

    def _compare(self, split: str, outcomes: Mapping[Identity, Outcome]) -> tuple[dict, dict]:
        """Give the values of predictors, averaged over seeds, and differences to baselines."""
        combined = {
            identity: {metric: self._combine(split, own) for metric, own in outcome.values.items()}
            for identity, outcome in outcomes.items()
        }
        deltas = {
            identity: _difference(combined[identity], combined[outcome.baseline])
            for identity, outcome in outcomes.items()
            if outcome.baseline is not None
        }
        return combined, deltas

    def add_shift_means(self) -> None:
        """Add means over the corruptions since the last call: per severity, and over everything.

        The clean samples behind all cells are the same, and so are their resampling weights:
        the mean over cells is taken within each resample. A difference is averaged over the
        cells where both sides are defined, so that it stays paired.
        """
        parts, self._shifted = self._shifted, []
        severities: list[int | None] = sorted({cell.severity for cell, *_ in parts})
        for severity in [*severities, None] if parts else []:
            members = [part for part in parts if severity in (None, part[0].severity)]
            place = {"split": "shift", "corruption": "mean", "severity": severity}
            outcomes, combined, deltas = {}, {}, {}
            for identity in members[0][1]:
                own = [outcome[identity] for _, outcome, _, _ in members]
                combined[identity], notes = _mean([values[identity] for _, _, values, _ in members])
                if own[0].baseline is not None:
                    differences = [delta[identity] for _, _, _, delta in members]
                    deltas[identity], missing = _mean(differences, "difference undefined")
                    notes = {**missing, **notes}
                outcomes[identity] = replace(own[0], gmacs=_mean_gmacs(own), notes=notes)
            self._add_rows(place, outcomes, combined, deltas)

    def interval(self, split: str, values: np.ndarray) -> tuple[float, float, float]:
        """Give value and interval of one metric from its (S, 1 + B) replicates."""
        found = intervals(self._combine(split, values)[None], self._level)
        return found.value[0], found.low[0], found.high[0]

    def _combine(self, split: str, values: np.ndarray) -> np.ndarray:
        """Average (S, 1 + B) replicates over seeds."""
        if len(values) == 1:
            # One predictor made of all seeds: resampling the seeds does not apply to it.
            return values[0]
        return mean_over_seeds(values, self._seed_weights[split])

    def _add_rows(self, place, outcomes, combined, deltas) -> None:
        for identity, outcome in outcomes.items():
            if not outcome.published:
                continue
            own = combined[identity]
            metrics = list(own)
            values = np.stack([own[metric] for metric in metrics])
            found = intervals(values, self._level)
            compared = deltas.get(identity, {})
            if compared:
                delta = intervals(np.stack(list(compared.values())), self._level)
                position = {metric: index for index, metric in enumerate(compared)}
            for index, metric in enumerate(metrics):
                row = {
                    **self._facts,
                    **place,
                    **identity._asdict(),
                    "seeds": self._seeds,
                    "samples": outcome.samples,
                    "gmacs": outcome.gmacs,
                    "flops_balance": outcome.flops_balance,
                    "metric": metric,
                    "value": float(found.value[index]),
                    "low": float(found.low[index]),
                    "high": float(found.high[index]),
                    "higher_is_better": METRICS[metric].higher_is_better,
                }
                if metric in compared:
                    row |= {
                        "baseline": outcome.baseline.label,
                        "delta": float(delta.value[position[metric]]),
                        "delta_low": float(delta.low[position[metric]]),
                        "delta_high": float(delta.high[position[metric]]),
                    }
                own_note = _note(row, outcome.notes.get(metric))
                told = [note for note in (own_note, outcome.remark) if note is not None]
                self.rows.append(row | {"note": "; ".join(told) or None})


def _difference(
    own: Mapping[str, np.ndarray], baseline: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Give the paired differences in the metrics that both predictors have."""
    return {metric: own[metric] - baseline[metric] for metric in own if metric in baseline}


def _mean(
    parts: Sequence[Mapping[str, np.ndarray]], what: str = "undefined"
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Average metrics over cells, leaving out those where one is undefined; give notes on these."""
    combined, notes = {}, {}
    for metric in parts[0]:
        stacked = np.stack([values[metric] for values in parts])
        defined = np.isfinite(stacked)
        count = defined.sum(axis=0)
        total = np.where(defined, stacked, 0.0).sum(axis=0)
        combined[metric] = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
        if count[0] < len(parts):
            notes[metric] = f"{what} on {len(parts) - count[0]} of {len(parts)} corruptions"
    return combined, notes


def _mean_gmacs(parts: Sequence[Outcome]) -> float | None:
    costs = [outcome.gmacs for outcome in parts if outcome.gmacs is not None]
    return float(np.mean(costs)) if costs else None


def _note(row: Mapping, note: str | None) -> str | None:
    """Add to a remark the reason of every NaN in a row that it does not explain."""
    notes = [] if note is None else [note]
    if not np.isfinite(row["value"]):
        if note is None:
            notes.append("undefined")
    elif not np.isfinite(row["low"]):
        notes.append("no interval: undefined in over 5 % of resamples")
    elif "delta" not in row:
        pass
    elif not np.isfinite(row["delta"]):
        if "undefined" not in (note or ""):
            notes.append("no difference: the baseline is undefined")
    elif not np.isfinite(row["delta_low"]):
        notes.append("no interval of the difference: undefined in over 5 % of resamples")
    return "; ".join(notes) or None
