"""Two commands at once in one folder. The jobs are stubs that wait for a file."""

import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import pytest

from workflow.project import Project

ALPHA = ("--cores", "1", "--forcerun", "count_flops", "--", "results/flops/digits/alpha.json")
BETA = ("--cores", "1", "--forcerun", "count_flops", "--", "results/flops/digits/beta.json")


@dataclass
class LiveRun:
    """A run whose only job, the FLOPs of alpha, goes on until it is let through the gate."""

    project: Project
    process: Popen
    log: Path
    gate: Path

    def wait_for_job(self) -> None:
        deadline = time.monotonic() + 60
        while "rule count_flops" not in self.log.read_text():
            assert self.is_alive(), self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def let_finish(self) -> None:
        assert self.is_alive(), self.log.read_text()
        self.gate.touch()
        assert self.process.wait(60) == 0, self.log.read_text()
        assert locks(self.project) == []


def locks(project: Project) -> list[str]:
    return sorted(path.name for path in project.path(".snakemake/locks").glob("*.lock"))


@pytest.fixture
def live(finished, tmp_path):
    log, gate = tmp_path / "live.log", tmp_path / "gate"
    process = finished.start(*ALPHA, log=log, STUB_GATE=str(gate))
    run = LiveRun(finished, process, log, gate)
    run.wait_for_job()
    yield run
    gate.touch()
    process.wait(60)


def test_a_second_run_stops_without_harm(finished, live):
    before = locks(finished)
    assert before
    outcome = finished.snakemake(*ALPHA, succeeds=False)
    assert "cannot be locked" in outcome.output
    assert "Traceback" not in outcome.output
    assert locks(finished) == before
    live.let_finish()


def test_looking_at_a_live_run_does_not_disturb_it(finished, live):
    before = locks(finished)
    for command in ("--dry-run", "--summary"):
        finished.snakemake(command)
        assert locks(finished) == before
    live.let_finish()


def test_a_run_with_other_targets_is_refused_too(finished, live):
    # Snakemake itself would let it in, and remove the first run's lock at its end.
    for target in (BETA, ALPHA):
        outcome = finished.snakemake(*target, succeeds=False)
        process = f"{live.process.pid} on {socket.gethostname()}"
        message = f"another run (process {process}) is at work in this folder"
        assert message in outcome.output
        assert "Traceback" not in outcome.output
        assert "Finished jobid" not in outcome.output
    live.let_finish()


def test_a_killed_run_leaves_no_obstacle(finished, live):
    os.killpg(live.process.pid, signal.SIGKILL)
    live.process.wait()
    assert locks(finished), "the killed run should leave its lock"
    leftover = finished.path("results/flops/digits/.alpha.json.abc.tmp")
    leftover.touch()
    # Only a run clears up: on a cluster, jobs of the killed one may be at work.
    assert finished.plan("results/flops/digits/alpha.json") == {"count_flops digits alpha"}
    assert leftover.exists()
    outcome = finished.snakemake(*ALPHA)
    assert "cannot be locked" not in outcome.output
    assert not leftover.exists()
