"""The learning rate: a linear warm-up, then a cosine."""

import math
from functools import partial

import torch

WARMUP = 0.1
"""Share of all steps that the rate rises for, where a recipe does not say."""

_START = 0.1


def rate_factor(step: int, steps: int, warmup: float) -> float:
    """Give the learning rate of a step as a share of its peak.

    Parameters
    ----------
    step
        From 0.
    steps
        Of the whole training.
    warmup
        Share of the steps, from 0 to below 1, in which the rate rises linearly from a tenth of
        its peak. Then it falls along half a cosine, and would be 0 at the step after the last.
    """
    rising = round(warmup * steps)
    if step < rising:
        return _START + (1 - _START) * step / rising
    return (1 + math.cos(math.pi * (step - rising) / max(steps - rising, 1))) / 2


def warmup_cosine(
    optimiser: torch.optim.Optimizer, steps: int, warmup: float
) -> torch.optim.lr_scheduler.LambdaLR:
    """Give the scheduler that follows `rate_factor`, to be stepped after every optimiser step."""
    factor = partial(rate_factor, steps=steps, warmup=warmup)
    return torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
