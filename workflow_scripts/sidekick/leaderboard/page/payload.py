"""Pack numbers and text so that a page can carry them: gzip and base64."""

import base64
import gzip
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

# Of a float32, all but the last of four bytes are kept: 15 bits of mantissa.
_DROPPED_BITS = 8


def pack(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """Pack a header and arrays of numbers into text of the characters of base64.

    The text holds, compressed, the length of the header (uint32, little endian), the header as
    JSON, and the arrays. Each array is stored as three planes of bytes, the highest first, for
    neighbours share their high bytes, and that compresses well. The header gets a key `arrays`
    with each array's offset behind the header, and its shape.

    Parameters
    ----------
    header
        Anything that JSON can hold; NaN becomes null, infinities become text.
    arrays
        Floating-point numbers of any shape. They are rounded to 1.5·10⁻⁵ of their value.

    Returns
    -------
    str
        The same for the same arguments.
    """
    places, blocks, offset = {}, [], 0
    for name, array in arrays.items():
        block = _planes(array)
        places[name] = [offset, list(array.shape)]
        blocks.append(block)
        offset += len(block)
    text = json.dumps(
        plain({**header, "arrays": places}),
        ensure_ascii=False,
        separators=(",", ":"),
        allow_nan=False,
    ).encode()
    whole = b"".join([len(text).to_bytes(4, "little"), text, *blocks])
    return base64.b64encode(gzip.compress(whole, 9, mtime=0)).decode()


def _planes(array: np.ndarray) -> bytes:
    numbers = np.ascontiguousarray(array, dtype=np.float32).ravel()
    numbers = np.where(np.isnan(numbers), np.float32(np.nan), numbers)
    half = np.uint32(1 << (_DROPPED_BITS - 1))
    bits = (numbers.view(np.uint32) + half) >> np.uint32(_DROPPED_BITS)
    return b"".join(((bits >> shift) & 0xFF).astype(np.uint8).tobytes() for shift in (16, 8, 0))


def plain(value: Any) -> Any:
    """Give what JSON can hold: no NaN, no infinity, no numpy."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        if math.isnan(value):
            return None
        return float(value) if math.isfinite(value) else str(float(value))
    return value if value is None else str(value)


class Words:
    """Texts by number: each is kept once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, text: str | None) -> int:
        """Give a text's number; -1 of None."""
        return -1 if text is None else self._numbers.setdefault(text, len(self._numbers))

    @property
    def texts(self) -> list[str]:
        """Give the texts in the order of their numbers."""
        return list(self._numbers)
