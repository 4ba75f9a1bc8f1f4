"""Processes that claim GPUs: null devices and names stand in for real ones."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

CLAIM = """\
import os, sys, time
from pathlib import Path
from sidekick.gpus import claim_gpu

devices, locks = map(Path, sys.argv[1:])
first = claim_gpu(devices, locks, patience=0.05)
assert claim_gpu(devices, locks) == first, "a process has one GPU"
print(first, os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
time.sleep(120)
"""


@pytest.fixture
def devices(tmp_path) -> Path:
    """What the driver of a machine with three GPUs leaves in /dev."""
    folder = tmp_path / "dev"
    folder.mkdir()
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm", "null"):
        (folder / name).touch()
    return folder


@pytest.fixture
def start(devices, tmp_path):
    """Start processes that claim a GPU and keep it."""
    started = []

    def begin(visible: str | None = None) -> subprocess.Popen:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        environment.pop("CUDA_VISIBLE_DEVICES", None)
        if visible is not None:
            environment["CUDA_VISIBLE_DEVICES"] = visible
        process = subprocess.Popen(
            [sys.executable, "-c", CLAIM, devices, tmp_path / "locks"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def claimed(process: subprocess.Popen) -> list[str]:
    """Give what a process claimed, and what CUDA is shown in it."""
    return process.stdout.readline().split()


def test_each_job_has_a_gpu_of_its_own(start):
    jobs = [start() for _ in range(3)]
    assert sorted(claimed(job) for job in jobs) == [["0", "0"], ["1", "1"], ["2", "2"]]


def test_a_job_too_many_waits_for_one_that_ends(start):
    first, second = start("4,7"), start("4,7")
    theirs = [claimed(first)[0], claimed(second)[0]]
    assert sorted(theirs) == ["4", "7"]
    third = start("4,7")
    time.sleep(0.5)
    os.set_blocking(third.stdout.fileno(), False)
    assert third.stdout.readline() == ""
    os.set_blocking(third.stdout.fileno(), True)
    second.kill()
    assert claimed(third) == [theirs[1]] * 2


@pytest.mark.parametrize("visible", ["", "5", "GPU-8a56a4bc"])
def test_a_job_that_was_given_its_gpu_claims_none(start, visible):
    # As by Slurm. Two of them may share it, if somebody wants so.
    for job in (start(visible), start(visible)):
        assert claimed(job) == ["None", *([visible] if visible else [])]


def test_names_of_parts_of_a_gpu_are_claimed_too(start):
    parts = ["MIG-GPU-5c89852c/1/0", "MIG-GPU-5c89852c/1/1"]
    jobs = [start(",".join(parts)) for _ in parts]
    assert sorted(claimed(job)[1] for job in jobs) == parts
