"""See that image files decode, in several threads, on their way through."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from itertools import islice

from PIL import Image

from sidekick.datasets.samples import Sample
from sidekick.errors import SidekickError

#: Far beyond any photograph of a benchmark: a small file may claim any size.
LARGEST_IMAGE = 100_000_000
_FORMATS = ("JPEG", "PNG")
#: Samples that a thread looks at in one go, and such portions per thread that are under way.
_PORTION = 16
_PORTIONS_PER_THREAD = 2


def image_shape(data: bytes, name: str) -> tuple[int, int, int]:
    """Decode an image file to see that it can be, and give the (H, W, 3) of it as RGB.

    All of a JPEG's data are decoded, but only to an eighth of its size: this finds a file that is
    cut off at a third of the price. Wrong bits within the data that happen to be legal go unseen,
    as they do for every reader.

    Raises
    ------
    SidekickError
        If it does not decode, is no JPEG or PNG, or is unreasonably large; with `name`.
    """
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
            if width * height > LARGEST_IMAGE:
                raise SidekickError(f"{name}: an image of {width}×{height} pixels; refused")
            image.draft("RGB", (max(1, width // 8), max(1, height // 8)))
            image.load()
    except SidekickError:
        raise
    except Exception as error:
        # Damage shows as any kind of exception.
        raise SidekickError(f"{name}: the image does not decode ({error})") from None
    return height, width, 3


def verified(
    samples: Iterable[Sample], threads: int, place: str
) -> Iterator[tuple[Sample, tuple[int, int, int]]]:
    """Give the samples in their order, with the shapes of their images, once they are verified.

    Parameters
    ----------
    samples
        A stream, of which `threads` times 48 samples at most are held.
    threads
        How many decode.
    place
        The archive, for messages.

    Raises
    ------
    SidekickError
        As `image_shape`, with archive and sample id.
    """

    def look(portion: list[Sample]) -> list[tuple[int, int, int]]:
        return [
            image_shape(sample.image, f"{place}: sample {sample.sample_id}") for sample in portion
        ]

    samples = iter(samples)
    pending: deque[tuple[list[Sample], Future]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="verify")
    try:
        while portion := list(islice(samples, _PORTION)):
            pending.append((portion, pool.submit(look, portion)))
            if len(pending) > threads * _PORTIONS_PER_THREAD:
                yield from _finished(*pending.popleft())
        while pending:
            yield from _finished(*pending.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _finished(portion: list[Sample], shapes: Future) -> Iterator:
    return zip(portion, shapes.result(), strict=True)
