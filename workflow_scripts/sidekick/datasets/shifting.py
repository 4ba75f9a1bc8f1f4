"""Make the corrupted images of a shift set, or take them from published arrays."""

import ctypes
import multiprocessing
import signal
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import NamedTuple

import numpy as np
from PIL import Image

from sidekick.datasets.corruptions import corrupt
from sidekick.datasets.decoding import open_rgb
from sidekick.errors import SidekickError

#: Bytes of corrupted images, of all cells, that a process makes at a time; at least one sample's.
_CHUNK_BYTES = 8 * 2**20

Cell = tuple[str, int]
"""A corruption and a severity."""


class Clean(NamedTuple):
    """A clean test image that is to be corrupted: its bytes as stored, to be decoded or not."""

    sample_id: str
    image: bytes
    label: int


class Corrupted(NamedTuple):
    """A row of the shift table; the image is row-major RGB bytes."""

    sample_id: str
    image: bytes
    label: int
    corruption: str
    severity: int


class PixelsOf:
    """Gives the pixels of a stored image, at the shape of the shift set.

    Parameters
    ----------
    shape
        (H, W, 3) of the shift set.
    encoded
        Whether images are stored as files.
    source
        The dataset, for messages.
    """

    def __init__(self, shape: tuple[int, int, int], *, encoded: bool, source: str):
        self.shape = shape
        self._encoded = encoded
        self._source = source

    def __call__(self, clean: Clean) -> np.ndarray:
        """Decode; images of another shape are resized (bicubic, antialiased) and cropped."""
        if not self._encoded:
            return np.frombuffer(clean.image, np.uint8).reshape(self.shape)
        image = open_rgb(clean.image, f"{self._source}: sample {clean.sample_id}")
        if (image.height, image.width) != self.shape[:2]:
            image = centre_square(image, self.shape[0])
        return np.asarray(image)


def centre_square(image: Image.Image, side: int) -> Image.Image:
    """Resize the shorter side to `side` and crop the centre, by one resampling."""
    width, height = image.size
    shorter = min(width, height)
    left, top = (width - shorter) / 2, (height - shorter) / 2
    box = (left, top, left + shorter, top + shorter)
    return image.resize((side, side), Image.Resampling.BICUBIC, box=box)


def generate(
    clean: Iterable[Clean],
    cells: Sequence[Cell],
    pixels_of: PixelsOf,
    frost: Sequence[np.ndarray] | None,
    processes: int,
) -> Iterator[Corrupted]:
    """Corrupt images in every way, by several processes, in bounded memory.

    The result does not depend on how many processes there are.

    Parameters
    ----------
    clean
        A stream of test images.
    cells
        Corruptions and severities.
    pixels_of
        Decodes them.
    frost
        The overlays, for the corruption of this name.
    processes
        How many work; with 1, no other is started.

    Yields
    ------
    Corrupted
        By clean image in the order of the stream, and within it by cell.
    """
    bytes_of_sample = max(1, len(cells)) * int(np.prod(pixels_of.shape))
    size = max(1, _CHUNK_BYTES // bytes_of_sample)
    chunks = _chunks(clean, size)
    if processes == 1:
        _set_up(cells, pixels_of, frost, kill_with_parent=False)
        for chunk in chunks:
            yield from _rows(chunk, cells, _corrupt_chunk(chunk))
        return
    with _pool(processes, cells, pixels_of, frost) as pool:
        yield from _in_order(pool.submit, chunks, cells, 2 * processes)


def _in_order(
    submit: Callable, chunks: Iterable[list[Clean]], cells: Sequence[Cell], ahead: int
) -> Iterator[Corrupted]:
    pending: deque[tuple[list[Clean], Future]] = deque()
    try:
        for chunk in chunks:
            pending.append((chunk, submit(_corrupt_chunk, chunk)))
            if len(pending) > ahead:
                done, future = pending.popleft()
                yield from _rows(done, cells, future.result())
        while pending:
            done, future = pending.popleft()
            yield from _rows(done, cells, future.result())
    except BrokenProcessPool:
        raise SidekickError(
            "a process that corrupts images was killed, probably for lack of memory; start the "
            "run again with fewer cores"
        ) from None
    finally:
        for _, future in pending:
            future.cancel()


def _rows(chunk: list[Clean], cells: Sequence[Cell], images: np.ndarray) -> Iterator[Corrupted]:
    for clean, row in zip(chunk, images, strict=True):
        for (corruption, severity), image in zip(cells, row, strict=True):
            yield Corrupted(clean.sample_id, image.tobytes(), clean.label, corruption, severity)


def _chunks(clean: Iterable[Clean], size: int) -> Iterator[list[Clean]]:
    clean = iter(clean)
    while chunk := list(islice(clean, size)):
        yield chunk


def _pool(processes: int, *work: object) -> ProcessPoolExecutor:
    # Forked, where that is safe: a spawned process would run the script of the Snakemake job once
    # more. The work done in them is numpy's, SciPy's and Pillow's alone, without threads.
    method = "fork" if sys.platform == "linux" else "spawn"
    pool = ProcessPoolExecutor(
        processes, multiprocessing.get_context(method), _set_up, initargs=(*work, True)
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        pool.submit(int).result()
    return pool


_work: tuple[Sequence[Cell], PixelsOf, Sequence[np.ndarray] | None]


def _set_up(
    cells: Sequence[Cell],
    pixels_of: PixelsOf,
    frost: Sequence[np.ndarray] | None,
    kill_with_parent: bool,
) -> None:
    """Tell a process what to do with every chunk; let it end with its parent on Linux."""
    global _work
    _work = cells, pixels_of, frost
    if kill_with_parent and sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _corrupt_chunk(chunk: list[Clean]) -> np.ndarray:
    """Give (n, cells, H, W, 3) uint8."""
    cells, pixels_of, frost = _work
    images = np.stack([pixels_of(clean) for clean in chunk])
    ids = [clean.sample_id for clean in chunk]
    corrupted = np.empty((len(chunk), len(cells), *pixels_of.shape), np.uint8)
    for position, (corruption, severity) in enumerate(cells):
        corrupted[:, position] = corrupt(images, corruption, severity, ids, frost=frost)
    return corrupted
