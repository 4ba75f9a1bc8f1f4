"""A run that is killed at any moment goes on when the same command is given again."""

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from workflow.project import Project

SEED = 20261123
COMMAND = ("--cores", "2")


def finished_jobs(log: Path) -> int:
    return log.read_text().count("Finished jobid")


def wait_for(condition: Callable[[], bool], seconds: float, log: Path) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def processes_in(project: Project) -> list[int]:
    """Give the processes that live in the project's folder."""
    alive = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(project.folder) and process.status() != "zombie":
                alive.append(process.pid)
        except psutil.Error:
            continue
    return alive


def run_with_kills(project: Project, goals: Sequence[int], longest_wait: float) -> None:
    """Run `COMMAND`, kill it at each goal, run it to the end.

    Parameters
    ----------
    project
        Where.
    goals
        Numbers of finished jobs, over all runs, after which to kill.
    longest_wait
        A random time up to this passes after the goal is met, in seconds.
    """
    generator = random.Random(SEED)
    done, met = 0, []
    for number, goal in enumerate(goals):
        log = project.path(f"killed{number}.log")
        process = project.start(*COMMAND, log=log)
        while done + finished_jobs(log) < goal and process.poll() is None:
            time.sleep(0.02)
        time.sleep(generator.uniform(0, longest_wait))
        if process.poll() is not None:
            break
        whole_group = number % 2 == 0
        kill = os.killpg if whole_group else os.kill
        kill(process.pid, signal.SIGKILL)
        process.wait()
        done += finished_jobs(log)
        locked = any(project.path(".snakemake/locks").glob("*.lock"))
        met.append(f"{'group' if whole_group else 'main'}, {done} done, locked: {locked}")
    print(f"seed {SEED}: {met}")
    outcome = project.snakemake(*COMMAND)
    assert "cannot be locked" not in outcome.output
    assert "Nothing to be done" in project.snakemake(*COMMAND).output
    assert not list(project.path("results").rglob(".*.tmp"))
    assert len(met) >= 4, f"the run ended before it could be killed often enough: {met}"
    assert any("locked: True" in text for text in met), met


@pytest.mark.slow
def test_a_killed_update_takes_in_every_change(finished, tmp_path):
    def update(project: Project) -> Project:
        with project.edit() as config:
            config["models"]["beta"]["finetune"] = {"epochs": 3}
            config["evaluation"]["level"] = 0.8
        return project

    undisturbed = update(finished.copy(tmp_path / "undisturbed"))
    undisturbed.snakemake(*COMMAND)
    run_with_kills(update(finished), [0, 2, 5, 8, 11, 14, 17], longest_wait=0.2)
    for path in undisturbed.path("results").rglob("*"):
        if path.is_file() and not {"logs", "benchmarks"} & set(path.parts):
            same = finished.path(path.relative_to(undisturbed.folder))
            assert same.read_text() == path.read_text(), path.name


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of this")
@pytest.mark.parametrize("phase", ["starts", "works"])
def test_no_job_outlives_a_run_whose_main_process_is_killed(real_run, tmp_path, phase):
    project = real_run.copy(tmp_path / "project")
    with project.edit() as config:
        config["models"]["alpha"]["finetune"] = {"epochs": 10**6}
    log, job_log = (
        tmp_path / "log",
        project.path("results/logs/finetune/digits/alpha/finetune/seed0.log"),
    )
    job_log.unlink()
    target = "results/checkpoints/digits/alpha/finetune/seed0.safetensors"
    process = project.start("--cores", "1", target, log=log)

    def reached() -> bool:
        if phase == "works":
            return job_log.exists() and "Fine-tuning" in job_log.read_text()
        return len(processes_in(project)) > 1 and "rule finetune" in log.read_text()

    wait_for(reached, 60, log)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    try:
        wait_for(lambda: not processes_in(project), 30, log)
    finally:
        for orphan in processes_in(project):
            os.kill(orphan, signal.SIGKILL)
