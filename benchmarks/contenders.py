"""Ours and the peers, on the same synthetic logits (about 80 % accuracy)."""

from collections.abc import Callable

import numpy as np


def make_logits(rows: int, classes: int, models: int = 1) -> tuple[list[np.ndarray], np.ndarray]:
    """Make correlated logits (rows, classes) float32 of some models, and labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, rows)
    common = rng.normal(size=(rows, classes)).astype(np.float32)
    common[np.arange(rows), labels] += 1.2 * np.sqrt(2 * np.log(classes))
    noise = [rng.normal(size=(rows, classes)).astype(np.float32) for _ in range(models)]
    return [3 * (common + 0.5 * own) for own in noise], labels


def our_metrics(rows: int, classes: int) -> Callable[[], object]:
    """All metrics of one predictor."""
    from sidekick.metrics import evaluate_statistics, sample_statistics, unit_weights

    (logits,), labels = make_logits(rows, classes)

    def run():
        return evaluate_statistics(sample_statistics(logits, labels), unit_weights(rows))

    return run


def peer_metrics(rows: int, classes: int) -> Callable[[], object]:
    """Accuracy, macro-F1, NLL, Brier and ECE of torchmetrics and torch; AUROC of scikit-learn."""
    import torch
    from sklearn.metrics import roc_auc_score
    from torchmetrics.functional.classification import (
        multiclass_accuracy,
        multiclass_calibration_error,
        multiclass_f1_score,
    )

    torch.set_num_threads(1)
    (logits,), labels = make_logits(rows, classes)
    logits, labels = torch.from_numpy(logits), torch.from_numpy(labels)

    def run():
        probabilities = logits.softmax(dim=1)
        confidence, predicted = probabilities.max(dim=1)
        one_hot = torch.nn.functional.one_hot(labels, classes)
        return [
            multiclass_accuracy(probabilities, labels, classes, average="micro"),
            multiclass_f1_score(probabilities, labels, classes, average="macro"),
            torch.nn.functional.cross_entropy(logits, labels),
            ((probabilities - one_hot) ** 2).sum(dim=1).mean(),
            multiclass_calibration_error(probabilities, labels, classes, n_bins=15),
            roc_auc_score((predicted == labels).numpy(), confidence.numpy()),
        ]

    return run


def our_fit(rows: int, classes: int, models: int) -> Callable[[], object]:
    """Fit a temperature (one model) or a duo (two)."""
    from sidekick.methods.weight_fit import fit_weights

    logits, labels = make_logits(rows, classes, models)
    return lambda: fit_weights(logits, labels).nll


def peer_fit(rows: int, classes: int, models: int) -> Callable[[], object]:
    """Fit the same by LBFGS with strong-Wolfe line search in torch."""
    import torch

    torch.set_num_threads(1)
    logits, labels = make_logits(rows, classes, models)
    stacked, target = torch.from_numpy(np.stack(logits)), torch.from_numpy(labels)

    def run():
        weights = torch.full((models,), 1.0 / models, requires_grad=True)
        optimiser = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

        def closure():
            optimiser.zero_grad()
            combined = torch.tensordot(weights, stacked, 1)
            loss = torch.nn.functional.cross_entropy(combined, target)
            loss.backward()
            return loss

        optimiser.step(closure)
        return closure().item()

    return run


def our_bootstrap(rows: int, classes: int, replicates: int) -> Callable[[], object]:
    """All metrics of one predictor under every resample."""
    from sidekick.metrics import Resampler, evaluate_statistics, sample_statistics

    (logits,), labels = make_logits(rows, classes)
    ids = [f"sample{row:06d}" for row in range(rows)]

    def run():
        weights = Resampler([ids], replicates, 0).weights(0)
        return evaluate_statistics(sample_statistics(logits, labels), weights)

    return run


def peer_bootstrap(rows: int, classes: int, replicates: int) -> Callable[[], object]:
    """Resample rows and recompute the same metrics, one resample at a time."""
    from sidekick.metrics import evaluate_statistics, sample_statistics, unit_weights

    (logits,), labels = make_logits(rows, classes)

    def run():
        rng = np.random.default_rng(0)
        for _ in range(replicates):
            drawn = rng.integers(0, rows, rows)
            evaluate_statistics(sample_statistics(logits[drawn], labels[drawn]), unit_weights(rows))

    return run
