"""Passes of Monte-Carlo dropout whose masks are shared by a block of samples, for speed.

A mask is a draw of the network (Gal & Ghahramani 2016), so each sample's passes have the same
distribution whether or not its neighbours see the same masks; only errors of neighbours are
correlated. In return a pass costs a fifth: the hidden layer of all features is computed once, and
a pass subtracts what its mask drops, the same columns for all samples, as one dense product.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import expit

from sidekick.errors import SidekickError
from sidekick.methods.dropout_moments import DropoutMoments
from sidekick.methods.mc_dropout import Head, PassMoments


def sampled_logits(
    head: Head,
    features: np.ndarray,
    passes: int,
    rng: np.random.Generator,
    rows_per_mask: int = 64,
) -> Iterator[np.ndarray]:
    """Run stochastic passes, block by block of samples.

    Parameters
    ----------
    head
        The head.
    features
        (n, F) cached pooled features.
    passes
        Number of passes N, at least 2.
    rng
        Source of the masks: per block and pass one of F and one of H uniform numbers, float32.
    rows_per_mask
        Samples of a block, which see the same masks; 1 for masks of their own.

    Yields
    ------
    numpy.ndarray
        (N, b, C) float32 logits of the next b samples.
    """
    if passes < 2:
        raise SidekickError(f"mc_dropout passes: {passes}; at least 2 are needed for a spread")
    single = head.astype(np.float32)
    # Rows of features and of hidden units, which masks select.
    by_feature = np.ascontiguousarray(single.hidden_weight.T)
    by_hidden = np.ascontiguousarray(single.output_weight.T)
    first_scale, second_scale = (np.float32(1 / (1 - rate)) for rate in head.dropout)
    for first in range(0, len(features), rows_per_mask):
        block = features[first : first + rows_per_mask].astype(np.float32)
        normalised = np.ascontiguousarray((block * single.scale + single.shift).T)
        whole = normalised.T @ by_feature
        logits = np.empty((passes, len(block), len(single.output_bias)), np.float32)
        for number in range(passes):
            kept = rng.random(len(by_feature), dtype=np.float32) >= head.dropout[0]
            hidden = _without(normalised, by_feature, whole, kept) * first_scale
            hidden = np.maximum(hidden + single.hidden_bias, 0.0)
            kept = rng.random(len(by_hidden), dtype=np.float32) >= head.dropout[1]
            places = np.flatnonzero(kept)
            np.matmul(hidden[:, places], by_hidden[places], out=logits[number])
            logits[number] *= second_scale
            logits[number] += single.output_bias
        yield logits


def sampled_moments(
    head: Head,
    features: np.ndarray,
    counts: Sequence[int],
    rng: np.random.Generator,
    rows_per_mask: int = 64,
) -> dict[int, DropoutMoments]:
    """Give the moments of the first N passes, for several N at the price of the largest.

    Parameters
    ----------
    head, features, rng, rows_per_mask
        As for `sampled_logits`.
    counts
        The numbers of passes, each at least 2.

    Returns
    -------
    dict
        For every N, means and (population) standard deviations of logits and sigmoids.
    """
    if not counts or min(counts) < 2:
        raise SidekickError(f"mc_dropout passes: {list(counts)}; each must be at least 2")
    shape = len(features), len(head.output_bias)
    found = {
        count: DropoutMoments(*(PassMoments(np.empty(shape), np.empty(shape)) for _ in range(2)))
        for count in counts
    }
    first = 0
    for logits in sampled_logits(head, features, max(counts), rng, rows_per_mask):
        rows = slice(first, first + logits.shape[1])
        first = rows.stop
        sigmoids = expit(logits)
        for count, moments in found.items():
            for whole, passes in ((moments.logits, logits), (moments.sigmoids, sigmoids)):
                own = pass_moments(passes[:count])
                whole.mean[rows], whole.std[rows] = own.mean, own.std
    return found


def pass_moments(passes: np.ndarray) -> PassMoments:
    """Give mean and (population) standard deviation (b, C) of the passes (N, b, C), float64."""
    # About the first pass, and summed in double precision: no cancellation.
    apart = passes - passes[0]
    mean = apart.mean(axis=0, dtype=np.float64)
    square = np.einsum("tbc,tbc->bc", apart, apart, dtype=np.float64) / len(passes)
    return PassMoments(passes[0] + mean, np.sqrt(np.maximum(square - mean**2, 0.0)))


def _without(
    normalised: np.ndarray, by_feature: np.ndarray, whole: np.ndarray, kept: np.ndarray
) -> np.ndarray:
    """Give the product over the kept features, by way of the fewer ones."""
    if 2 * kept.sum() < len(kept):
        places = np.flatnonzero(kept)
        return normalised[places].T @ by_feature[places]
    places = np.flatnonzero(~kept)
    return whole - normalised[places].T @ by_feature[places]
