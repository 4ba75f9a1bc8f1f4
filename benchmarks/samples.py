"""What is computed of each sample's outcome: cascades and bootstrap, beside their peers."""

from collections.abc import Callable
from itertools import permutations

import numpy as np

from benchmarks.contenders import library_metrics, make_cached

RATIOS = np.linspace(0.0, 1.0, 101)


def make_answers(rows: int, models: int) -> tuple[np.ndarray, np.ndarray]:
    """Make confidences and correctness (models, rows) of models of 60 to 85 % accuracy."""
    rng = np.random.default_rng(0)
    difficulty = rng.normal(size=rows)
    ease = np.linspace(0.4, 1.6, models)[:, None] - difficulty
    confidence = 1 / (1 + np.exp(-ease - 0.5 * rng.normal(size=(models, rows))))
    return confidence, ease + rng.normal(size=(models, rows)) > 0


def our_cascades(rows: int, models: int) -> Callable[[], list]:
    """Accuracy at 101 deferral ratios, area and s_d of all ordered pairs."""
    from sidekick.metrics import evaluate_deferral, unit_weights
    from sidekick.metrics.ties import tie_groups

    confidence, correct = make_answers(rows, models)
    once = unit_weights(rows)

    def run():
        found = []
        for small in range(models):
            groups = tie_groups(confidence[small])
            found += [
                evaluate_deferral(groups, correct[small], correct[large], once, RATIOS)
                for large in range(models)
                if large != small
            ]
        return found

    return run


def peer_cascades(rows: int, models: int) -> Callable[[], list]:
    """Take the answers of each ordered pair at each deferral ratio."""
    confidence, correct = make_answers(rows, models)

    def run():
        found = []
        for small, large in permutations(range(models), 2):
            order = np.argsort(confidence[small])
            curve = []
            for ratio in RATIOS:
                joint = correct[small].copy()
                deferred = order[: round(ratio * rows)]
                joint[deferred] = correct[large][deferred]
                curve.append(joint.mean())
            found.append(_s_d(curve, correct[small].mean(), correct[large].mean()))
        return found

    return run


def peer_cascades_summed(rows: int, models: int) -> Callable[[], list]:
    """Sum the gains along the order of deferral, once per ordered pair."""
    confidence, correct = make_answers(rows, models)
    places = np.round(RATIOS * rows).astype(int)

    def run():
        found = []
        for small, large in permutations(range(models), 2):
            order = np.argsort(confidence[small])
            gain = correct[large][order].astype(float) - correct[small][order]
            summed = np.concatenate([[0.0], np.cumsum(gain)])
            accuracy = correct[small].mean()
            curve = accuracy + summed[places] / rows
            found.append(_s_d(curve, accuracy, correct[large].mean()))
        return found

    return run


def _s_d(curve, small: float, large: float) -> float:
    area = np.trapezoid(curve, RATIOS) - (small + large) / 2
    return area / (small * (large - small) / 2)


def _make_duo(rows: int, classes: int):
    logits, labels = make_cached(rows, classes, 2)
    ids = [f"sample{row:06d}" for row in range(rows)]
    return logits, labels, ids


def our_bootstrap(rows: int, classes: int, replicates: int) -> Callable[[], object]:
    """Intervals of all metrics of a duo, and of their differences from the large model's."""
    from sidekick.metrics import (
        Combination,
        Resampler,
        combined_statistics,
        evaluate_statistics,
        intervals,
    )

    logits, labels, ids = _make_duo(rows, classes)

    def run():
        weights = Resampler([ids], replicates, 0).weights_and_ones(0)
        found, _ = combined_statistics(
            logits, labels, [Combination([0], [1.0]), Combination([0, 1], [0.6, 0.6])]
        )
        large, duo = (np.stack(list(evaluate_statistics(own, weights).values())) for own in found)
        return intervals(duo), intervals(duo - large)

    return run


def peer_bootstrap(rows: int, classes: int, replicates: int) -> Callable[[], object]:
    """Resample the probabilities and recompute the metrics with torch's libraries."""
    import torch

    torch.set_num_threads(1)
    logits, labels, _ = _make_duo(rows, classes)
    wide = [torch.from_numpy(own.astype(np.float32)) for own in logits]
    probabilities = [z.softmax(dim=1) for z in (wide[0], 0.6 * wide[0] + 0.6 * wide[1])]
    labels = torch.from_numpy(labels)

    def run():
        rng = np.random.default_rng(0)
        for _ in range(replicates):
            drawn = torch.from_numpy(rng.integers(0, rows, rows))
            for own in probabilities:
                library_metrics(own[drawn], labels[drawn])

    return run


def peer_bootstrap_of_statistics(rows: int, classes: int, replicates: int) -> Callable:
    """Resample our per-sample statistics and recompute our metrics, one resample at a time."""
    from dataclasses import fields, replace

    from sidekick.metrics import (
        Combination,
        combined_statistics,
        evaluate_statistics,
        unit_weights,
    )

    logits, labels, _ = _make_duo(rows, classes)
    found, _ = combined_statistics(
        logits, labels, [Combination([0], [1.0]), Combination([0, 1], [0.6, 0.6])]
    )
    names = [field.name for field in fields(found[0]) if field.name != "classes"]
    once = unit_weights(rows)

    def run():
        rng = np.random.default_rng(0)
        for _ in range(replicates):
            drawn = rng.integers(0, rows, rows)
            for own in found:
                resampled = {name: getattr(own, name)[drawn] for name in names}
                evaluate_statistics(replace(own, **resampled), once)

    return run
