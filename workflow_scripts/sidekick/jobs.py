"""What every job does first: send its messages and tracebacks to the rule's log."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sidekick.errors import SidekickError


@contextmanager
def job_log(path: str | Path) -> Iterator[logging.Logger]:
    """Log to `path` while the block runs; a failure ends up there as well.

    A `SidekickError` is the user's to mend, so its message is printed without a traceback; any
    other exception is ours, so the traceback is kept.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w")
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
    return "cuda" if job.resources.get("gpu", 0) else "cpu"
