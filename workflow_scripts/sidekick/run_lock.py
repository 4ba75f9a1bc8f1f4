"""Tell a run that was killed from one that is still going.

Snakemake locks its working directory with files that outlive a killed process, and then refuses
to start until somebody unlocks it by hand. A lock of the operating system dies with its holder:
every run holds one, so that the leftovers of a killed run can be recognised and removed.
"""

import fcntl
import os
import shutil
import socket
import time
from pathlib import Path
from typing import IO

_held: list[IO[str]] = []


def claim(state: Path, patience: float = 0.0) -> bool:
    """Claim `state` (Snakemake's `.snakemake` folder) for this process, until it ends.

    Parameters
    ----------
    state
        Made if it does not exist.
    patience
        Seconds to wait for another process to let go; one that only looks is done in a few.

    Returns
    -------
    bool
        False if another process holds the claim. True also where a file system has no locks:
        then Snakemake's own lock is all there is.
    """
    if _held:
        return True
    deadline = time.monotonic() + patience
    while True:
        try:
            state.mkdir(exist_ok=True)
            file = (state / "sidekick.lock").open("a+")
        except OSError:
            return True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.2)
        except OSError:
            file.close()
            return True
        else:
            file.truncate(0)
            file.write(f"{os.getpid()} on {socket.gethostname()}")
            file.flush()
            _held.append(file)
            return True


def release() -> None:
    """Let go of what was claimed."""
    while _held:
        _held.pop().close()


def holder(state: Path) -> str:
    """Give the process id and the machine of whoever claimed `state` last."""
    return (state / "sidekick.lock").read_text() or "unknown"


def clear_stale(state: Path) -> bool:
    """Remove Snakemake's lock files; to be called before Snakemake writes those of this run.

    Returns
    -------
    bool
        Whether there were any. Without the claim nothing is removed.
    """
    locks = state / "locks"
    if not _held or not any(locks.glob("*.lock")):
        return False
    shutil.rmtree(locks)
    return True


def clear_temporary(folder: Path) -> None:
    """Remove the temporary files of `sidekick.artifacts.atomic_path` below `folder`."""
    for path in folder.rglob(".*.tmp"):
        path.unlink(missing_ok=True)
