"""What planning costs: a dry run of 100 models on 5 datasets with 3 seeds, nothing made yet.

Run it alone by `python -m benchmarks.planning`.
"""

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

_ROOT = Path(__file__).parents[1]
_DATASETS = ("cifar10", "cifar100", "digits", "food101", "tinyimagenet")
_MODELS, _SEEDS = 100, 3
_GOAL_SECONDS, _GOAL_MEGABYTES = 10, 1000


def run() -> None:
    """Print jobs, seconds and peak memory of the dry run, beside what they may be."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.yaml").write_text(yaml.safe_dump(large_config()))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        plan = subprocess.run(
            [
                *(sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules"),
                *("--snakefile", _ROOT / "Snakefile", "--directory", folder),
                *("--workflow-profile", _ROOT / "profiles/default"),
            ],
            cwd=folder,
            env={**os.environ, "COLUMNS": "80"},
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        seconds = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    jobs = int(re.search(r"^total +(\d+)$", plan.stdout, re.M)[1])
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"\nplanning {_MODELS} models × {len(_DATASETS)} datasets × {_SEEDS} seeds: {jobs:,} jobs"
    )
    print(
        f"  {seconds:.1f} s ({processor:.1f} s of processor; goal {_GOAL_SECONDS} s), "
        f"peak {after.ru_maxrss / 1024:.0f} MB (goal {_GOAL_MEGABYTES} MB)",
        flush=True,
    )


def large_config() -> dict[str, Any]:
    """Give a benchmark of many small models on all datasets of images."""
    dataset = {
        "main_metric": "accuracy",
        "splits": {"train": 400, "val": 100, "test": 200},
        "shift": {"samples": 100, "severities": [1, 3, 5], "corruptions": ["contrast"]},
    }
    training = {"epochs": 2, "batch_size": 20, "learning_rate": 0.01, "weight_decay": 0.05}
    return {
        "benchmark": "large",
        "seeds": list(range(_SEEDS)),
        "datasets": {name: {"source": name, **dataset} for name in _DATASETS},
        "finetune": training,
        "models": {
            f"model{number}": {"architecture": "small_cnn", "options": {"width": number + 1}}
            for number in range(_MODELS)
        },
        "cascade": {"deferral_ratios": [0.5]},
        "evaluation": {"replicates": {"test": 100, "shift": 100}, "level": 0.95, "seed": 0},
        "compute": {"device": "cpu", "threads": 1},
    }


if __name__ == "__main__":
    run()
