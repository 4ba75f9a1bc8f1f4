"""Clocks that jump and configurations that change while a run is at work. The jobs are stubs."""

import os
import time

import pytest

from workflow.project import Project

YEAR = 365 * 24 * 3600


def shift_times(project: Project, seconds: float, pattern: str) -> None:
    for path in project.path("results").glob(pattern):
        if path.is_file():
            moved = path.stat().st_mtime + seconds
            os.utime(path, (moved, moved))


def contents(project: Project) -> dict[str, bytes]:
    """Give what jobs wrote, without their logs."""
    folder = project.path("results")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not {"logs", "benchmarks"} & set(path.parts)
    }


@pytest.mark.parametrize(
    ("jump", "pattern"),
    [
        (-YEAR, "**/*"),
        (YEAR, "**/*"),
        (-YEAR, "checkpoints/digits/alpha/**/*"),
        (YEAR, "datasets/digits/samples.parquet"),
    ],
    ids=["all back", "all ahead", "results older than inputs", "an input from the future"],
)
def test_a_clock_that_jumps_repeats_nothing(finished, jump, pattern):
    # Snakemake remembers the checksums of inputs up to 1 MB, as these are.
    shift_times(finished, jump, pattern)
    assert finished.plan() == set()


def test_a_run_goes_on_with_the_configuration_that_it_read(finished, tmp_path):
    gate, log = tmp_path / "gate", tmp_path / "log"
    with finished.edit() as config:
        config["evaluation"]["seed"] = 1
    expected = finished.copy(tmp_path / "undisturbed")
    expected.snakemake("--cores", "2")
    process = finished.start("--cores", "2", log=log, STUB_GATE=str(gate))
    deadline = time.monotonic() + 60
    while "rule evaluate_" not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    with finished.edit() as config:
        config["evaluation"]["seed"] = 2
        config["models"]["alpha"]["finetune"] = {"epochs": 3}
    gate.touch()
    assert process.wait(300) == 0, log.read_text()
    assert contents(finished) == contents(expected)
    planned = finished.plan()
    assert {"finetune digits alpha finetune 0", "evaluate_single digits gamma"} <= planned
    assert "finetune digits beta finetune 0" not in planned
