"""ONNX files that say where they come from and notice every changed bit (no torch, no onnx).

An ONNX file is a protobuf message, and such messages are joined by joining their bytes. Ours end
in two metadata entries that are put behind the graph: `sidekick`, JSON, and `sidekick_sha256`,
whose value, the last 64 bytes of the file, is the SHA-256 of all that comes before them.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sidekick.artifacts import atomic_path
from sidekick.errors import SidekickError

FACTS_KEY = "sidekick"
_DIGEST_KEY = "sidekick_sha256"
_DIGEST_LENGTH = 64


def write_network(path: str | Path, graph: bytes, facts: Mapping[str, Any]) -> int:
    """Write a serialised graph with its facts; give the file's size in bytes."""
    text = json.dumps(facts, sort_keys=True).encode()
    digest_field = _metadata(_DIGEST_KEY.encode(), b"0" * _DIGEST_LENGTH)
    content = graph + _metadata(FACTS_KEY.encode(), text) + digest_field[:-_DIGEST_LENGTH]
    content += hashlib.sha256(content).hexdigest().encode()
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return len(content)


def read_network(path: str | Path) -> bytes:
    """Read a file of `write_network`.

    Raises
    ------
    SidekickError
        If it is missing, not one of ours, or not as it was written; the message names it.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise SidekickError(f"{path}: no such file") from None
    except OSError as error:
        raise SidekickError(f"{path}: cannot be read ({error.strerror})") from None
    # A view, since a copy would double the memory of a large network.
    body, digest = memoryview(content)[:-_DIGEST_LENGTH], content[-_DIGEST_LENGTH:]
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise SidekickError(
            f"{path}: not an ONNX file of Sidekick, or not as it was written. "
            "Delete it and start the run again: its job is then repeated"
        )
    return content


def _metadata(key: bytes, value: bytes) -> bytes:
    """Encode an entry of `ModelProto.metadata_props` (field 14, of two strings: 1 and 2)."""
    entry = _field(1, key) + _field(2, value)
    return _field(14, entry)


def _field(number: int, content: bytes) -> bytes:
    length_delimited = 2
    return _varint(number << 3 | length_delimited) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])
