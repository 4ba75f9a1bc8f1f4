"""Read the pickles of CIFAR without trusting them.

A pickle is a program: loading one may call any function. The CIFAR batches only need lists,
dictionaries, bytes and one array of bytes, so that is all that can come out here. Neither numpy
nor any other code is handed values from the file: arrays are rebuilt from their raw bytes.
"""

import io
import math
import pickle

import numpy as np

from sidekick.errors import SidekickError


def load_pickle(data: bytes, place: str) -> object:
    """Load a pickle of plain containers, numbers, text, bytes and uint8 arrays.

    Parameters
    ----------
    data
        The pickle; text of Python 2 becomes bytes.
    place
        The file it is from, for messages.

    Raises
    ------
    SidekickError
        If it refers to anything else, or is damaged; with the place and what it refers to.
    """
    try:
        return _arrays_out(_Restricted(io.BytesIO(data), place).load())
    except SidekickError:
        raise
    except Exception as error:
        # A damaged or hostile program fails in any way.
        raise SidekickError(f"{place}: not a readable pickle ({error!r})") from None


class _Dtype:
    """Stands for numpy.dtype; only bytes are admitted."""

    def __init__(self, code: str | bytes, *_: object):
        if code not in ("u1", b"u1", "|u1", b"|u1", "uint8", b"uint8"):
            raise ValueError(f"an array of type {code!r}; expected uint8")

    def __setstate__(self, state: object) -> None:
        """Ignore byte order and the like, which bytes do not have."""


class _Array:
    """Stands for numpy.ndarray until the pickle is loaded."""

    values: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran_order, raw = state
        if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes):
            raise ValueError("an array without type or contents")
        if math.prod(shape) != len(raw):
            raise ValueError(f"an array of shape {shape} with {len(raw)} bytes")
        order = "F" if fortran_order else "C"
        self.values = np.frombuffer(raw, np.uint8).reshape(shape, order=order)


def _reconstruct(subtype: type, shape: tuple, code: object) -> _Array:
    return _Array()


def _encode(text: str, encoding: str) -> bytes:
    """Give back the bytes that Python 3 writes as text in protocols before its own."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"text in the encoding {encoding!r}; expected latin1")
    return text.encode("latin1")


_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}


class _Restricted(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, place: str):
        super().__init__(stream, encoding="bytes")
        self._place = place

    def find_class(self, module: str, name: str) -> object:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise SidekickError(
                f"{self._place}: the pickle refers to {module}.{name}, which is no part of a "
                "dataset; it is refused as tampered with"
            ) from None

    def persistent_load(self, pid: object) -> object:
        raise SidekickError(f"{self._place}: the pickle refers to something outside it; refused")


def _arrays_out(value: object) -> object:
    """Put the arrays where their stand-ins are: as values of the outermost dictionary."""
    if isinstance(value, dict):
        return {
            key: entry.values if isinstance(entry, _Array) else entry
            for key, entry in value.items()
        }
    return value
