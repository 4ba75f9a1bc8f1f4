"""What every job does first: send its messages and tracebacks to the rule's log."""

import ctypes
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sidekick import run_marks
from sidekick.errors import SidekickError
from sidekick.gpus import claim_gpu


@contextmanager
def job_log(path: str | Path) -> Iterator[logging.Logger]:
    """Log to `path` while the block runs; a failure ends up there as well.

    A `SidekickError` is the user's to mend, so its message is printed without a traceback; any
    other exception is ours, so the traceback is kept.
    """
    _end_with_run()
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("sidekick")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addHandler(handler)
    warnings.simplefilter("default")
    try:
        yield logger
    except SidekickError as error:
        logger.error("%s", error)
        sys.exit(f"Error: {error}")
    except BaseException:
        logger.exception("The job failed")
        raise
    finally:
        logger.removeHandler(handler)
        logging.getLogger("py.warnings").removeHandler(handler)
        handler.close()


def job_device(job) -> str:
    """Give the device of a Snakemake job: `cuda` if it was granted a GPU, else `cpu`."""
    if not job.resources.get("gpu", 0):
        return "cpu"
    claim_gpu()
    return "cuda"


def _end_with_run() -> None:
    """End this job if the run that started it was killed, now or later (on Linux).

    A job that outlives its run could replace results after a later run made them anew, perhaps
    by other settings. On a cluster the process that started the job is not that of the run, which
    may be on another machine; there a later run's mark tells (`sidekick.run_marks`).
    """
    if run_marks.is_superseded():
        sys.exit(f"Error: {run_marks.SUPERSEDED}")
    run = os.environ.get("SIDEKICK_RUN")
    if run is None or sys.platform != "linux":
        return
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    try:
        os.kill(int(run), 0)
    except ProcessLookupError:
        sys.exit("Error: the run that started this job was killed")
