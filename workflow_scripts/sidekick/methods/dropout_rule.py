"""The paper's accept/ignore rule, taken apart: its branches, and a score without a level."""

import numpy as np
from scipy.special import erfinv

from sidekick.errors import SidekickError
from sidekick.methods.mc_dropout import PassMoments

# In the order of the codes that `rule_branches` gives.
BRANCHES = (
    "all_zero",
    "one_straddler",
    "several_straddlers",
    "one_above",
    "one_above_with_straddlers",
    "several_above",
)
ACCEPTED = np.array([False, True, False, True, True, True])
# Of logits or sigmoids: far below any spread that dropout leaves.
_LEAST_SPREAD = 1e-9


def quantile(level: float) -> float:
    """Give Z = √2·erfinv(level): 1.0364, 1.2816 and 1.6449 for the levels 0.7, 0.8 and 0.9."""
    if not 0 < level < 1:
        raise SidekickError(f"mc_dropout level: {level}; allowed is between 0 and 1")
    return float(np.sqrt(2.0) * erfinv(level))


def rule_branches(moments: PassMoments, level: float, threshold: float = 0.5) -> np.ndarray:
    """Say which branch of `sidekick.methods.mc_dropout.interval_rule` each sample takes.

    Parameters
    ----------
    moments, level, threshold
        As for `interval_rule`. Logits work as well, with the logit of the threshold: a sigmoid is
        monotone, but mean ± Z·deviation of logits neither leaves [0, 1] nor is it skewed as much,
        so the answers differ.

    Returns
    -------
    numpy.ndarray
        (n,) int8 positions in `BRANCHES`; `ACCEPTED[branch]` says whether a sample is kept.
    """
    margin = quantile(level) * moments.std
    above = moments.mean - margin > threshold
    straddles = (~above & (moments.mean + margin >= threshold)).sum(axis=1)
    above = above.sum(axis=1)
    branches = np.select(
        [above > 1, (above == 1) & (straddles > 0), above == 1, straddles > 1, straddles == 1],
        [5, 4, 3, 2, 1],
        default=0,
    )
    return branches.astype(np.int8)


def rule_answers(moments: PassMoments, level: float, threshold: float = 0.5) -> np.ndarray:
    """Give all classes that the rule answers, as the paper scores it.

    Parameters
    ----------
    moments, level, threshold
        As for `rule_branches`.

    Returns
    -------
    numpy.ndarray
        (n, C) bool: the classes above the threshold; of samples without any the one that straddles
        it, if there is but one. A row without any class is ignored.
    """
    margin = quantile(level) * moments.std
    above = moments.mean - margin > threshold
    straddles = ~above & (moments.mean + margin >= threshold)
    is_single = ~above.any(axis=1) & (straddles.sum(axis=1) == 1)
    return above | (straddles & is_single[:, None])


def continuous_score(moments: PassMoments, threshold: float = 0.5) -> np.ndarray:
    """Give (μ_top − τ) / σ_top, by which samples can be ranked: higher is surer.

    A sample has a class above the threshold at level c (so that the rule accepts it) if its
    largest (μ − τ)/σ exceeds Z(c); for samples whose top class has that largest value, the score
    orders the rule's levels. What it leaves out is the branch `one_straddler`, which makes the
    rule's coverage go up and down with the level.

    Parameters
    ----------
    moments
        Of sigmoids, or of logits with the logit of the threshold.
    threshold
        τ.

    Returns
    -------
    numpy.ndarray
        (n,) float64, finite: a deviation below 1e-9 counts as 1e-9, so that samples without
        spread are ranked by their mean.
    """
    top = moments.mean.argmax(axis=1)[:, None]
    mean = np.take_along_axis(moments.mean, top, axis=1)[:, 0]
    std = np.take_along_axis(moments.std, top, axis=1)[:, 0]
    return (mean - threshold) / np.maximum(std, _LEAST_SPREAD)
