"""The settings that a search tries, known before anything is trained.

Used while Snakemake parses the workflow, so it imports nothing heavy.
"""

import math
from collections.abc import Mapping, Sequence

from sidekick.datasets.hashing import keyed_hash

_DRAWN = ("learning_rate", "weight_decay")


def draw_trial(search: Mapping[str, Sequence[float]], seed: int, trial: int) -> dict[str, float]:
    """Draw a trial's learning rate and weight decay, each log-uniformly and independently.

    Parameters
    ----------
    search
        `learning_rate` and `weight_decay`: the least and the greatest value, both above 0. Other
        keys are ignored.
    seed
        The trials of one seed differ from those of another.
    trial
        Number of the trial. What it draws does not depend on how many there are.

    Returns
    -------
    dict
        `learning_rate` and `weight_decay`, of four significant digits and within the range.
    """
    return {name: _log_uniform(*search[name], f"{seed}/{trial}/{name}") for name in _DRAWN}


def _log_uniform(least: float, greatest: float, key: str) -> float:
    share = int.from_bytes(keyed_hash(key, key="search", size=8), "big") / 2**64
    value = least * math.exp(share * math.log(greatest / least))
    # Rounded, so that the last bit of a machine's `exp` cannot change the value.
    return min(max(float(f"{value:.4g}"), least), greatest)
