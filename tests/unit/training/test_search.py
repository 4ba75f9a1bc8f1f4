import math
import subprocess
import sys

import pytest

from sidekick.training.search import draw_trial

SEARCH = {"learning_rate": [1e-6, 3e-4], "weight_decay": [1e-8, 1e-5]}
EXPECTED = {"learning_rate": 3.325e-05, "weight_decay": 3.869e-07}


def test_a_trial_is_drawn_the_same_for_good():
    # Written down: another value would retrain every search.
    assert draw_trial(SEARCH, 0, 0) == EXPECTED
    assert draw_trial({**SEARCH, "trials": 99, "soups": True}, 0, 0) == EXPECTED


def test_seeds_and_trials_differ():
    drawn = {
        tuple(draw_trial(SEARCH, seed, trial).values()) for seed in range(3) for trial in range(9)
    }
    assert len(drawn) == 27


@pytest.mark.parametrize("name", list(SEARCH))
def test_values_are_spread_log_uniformly(name):
    least, greatest = SEARCH[name]
    values = [draw_trial(SEARCH, 0, trial)[name] for trial in range(4000)]
    shares = sorted(math.log(value / least) / math.log(greatest / least) for value in values)
    # The greatest distance of Kolmogorov and Smirnov, at a level of 1e-4.
    distance = max(abs(share - row / 4000) for row, share in enumerate(shares))
    assert distance < 2.2 / math.sqrt(4000)
    assert all(least <= value <= greatest for value in values)


def test_rate_and_decay_are_independent():
    drawn = [draw_trial(SEARCH, 0, trial) for trial in range(4000)]
    rates, decays = ([math.log(trial[name]) for trial in drawn] for name in SEARCH)
    mean_rate, mean_decay = sum(rates) / 4000, sum(decays) / 4000
    covariance = sum((a - mean_rate) * (b - mean_decay) for a, b in zip(rates, decays, strict=True))
    spread = math.sqrt(
        sum((a - mean_rate) ** 2 for a in rates) * sum((b - mean_decay) ** 2 for b in decays)
    )
    assert abs(covariance / spread) < 0.06


def test_a_range_of_one_value():
    assert draw_trial({**SEARCH, "weight_decay": [0.01, 0.01]}, 0, 3)["weight_decay"] == 0.01


def test_nothing_heavy_is_imported():
    code = (
        "import sys; import sidekick.training.search; "
        "print([name for name in ('numpy', 'torch', 'pyarrow') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
        check=True,
    )
    assert result.stdout.strip() == "[]"
