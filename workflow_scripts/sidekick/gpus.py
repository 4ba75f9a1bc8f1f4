"""One GPU for each job, where a machine has several and nobody else deals them out."""

import fcntl
import logging
import os
import re
import tempfile
import time
from pathlib import Path
from typing import IO

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_log = logging.getLogger(__name__)
_held: dict[str, IO[str]] = {}


def claim_gpu(
    devices: Path = Path("/dev"), locks: Path | None = None, patience: float = 1.0
) -> str | None:
    """Leave this process one GPU that no other job of this user on this machine has.

    Snakemake counts GPUs but does not say which is whose. A job that sees one GPU has been given
    it, as by Slurm or Kubernetes, and takes it. One that sees several claims one by a lock of the
    operating system, which dies with the process, and waits while there is none; CUDA is then
    shown this one only. To be called before CUDA is used.

    Parameters
    ----------
    devices
        Where the driver keeps its device files; they count where `CUDA_VISIBLE_DEVICES` is unset.
    locks
        Where lock files lie; by default in the machine's own temporary folder.
    patience
        Seconds between looks for a GPU that has become free.

    Returns
    -------
    str or None
        The claimed GPU as CUDA names it; none if there was nothing to choose from.
    """
    if _held:
        return next(iter(_held))
    visible = _visible_gpus(devices)
    if len(visible) < 2:
        return None
    locks = locks or Path(tempfile.gettempdir()) / f"sidekick-gpus-{os.getuid()}"
    locks.mkdir(mode=0o700, parents=True, exist_ok=True)
    has_waited = False
    while (gpu := _claim_any(visible, locks)) is None:
        if not has_waited:
            _log.info("Waiting: other jobs have GPUs %s", ", ".join(visible))
            has_waited = True
        time.sleep(patience)
    os.environ[_VISIBLE] = gpu
    _log.info("GPU %s is this job's, of %s", gpu, ", ".join(visible))
    return gpu


def _visible_gpus(devices: Path) -> list[str]:
    shown = os.environ.get(_VISIBLE)
    if shown is not None:
        return [name.strip() for name in shown.split(",") if name.strip()]
    count = sum(bool(re.fullmatch(r"nvidia\d+", path.name)) for path in devices.iterdir())
    return [str(number) for number in range(count)]


def _claim_any(visible: list[str], locks: Path) -> str | None:
    for gpu in visible:
        # Names of parts of a GPU have slashes.
        file = (locks / f"{re.sub('[^A-Za-z0-9-]', '_', gpu)}.lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
        else:
            _held[gpu] = file
            return gpu
    return None
