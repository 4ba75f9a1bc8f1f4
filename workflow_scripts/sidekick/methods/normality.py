"""Test whether passes are normally distributed, as the interval mean ± Z·deviation supposes."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from sidekick.errors import SidekickError


@dataclass(frozen=True)
class NormalShare:
    """What the Shapiro-Wilk test says of a group of samples.

    Attributes
    ----------
    samples
        In the group.
    constant
        Of them, those whose passes all gave the same value (saturated sigmoids): not tested.
    normal
        Share of the tested ones that the test does not reject; NaN if there are none. It is
        1 − level if all are normal, whatever their number.
    median_statistic
        Of W, 1 for normal order statistics; NaN if there are none.
    """

    samples: int
    constant: int
    normal: float
    median_statistic: float


def normal_shares(
    passes: np.ndarray, groups: np.ndarray, level: float = 0.05
) -> dict[Hashable, NormalShare]:
    """Test the passes of every sample and summarise by group.

    Parameters
    ----------
    passes
        (N, n): one value per pass and sample, as the logit or the sigmoid of its top class; N
        from 3 to 5000.
    groups
        (n,) what each sample counts to: a class, a corruption, `clean` or `shifted`.
    level
        Of the test: how often it may reject what is normal.

    Returns
    -------
    dict
        Group to its `NormalShare`, in the order of the groups.

    Notes
    -----
    The power grows with N: compare groups, and logits with sigmoids, at the same N only.
    """
    # Half a second to import, which other users of the package need not wait for.
    from scipy.stats import shapiro

    if not 3 <= len(passes) <= 5000:
        raise SidekickError(f"passes: {len(passes)}; the Shapiro-Wilk test takes 3 to 5000")
    if len(groups) != passes.shape[1]:
        raise SidekickError(f"groups: {len(groups)} for {passes.shape[1]} samples")
    passes = passes.astype(np.float64)
    varies = np.ptp(passes, axis=0) > 0
    statistic, chance = np.full(len(varies), np.nan), np.full(len(varies), np.nan)
    for place in np.flatnonzero(varies):
        values = passes[:, place]
        # Scaled, since scipy warns of small ranges; the statistic does not depend on scale.
        statistic[place], chance[place] = shapiro((values - values.mean()) / np.ptp(values))
    found = {}
    for group in np.unique(groups):
        member = groups == group
        tested = member & varies
        found[group.item() if hasattr(group, "item") else group] = NormalShare(
            samples=int(member.sum()),
            constant=int((member & ~varies).sum()),
            normal=float((chance[tested] > level).mean()) if tested.any() else np.nan,
            median_statistic=float(np.median(statistic[tested])) if tested.any() else np.nan,
        )
    return found
