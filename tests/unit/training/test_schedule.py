import math

import pytest
import torch

from sidekick.training.schedule import rate_factor, warmup_cosine


def test_it_rises_in_a_line_from_a_tenth():
    factors = [rate_factor(step, 100, 0.2) for step in range(21)]
    assert factors[0] == 0.1
    assert factors[10] == pytest.approx(0.55)
    assert factors[20] == 1


def test_it_falls_along_a_cosine_to_zero():
    factors = [rate_factor(step, 100, 0.2) for step in range(20, 101)]
    assert factors == sorted(factors, reverse=True)
    assert factors[40] == pytest.approx(0.5)
    assert factors[20] == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert factors[-1] == 0
    assert factors[-2] > 0


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 0.99])
def test_every_length_and_warmup(steps, warmup):
    factors = [rate_factor(step, steps, warmup) for step in range(steps + 1)]
    assert all(0 <= factor <= 1 for factor in factors)
    if warmup == 0:
        assert factors[0] == 1


def test_the_scheduler_follows_it():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.AdamW([weight], lr=0.3)
    scheduler = warmup_cosine(optimiser, 10, 0.3)
    for step in range(10):
        assert optimiser.param_groups[0]["lr"] == pytest.approx(0.3 * rate_factor(step, 10, 0.3))
        optimiser.step()
        scheduler.step()
