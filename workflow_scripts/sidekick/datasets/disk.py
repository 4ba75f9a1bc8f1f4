"""Full disks, told in words that help."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sidekick.errors import SidekickError


@contextmanager
def full_disk_named(path: str | Path, advice: str) -> Iterator[None]:
    """Turn a full disk, or an exhausted quota, into the error that names file and folder.

    Parameters
    ----------
    path
        The file that is being written.
    advice
        What becomes of the work so far, and what to do.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        path = Path(path)
        raise SidekickError(
            f"{path}: no space left in the folder {path.parent.resolve()} "
            f"({free_space(path.parent)} bytes free). {advice}"
        ) from None


def free_space(folder: Path) -> int:
    """Give the bytes that an ordinary user may still write to a folder's disk."""
    return shutil.disk_usage(folder).free
