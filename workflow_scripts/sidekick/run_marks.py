"""Keep the jobs of a killed run from writing after a later run has begun.

On one machine jobs end with their run. A cluster's jobs go on, or wait in its queue. So every run
leaves a mark of its own, whose path its jobs inherit, and removes those of earlier runs: a job
whose mark is gone writes nothing more.
"""

import os
import uuid
from pathlib import Path

SUPERSEDED = (
    "the run that started this job was killed, and a later run has taken over this folder; "
    "nothing is written"
)
_VARIABLE = "SIDEKICK_MARK"


def leave_mark(state: Path) -> None:
    """Mark this run as the one at work in `state` (Snakemake's `.snakemake` folder).

    Jobs that start from now on inherit the mark.
    """
    remove_marks(state)
    mark = (state / "sidekick.runs" / uuid.uuid4().hex).resolve()
    mark.parent.mkdir(exist_ok=True)
    mark.touch()
    os.environ[_VARIABLE] = str(mark)


def remove_marks(state: Path) -> None:
    """Let no job of an earlier run write any more."""
    for mark in (state / "sidekick.runs").glob("*"):
        mark.unlink(missing_ok=True)


def is_superseded() -> bool:
    """Whether a later run has removed the mark of the run that started this process.

    No, where the folder of marks cannot be seen: then nobody can say.
    """
    mark = Path(os.environ.get(_VARIABLE, ""))
    return mark.is_absolute() and mark.parent.is_dir() and not mark.exists()
