"""Small heads and every mask they can see."""

import itertools

import numpy as np

from sidekick.methods.mc_dropout import Head


def make_head(seed=0, features=3, hidden=3, classes=2, dropout=(0.2, 0.4), gain=1.0):
    rng = np.random.default_rng(seed)
    return Head(
        scale=rng.uniform(0.5, 2, features),
        shift=rng.normal(size=features),
        hidden_weight=gain * rng.normal(size=(hidden, features)),
        hidden_bias=rng.normal(size=hidden),
        output_weight=gain * rng.normal(size=(classes, hidden)),
        output_bias=rng.normal(size=classes),
        dropout=dropout,
        seed=seed,
    )


def wide_head(features=512, hidden=60, classes=6, dropout=(0.2, 0.4)):
    """A head in which no feature dominates a sum, as of a real network."""
    rng = np.random.default_rng(3)
    return Head(
        scale=rng.uniform(0.8, 1.2, features),
        shift=0.1 * rng.normal(size=features),
        hidden_weight=1.5 * rng.normal(size=(hidden, features)) / np.sqrt(features),
        hidden_bias=0.3 * rng.normal(size=hidden),
        output_weight=2 * rng.normal(size=(classes, hidden)) / np.sqrt(hidden),
        output_bias=0.5 * rng.normal(size=classes) - 0.5,
        dropout=dropout,
        seed=0,
    )


def all_masks(size, rate):
    """Give every mask of `size` units with its probability."""
    for mask in itertools.product([False, True], repeat=size):
        kept = sum(mask)
        chance = (1 - rate) ** kept * rate ** (size - kept)
        if chance > 0:
            yield np.array(mask), chance


def one_pass(head, x, first_mask, second_mask):
    """One sample's logits, unit by unit."""
    first, second = head.dropout
    x = [
        (value * scale + shift) * mask / (1 - first)
        for value, scale, shift, mask in zip(x, head.scale, head.shift, first_mask, strict=True)
    ]
    hidden = [
        max(0.0, sum(w * v for w, v in zip(row, x, strict=True)) + bias) * mask / (1 - second)
        for row, bias, mask in zip(head.hidden_weight, head.hidden_bias, second_mask, strict=True)
    ]
    return np.array(
        [
            sum(w * v for w, v in zip(row, hidden, strict=True)) + bias
            for row, bias in zip(head.output_weight, head.output_bias, strict=True)
        ]
    )


def exact_logits(head, features):
    """Mean and deviation of the logits over all masks."""
    means, deviations = [], []
    for x in features:
        pairs = itertools.product(
            all_masks(len(head.scale), head.dropout[0]),
            all_masks(len(head.hidden_bias), head.dropout[1]),
        )
        values, chances = [], []
        for (first, chance), (second, other) in pairs:
            values.append(one_pass(head, x, first, second))
            chances.append(chance * other)
        mean = np.average(values, axis=0, weights=chances)
        means.append(mean)
        deviations.append(np.sqrt(np.average((values - mean) ** 2, axis=0, weights=chances)))
    return np.array(means), np.array(deviations)


def masked_logits(head, features, kept_features, kept_hidden):
    """Run one pass with given masks: (F,) and (H,) if all samples share them, else a row each."""
    first, second = head.dropout
    normalised = (features * head.scale + head.shift) * kept_features / (1 - first)
    hidden = np.maximum(normalised @ head.hidden_weight.T + head.hidden_bias, 0.0)
    return (hidden * kept_hidden / (1 - second)) @ head.output_weight.T + head.output_bias
