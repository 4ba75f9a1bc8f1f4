"""The queue and the node of the Slurm that `slurm.sh` starts."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

SCRIPT = Path(__file__).with_name("slurm.sh")

# The shipped profile; only looks are more frequent, for jobs of seconds. Snakemake asks for the
# state of jobs after these seconds, and each time that nothing has ended, ten seconds later.
PROFILE = ("--profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "3")


class Slurm:
    """What the tests do to a cluster."""

    def jobs(self, rule: str = "", state: str = "") -> list[str]:
        """Give the ids of jobs in the queue: of one rule, in one state."""
        lines = _ask("squeue", "-h", "-o", "%i|%T|%k").splitlines()
        found = [line.split("|", 2) for line in lines]
        return [
            job
            for job, its_state, comment in found
            if comment.startswith(f"rule_{rule}") and its_state.startswith(state)
        ]

    def cancel(self, job: str) -> None:
        """Cancel one job, as a user or an administrator might."""
        _ask("scancel", job)

    def cancel_all(self) -> None:
        """Empty the queue."""
        if jobs := self.jobs():
            _ask("scancel", "--full", *jobs)
        wait_for(lambda: not self.jobs(), 60)

    def drain(self) -> None:
        """Let no further job start."""
        self._set_node("drain")

    def fail(self) -> None:
        """Lose the node and whatever runs on it."""
        self._set_node("down")

    def resume(self) -> None:
        """Give the node back."""
        if self._node_state() not in ("idle", "mix", "alloc", "comp"):
            self._set_node("resume")
        wait_for(lambda: self._node_state() in ("idle", "mix", "alloc", "comp"), 60)

    def _set_node(self, state: str) -> None:
        node = _ask("sinfo", "-h", "-N", "-o", "%N").split()[0]
        _ask("scontrol", "update", f"nodename={node}", f"state={state}", "reason=test")

    def _node_state(self) -> str:
        return _ask("sinfo", "-h", "-N", "-p", "main", "-o", "%t").strip().rstrip("*")


def wait_for(condition: Callable[[], object], seconds: float) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} seconds"
        time.sleep(0.2)


def _ask(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout
