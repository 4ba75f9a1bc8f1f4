"""The lock that tells a killed run from a live one, on its own."""

import fcntl
import socket
import subprocess
import sys
import time

import pytest

from sidekick import run_lock

HOLD = """\
import sys, time
from pathlib import Path
sys.path.insert(0, {library!r})
from sidekick import run_lock
print(run_lock.claim(Path({state!r})), flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def nothing_held():
    yield
    run_lock.release()


@pytest.fixture
def state(tmp_path):
    return tmp_path / ".snakemake"


@pytest.fixture
def stale(state):
    """What a killed run leaves."""
    locks = state / "locks"
    locks.mkdir(parents=True)
    (locks / "0.input.lock").write_text("a\n")
    (locks / "0.output.lock").write_text("b\n")
    return locks


@pytest.fixture
def rival(state):
    """Another process that holds the claim."""
    library = str(next(p for p in sys.path if p.endswith("workflow_scripts")))
    code = HOLD.format(library=library, state=str(state))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "True\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_claim_can_be_repeated_and_released(state):
    assert run_lock.claim(state)
    assert run_lock.claim(state)
    run_lock.release()
    assert run_lock.claim(state)


def test_a_live_process_keeps_its_claim_and_its_lock(state, rival, stale):
    assert not run_lock.claim(state)
    assert run_lock.holder(state) == f"{rival.pid} on {socket.gethostname()}"
    assert not run_lock.clear_stale(state)
    assert len(list(stale.iterdir())) == 2


def test_a_killed_process_loses_its_claim(state, rival, stale):
    rival.kill()
    rival.wait()
    assert run_lock.claim(state)
    assert run_lock.clear_stale(state)
    assert not stale.exists()
    assert not run_lock.clear_stale(state), "there is nothing left to clear"


def test_patience_waits_for_a_process_that_is_almost_done(state, rival):
    begin = time.monotonic()
    assert not run_lock.claim(state, patience=0.3)
    assert time.monotonic() - begin >= 0.3
    rival.kill()
    assert run_lock.claim(state, patience=10)


def test_without_the_claim_nothing_is_cleared(state, stale):
    assert not run_lock.clear_stale(state)
    assert stale.exists()


def test_a_file_system_without_locks_leaves_all_to_snakemake(state, stale, monkeypatch):
    def unsupported(file, operation):
        raise OSError("No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    assert run_lock.claim(state)
    assert not run_lock.clear_stale(state)
    assert stale.exists()


def test_temporary_files_are_told_from_results(tmp_path):
    kept = [tmp_path / "a/seed0.parquet", tmp_path / "a/seed0.resume.pt", tmp_path / ".hidden"]
    gone = [tmp_path / "a/.seed0.parquet.x1y2.tmp", tmp_path / "a/b/.board.csv.0.tmp"]
    for path in kept + gone:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    run_lock.clear_temporary(tmp_path)
    assert [path.exists() for path in kept + gone] == [True] * 3 + [False] * 2
