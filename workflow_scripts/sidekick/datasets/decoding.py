"""Decode image files, ahead of whoever waits for their pixels."""

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

from sidekick.errors import SidekickError

T = TypeVar("T")

Encoded = tuple[object, str]
"""An image file's bytes (any object with the buffer protocol) and the sample's name."""

Load = Callable[[object, str], np.ndarray]
"""Maps bytes and name to (H, W, 3) uint8; called by several threads at once."""

# Images that a thread decodes at a stretch: few enough to share a batch, enough to outweigh the
# price of handing out work.
_STRETCH = 8


def open_rgb(data: object, name: str) -> Image.Image:
    """Decode an image file of any format that Pillow reads, as RGB.

    Grey becomes three equal channels; an alpha channel is dropped, and the colours that it hides
    stay. Orientation tags are not obeyed, as timm and torchvision do not.

    Parameters
    ----------
    data
        The file's bytes.
    name
        What to call the image in a message.

    Raises
    ------
    SidekickError
        If it does not decode completely.
    """
    try:
        return Image.open(io.BytesIO(data)).convert("RGB")
    except Exception as error:
        # Damage shows as any kind of exception, even of division.
        raise SidekickError(f"{name}: the image does not decode ({error})") from None


def decode_rgb(data: object, name: str) -> np.ndarray:
    """Decode an image file to (H, W, 3) uint8; see `open_rgb`."""
    return np.array(open_rgb(data, name))


def fixed_shape_decoder(shape: Sequence[int]) -> Load:
    """Give a `decode_rgb` that refuses images of another shape than (H, W, 3)."""
    expected = tuple(shape)

    def decode(data: object, name: str) -> np.ndarray:
        image = decode_rgb(data, name)
        if image.shape != expected:
            raise SidekickError(f"{name}: the image's shape is {image.shape}; expected {expected}")
        return image

    return decode


@dataclass(frozen=True, eq=False)
class Batch(Generic[T]):
    """Images to decode.

    Attributes
    ----------
    files
        What to decode.
    images
        (n, H, W, 3) uint8: where to put the pixels.
    facts
        Whatever belongs to the batch.
    """

    files: Sequence[Encoded]
    images: np.ndarray
    facts: T


def decode_ahead(
    batches: Iterable[Batch[T]],
    load: Load,
    threads: int,
    ahead: int = 2,
    finish: Callable[[Batch[T]], None] | None = None,
    initialise: Callable[[], None] | None = None,
) -> Iterator[Batch[T]]:
    """Decode batches by several threads, some batches before they are asked for.

    What it gives does not depend on the number of threads. These end when the iterator is
    exhausted, is closed or fails; a loop that may be left early closes it by
    `contextlib.closing`.

    Parameters
    ----------
    batches
        Read only as far as is decoded ahead.
    load
        Decodes one image. Pillow lets go of the interpreter's lock while it works.
    threads
        How many threads decode.
    ahead
        Batches that are decoded, or being decoded, beyond the one that was asked for: they bound
        the memory.
    finish
        What one of the threads does with a batch that is decoded.
    initialise
        What each thread does first.

    Yields
    ------
    Batch
        The same batches in the same order, decoded.

    Raises
    ------
    SidekickError
        What `load` or `finish` raised first, in the order of the batches.
    """
    pending: deque[tuple[Batch[T], list[Future]]] = deque()
    pool = ThreadPoolExecutor(threads, "decode", initialise)
    try:
        for batch in batches:
            starts = range(0, len(batch.files), _STRETCH)
            work = [pool.submit(_decode, batch, first, load) for first in starts]
            if finish is not None:
                # Work starts in the order of submission, so what is waited for has begun.
                work.append(pool.submit(_finish, batch, list(work), finish))
            pending.append((batch, work))
            if len(pending) > ahead:
                yield _finished(*pending.popleft())
        while pending:
            yield _finished(*pending.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _decode(batch: Batch[T], first: int, load: Load) -> None:
    for row, (data, name) in enumerate(batch.files[first : first + _STRETCH], first):
        batch.images[row] = load(data, name)


def _finish(batch: Batch[T], work: list[Future], finish: Callable[[Batch[T]], None]) -> None:
    finish(_finished(batch, work))


def _finished(batch: Batch[T], work: list[Future]) -> Batch[T]:
    for part in work:
        part.result()
    return batch
