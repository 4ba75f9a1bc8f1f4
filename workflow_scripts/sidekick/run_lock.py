"""Tell a run that was killed from one that is still going.

Snakemake locks its working directory with files that outlive a killed process, and then refuses
to start until somebody unlocks it by hand. A lock of the operating system dies with its holder:
every run holds one, so that a leftover of a killed run can be recognised and removed.
"""

import fcntl
import shutil
import time
from pathlib import Path
from typing import IO

# Between writing its lock files and holding the lock of the system a run takes a moment; younger
# lock files are not judged.
_GRACE_SECONDS = 5.0
_held: list[IO[str]] = []


def hold(state: Path) -> None:
    """Hold the lock of `state` (Snakemake's `.snakemake` folder) until this process ends."""
    file = _open(state)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return
    _held.append(file)


def clear_stale(state: Path) -> None:
    """Remove Snakemake's lock files if the run that left them is no longer alive."""
    locks = state / "locks"
    while (age := _age(locks)) is not None and _is_free(state):
        if age >= _GRACE_SECONDS:
            shutil.rmtree(locks, ignore_errors=True)
            return
        time.sleep(0.2)


def _age(locks: Path) -> float | None:
    """Give the age of the youngest lock file, None if there is none."""
    try:
        times = [path.stat().st_mtime for path in locks.glob("*.lock")]
    except FileNotFoundError:
        return None
    # A clock that was set back must not make a lock young for ever.
    return abs(time.time() - max(times)) if times else None


def _is_free(state: Path) -> bool:
    with _open(state) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _open(state: Path) -> IO[str]:
    state.mkdir(exist_ok=True)
    return (state / "sidekick.lock").open("w")
