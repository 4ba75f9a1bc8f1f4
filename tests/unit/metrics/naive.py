"""Slow, obvious implementations: loops over samples of one data set, no weights."""

import itertools

import numpy as np


def nll(logits, labels):
    return np.mean([np.log(np.sum(np.exp(z))) - z[y] for z, y in zip(logits, labels, strict=True)])


def brier(logits, labels):
    total = 0.0
    for z, y in zip(logits, labels, strict=True):
        p = np.exp(z) / np.exp(z).sum()
        total += sum((p[c] - (c == y)) ** 2 for c in range(len(p)))
    return total / len(labels)


def macro_f1(predicted, label):
    scores = []
    for c in sorted(set(predicted) | set(label)):
        hits = sum(p == c and y == c for p, y in zip(predicted, label, strict=True))
        scores.append(2 * hits / (sum(predicted == c) + sum(label == c)))
    return np.mean(scores)


def ece(probability, correct, bins=15):
    total = 0.0
    for b in range(bins):
        inside = [
            i
            for i, p in enumerate(probability)
            if b / bins < p <= (b + 1) / bins or (b == 0 and p == 0)
        ]
        if inside:
            gap = np.mean(correct[inside]) - np.mean(probability[inside])
            total += len(inside) / len(probability) * abs(gap)
    return total


def ece_with_extra_bin(probability, correct, bins=15):
    """Bins [lo, hi) and one more for probability 1, as torchmetrics has them."""
    index = np.floor(probability * bins).astype(int)
    return sum(
        abs(np.mean(correct[index == b]) - np.mean(probability[index == b])) * np.mean(index == b)
        for b in set(index)
    )


def auroc(confidence, correct):
    pairs = [(c > w) + 0.5 * (c == w) for c in confidence[correct] for w in confidence[~correct]]
    return np.mean(pairs) if pairs else np.nan


def aurc_in_order(wrong):
    return np.mean([np.mean(wrong[: k + 1]) for k in range(len(wrong))])


def orders(scores):
    """Every order of the samples that is ascending in ``scores``."""
    groups = [np.flatnonzero(scores == value) for value in np.unique(scores)]
    for parts in itertools.product(*(itertools.permutations(group) for group in groups)):
        yield np.concatenate([np.array(part) for part in parts])


def expected_errors(confidence, correct):
    """Expected number of errors among the k most confident, k = 1..n, ties in random order."""
    expected, before = [], 0.0
    for value in sorted(set(confidence), reverse=True):
        group = ~correct[confidence == value]
        expected += [before + (j + 1) * np.mean(group) for j in range(len(group))]
        before += np.sum(group)
    return np.array(expected)


def aurc(confidence, correct):
    return np.mean(expected_errors(confidence, correct) / np.arange(1, len(correct) + 1))


def e_aurc(confidence, correct):
    return aurc(confidence, correct) - aurc_in_order(np.sort(~correct))


def augrc(confidence, correct):
    """Trapezoid of coverage x risk = errors / n over coverage, from coverage 0."""
    n = len(correct)
    errors = np.append(0.0, expected_errors(confidence, correct)) / n
    return np.trapezoid(errors, np.arange(n + 1) / n)


def sac(confidence, correct, percent):
    """Whole per cent, so that the comparison is one of integers."""
    best = 0.0
    for threshold in set(confidence):
        accepted = confidence >= threshold
        if 100 * int(np.sum(correct[accepted])) >= percent * int(np.sum(accepted)):
            best = max(best, np.mean(accepted))
    return best


def kde(sample, bandwidth, grid):
    """Gaussian kernels with mirror images around 0 and 1, at every grid point."""
    images = np.concatenate([2 * k + sign * sample for k in range(-4, 5) for sign in (1, -1)])
    kernel = np.exp(-0.5 * ((grid[:, None] - images) / bandwidth) ** 2)
    return kernel.sum(axis=1) / (np.sqrt(2 * np.pi) * bandwidth * len(sample))


def overlap(confidence, correct, bandwidths, points=4001):
    if correct.all() or not correct.any():
        return np.nan
    grid = np.linspace(0, 1, points)
    densities = [
        kde(sample, bandwidth, grid)
        for sample, bandwidth in zip(
            (confidence[correct], confidence[~correct]), bandwidths, strict=True
        )
    ]
    return np.trapezoid(np.minimum(*densities), grid)


def joint_accuracy(order, small, large):
    """Joint accuracy after deferring the first k samples of ``order``, k = 0..n."""
    return np.array(
        [
            np.mean([large[i] if i in set(order[:k]) else small[i] for i in range(len(small))])
            for k in range(len(small) + 1)
        ]
    )


def mean_joint_accuracy(confidence, small, large):
    return np.mean([joint_accuracy(order, small, large) for order in orders(confidence)], axis=0)
