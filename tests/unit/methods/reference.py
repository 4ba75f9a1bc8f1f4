"""Fits of logit weights by other people's optimisers, and losses written out plainly."""

import numpy as np
import torch
from scipy.optimize import minimize


def nll(weights, logits, labels):
    """Mean negative log-likelihood of softmax(sum_k w_k z_k), one sample after the other."""
    losses = []
    for row, label in enumerate(labels):
        z = sum(w * own[row].astype(np.float64) for w, own in zip(weights, logits, strict=True))
        losses.append(np.logaddexp.reduce(z) - z[label])
    return np.mean(losses)


def nll_and_gradient(weights, logits, labels):
    stacked = np.stack([np.asarray(z, dtype=np.float64) for z in logits])
    stacked = stacked - stacked.max(axis=2, keepdims=True)
    z = np.tensordot(weights, stacked, 1)
    log_total = np.logaddexp.reduce(z, axis=1)
    p = np.exp(z - log_total[:, None])
    rows = np.arange(len(labels))
    gradient = (p * stacked).sum(axis=2) - stacked[:, rows, labels]
    return np.mean(log_total - z[rows, labels]), gradient.mean(axis=1)


def fit_by_scipy(logits, labels, method="L-BFGS-B"):
    """Minimise over weights >= 0; from two starting points, the better result."""
    options = {
        "L-BFGS-B": {"maxiter": 2000, "ftol": 1e-16, "gtol": 1e-12},
        "SLSQP": {"maxiter": 2000, "ftol": 1e-16},
    }[method]
    found = [
        minimize(
            nll_and_gradient,
            np.full(len(logits), start),
            args=(logits, labels),
            jac=True,
            bounds=[(0, None)] * len(logits),
            method=method,
            options=options,
        )
        for start in (0.01, 1.0)
    ]
    best = min(found, key=lambda result: result.fun)
    return best.x, best.fun


def fit_by_torch(logits, labels):
    """LBFGS with strong-Wolfe line search, without bounds, in double precision."""
    stacked = torch.tensor(np.stack(logits), dtype=torch.float64)
    target = torch.tensor(labels, dtype=torch.int64)
    weights = torch.full((len(logits),), 0.5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights],
        max_iter=500,
        tolerance_grad=1e-12,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )

    def loss():
        combined = torch.tensordot(weights, stacked, 1)
        return torch.nn.functional.cross_entropy(combined, target)

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)
    return weights.detach().numpy(), loss().item()
