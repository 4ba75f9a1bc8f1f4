"""Compile kernels once per machine: the cache on disk, and what to do without one."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numba
from numba.core import config

# Sums may be taken in several lanes at once, and products fused into them. NaN and infinity keep
# their meaning: logits are checked for them.
_LANES = frozenset({"reassoc", "contract", "nsz"})


def kernel(function: Callable) -> Callable:
    """Compile a function that may make arrays; its arithmetic is as written."""
    return _cached(function, fastmath=False)


def row_kernel(function: Callable) -> Callable:
    """Compile a function that makes no arrays, only views of those it is given.

    Counting who refers to an array is an atomic operation: without it, rows of 100 classes take a
    third less time.
    """
    return _cached(function, fastmath=False, _nrt=False)


def vector_kernel(function: Callable) -> Callable:
    """Compile a `row_kernel` whose sums may be split into SIMD lanes.

    Rounding then differs between kinds of processor, but not from run to run on one machine.
    """
    return _cached(function, fastmath=set(_LANES), _nrt=False)


def _cached(function: Callable, **options) -> Callable:
    options |= {"nogil": True, "error_model": "numpy"}
    folder = _cache_folder()
    if folder is None:
        return numba.njit(**options)(function)
    # Numba reads the folder when it decorates; the setting of the user's own kernels is not ours.
    before, config.CACHE_DIR = config.CACHE_DIR, folder
    try:
        return numba.njit(cache=True, **options)(function)
    finally:
        config.CACHE_DIR = before


@cache
def _cache_folder() -> str | None:
    """Give a writable folder for this very version of all kernels, None if there is none.

    Numba notices a change in the file of a kernel, but not in what that kernel calls from other
    files. So the folder's name tells versions of the whole room apart.
    """
    room = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(room.glob("*.py")):
        digest.update(path.read_bytes())
    name = f"sidekick-{digest.hexdigest()[:16]}"
    roots = [room / "__pycache__", Path.home() / ".cache" / "sidekick"]
    if config.CACHE_DIR:
        roots.insert(0, Path(config.CACHE_DIR))
    for root in roots:
        folder = root / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        return os.fspath(folder)
    return None
