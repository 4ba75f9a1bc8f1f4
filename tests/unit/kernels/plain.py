"""The kernels' results in plain numpy, in extended precision, one combination at a time."""

import numpy as np


def combine(logits, weights):
    """Weighted sum (n, C) of centred logits, -inf where an option is absent in any model."""
    total, absent = 0.0, False
    for own, weight in zip(logits, weights, strict=True):
        wide = np.asarray(own).astype(np.longdouble)
        wide = wide - wide.max(axis=1, keepdims=True)
        absent = absent | np.isneginf(wide)
        total = total + np.longdouble(weight) * np.where(np.isneginf(wide), 0.0, wide)
    return np.where(absent, -np.inf, total)


def softmax(z):
    mass = np.exp(z - z.max(axis=1, keepdims=True))
    return mass / mass.sum(axis=1, keepdims=True)


def statistics(logits, weights, labels):
    """Per row: NLL, Brier, answer and probability, and one less than that, of a combination."""
    z = combine(logits, weights)
    rows = np.arange(len(z))
    p = softmax(z)
    highest = z.max(axis=1)
    nll = np.log(np.exp(z - highest[:, None]).sum(axis=1)) + highest - z[rows, labels]
    wanted = np.zeros_like(p)
    wanted[rows, labels] = 1.0
    answers = z.argmax(axis=1)
    others = p.copy()
    others[rows, answers] = 0.0
    return {
        "nll": nll,
        "brier": np.square(p - wanted).sum(axis=1),
        "answers": answers,
        "probability": p[rows, answers],
        "lacking": others.sum(axis=1),
        "all": p,
    }


def moments(logits, weights, labels):
    """Sums over rows: loss, gradient (K,) and Hessian (K, K) with respect to the weights."""
    z = combine(logits, weights)
    p, rows = softmax(z), np.arange(len(z))
    parts = []
    for own in logits:
        wide = np.asarray(own).astype(np.longdouble)
        wide = wide - wide.max(axis=1, keepdims=True)
        parts.append(np.where(np.isneginf(wide), 0.0, wide))
    means = np.stack([(p * own).sum(axis=1) for own in parts])
    gradient = [(mean - own[rows, labels]).sum() for mean, own in zip(means, parts, strict=True)]
    hessian = [
        [
            ((p * one * other).sum(axis=1) - means[j] * means[k]).sum()
            for k, other in enumerate(parts)
        ]
        for j, one in enumerate(parts)
    ]
    loss = statistics(logits, weights, labels)["nll"].sum()
    return float(loss), np.array(gradient, float), np.array(hessian, float)
