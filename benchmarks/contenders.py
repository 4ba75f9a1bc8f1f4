"""The evaluation engine and its peers, on the same synthetic logits (about 80 % accuracy)."""

import importlib.util
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

# Pairs whose statistics are held at once, whatever the number of pairs.
_SCORED_TOGETHER = 16


def make_logits(rows: int, classes: int, models: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Make correlated logits (rows, classes) float32 of some models, and labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, rows)
    common = rng.standard_normal((rows, classes), dtype=np.float32)
    common[np.arange(rows), labels] += 1.28 * np.sqrt(2 * np.log(classes))
    logits = []
    for _ in range(models):
        own = rng.standard_normal((rows, classes), dtype=np.float32)
        own *= 1.5
        own += 3 * common
        logits.append(own)
    return logits, labels


def make_cached(rows: int, classes: int, models: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Make the same as the logit cache holds them: centred float16."""
    logits, labels = make_logits(rows, classes, models)
    cached = []
    while logits:
        own = logits.pop(0)
        own -= own.max(axis=1, keepdims=True)
        cached.append(own.astype(np.float16))
    return cached, labels


def our_metrics(rows: int, classes: int) -> Callable[[], object]:
    """All metrics of one predictor, from cached logits (in single precision)."""
    from sidekick.metrics import (
        Combination,
        combined_statistics,
        evaluate_statistics,
        unit_weights,
    )

    logits, labels = make_cached(rows, classes, 1)

    def run():
        (found,), _ = combined_statistics(logits, labels, [Combination([0], [1.0])])
        return evaluate_statistics(found, unit_weights(rows))

    return run


def our_metrics_in_double(rows: int, classes: int) -> Callable[[], object]:
    """All metrics of one predictor, from float32 logits and in double precision."""
    from sidekick.metrics import evaluate_statistics, sample_statistics, unit_weights

    (logits,), labels = make_logits(rows, classes, 1)
    return lambda: evaluate_statistics(sample_statistics(logits, labels), unit_weights(rows))


def peer_metrics(rows: int, classes: int) -> Callable[[], object]:
    """Nine metrics of torchmetrics and torch-uncertainty, from float32 logits."""
    import torch

    torch.set_num_threads(1)
    (logits,), labels = make_logits(rows, classes, 1)
    logits, labels = torch.from_numpy(logits), torch.from_numpy(labels)
    return lambda: library_metrics(logits.softmax(dim=1), labels)


def library_metrics(probabilities, labels) -> list[float]:
    """Accuracy, F1, NLL, Brier, ECE, AUROC, AURC, AUGRC and one coverage at a risk.

    Ours has nine more coverages, E-AURC and the overlap.
    """
    from torchmetrics.functional.classification import (
        binary_auroc,
        multiclass_accuracy,
        multiclass_calibration_error,
        multiclass_f1_score,
    )

    classes = probabilities.shape[1]
    confidence, predicted = probabilities.max(dim=1)
    risk_coverage = _torch_uncertainty("risk_coverage")
    values = [
        multiclass_accuracy(predicted, labels, classes, average="micro"),
        multiclass_f1_score(predicted, labels, classes, average="macro"),
        multiclass_calibration_error(probabilities, labels, classes, n_bins=15),
        binary_auroc(confidence, (predicted == labels).int()),
    ]
    for metric in (
        _torch_uncertainty("categorical_nll").CategoricalNLL(),
        _torch_uncertainty("brier_score").BrierScore(num_classes=classes),
        risk_coverage.AURC(),
        risk_coverage.AUGRC(),
        risk_coverage.CovAt5Risk(),
    ):
        metric.update(probabilities, labels)
        values.append(metric.compute())
    return [float(value) for value in values]


_LOADED = {}


def _torch_uncertainty(module: str):
    """Load one module by its file: the package itself imports lightning, which we do without."""
    if module not in _LOADED:
        package = importlib.util.find_spec("torch_uncertainty").submodule_search_locations[0]
        path = Path(package, "metrics", "classification", f"{module}.py")
        spec = importlib.util.spec_from_file_location(f"torch_uncertainty_{module}", path)
        _LOADED[module] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(_LOADED[module])
    return _LOADED[module]


def our_fit(rows: int, classes: int, models: int) -> Callable[[], float]:
    """Fit a temperature (one model) or a duo (two) to cached logits."""
    from sidekick.methods.weight_fit import fit_weights

    logits, labels = make_cached(rows, classes, models)
    return lambda: fit_weights(logits, labels).nll


def peer_fit(rows: int, classes: int, models: int) -> Callable[[], float]:
    """Fit the same, from the numbers of the cache, by LBFGS with strong-Wolfe search in torch."""
    import torch

    torch.set_num_threads(1)
    logits, labels = make_cached(rows, classes, models)
    logits = [torch.from_numpy(own.astype(np.float32)) for own in logits]
    labels = torch.from_numpy(labels)
    return lambda: _library_fit(logits, labels)[1]


def _library_fit(logits: Sequence, labels) -> tuple[object, float]:
    """Give the weights and the NLL; of two ways to write the sum, the faster one."""
    import torch

    stacked = torch.stack(tuple(logits)) if len(logits) > 1 else logits[0]
    weights = torch.full((len(logits),), 1.0 / len(logits), requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        combined = torch.tensordot(weights, stacked, 1) if len(logits) > 1 else weights * stacked
        loss = torch.nn.functional.cross_entropy(combined, labels)
        loss.backward()
        return loss

    optimiser.step(closure)
    return weights.detach(), closure().item()


def our_duos(rows: int, classes: int, models: int) -> Callable[[], list]:
    """Fit all duos of some models on half of the rows, and score them on the other half."""
    from sidekick.methods.weight_fit import fit_combinations
    from sidekick.metrics import (
        Combination,
        combined_statistics,
        evaluate_statistics,
        unit_weights,
    )

    logits, labels = make_cached(rows, classes, models)
    half = rows // 2
    val, test = [own[:half] for own in logits], [own[half:] for own in logits]
    pairs = list(combinations(range(models), 2))

    def run():
        fits = fit_combinations(val, labels[:half], pairs)
        scored, weights = [], unit_weights(rows - half)
        for first in range(0, len(pairs), _SCORED_TOGETHER):
            part = slice(first, first + _SCORED_TOGETHER)
            used = sorted({model for pair in pairs[part] for model in pair})
            duos = [
                Combination([used.index(model) for model in pair], fit.weights)
                for pair, fit in zip(pairs[part], fits[part], strict=True)
            ]
            found, _ = combined_statistics([test[model] for model in used], labels[half:], duos)
            scored += [evaluate_statistics(own, weights) for own in found]
        return scored

    return run


def peer_duos(rows: int, classes: int, pairs: int) -> Callable[[], list]:
    """Fit and score some pairs, one after the other, in torch."""
    import torch

    torch.set_num_threads(1)
    models = next(m for m in range(2, pairs + 2) if m * (m - 1) // 2 >= pairs)
    cached, labels = make_cached(rows, classes, models)
    logits = [torch.from_numpy(own.astype(np.float32)) for own in cached]
    half, labels = rows // 2, torch.from_numpy(labels)

    def run():
        scored = []
        for pair in list(combinations(range(models), 2))[:pairs]:
            weights, _ = _library_fit([logits[model][:half] for model in pair], labels[:half])
            combined = sum(w * logits[model][half:] for w, model in zip(weights, pair, strict=True))
            scored.append(library_metrics(combined.softmax(dim=1), labels[half:]))
        return scored

    return run
