"""Disks that are full or may not be written, told in words that help."""

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sidekick.errors import SidekickError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)
# Of libraries whose errors have words only.
_FULL_WORDS = ("No space left on device", "Disk quota exceeded")


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
    except SidekickError:
        raise
    except Exception as error:
        if not _is_full(error):
            raise
        path = Path(path)
        raise SidekickError(
            f"{path}: no space left in the folder {path.parent.resolve()} "
            f"({free_space(path.parent)} bytes free). {advice}"
        ) from None


@contextmanager
def refusal_named(folder: Path) -> Iterator[None]:
    """Turn a folder that may not be written into the error that names it."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        raise SidekickError(
            f"{folder.resolve()}: this folder cannot be written ({error.strerror}). "
            "Make it writable, or work in another folder with --directory"
        ) from None


def require_writable(folder: Path) -> None:
    """Refuse a folder in which no file can be made; if there is none, so is its parent.

    Raises
    ------
    SidekickError
        Naming the folder and what can be done.
    """
    with refusal_named(folder):
        tempfile.TemporaryFile(dir=_existing(folder)).close()


def free_space(folder: Path) -> int:
    """Give the bytes that an ordinary user may still write to a folder's disk, made or not."""
    return shutil.disk_usage(_existing(folder)).free


def _existing(folder: Path) -> Path:
    """Give a folder, or the nearest above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _is_full(error: BaseException | None) -> bool:
    """Whether an error, or the one that it hides, comes from a full disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if any(words in str(error) for words in _FULL_WORDS):
            return True
        error = error.__context__
    return False
