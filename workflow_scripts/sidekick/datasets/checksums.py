"""Checksums of files, written as "md5:…" or "sha256:…"."""

import hashlib
import re
from pathlib import Path

from sidekick.errors import SidekickError

_LENGTHS = {"md5": 32, "sha256": 64}


def parse_checksum(checksum: str) -> tuple[str, str]:
    """Split a checksum into algorithm and lower-case hexadecimal digits.

    Raises
    ------
    SidekickError
        If it is not "md5:" and 32, or "sha256:" and 64 hexadecimal digits.
    """
    algorithm, _, digits = checksum.partition(":")
    if not re.fullmatch(f"[0-9a-fA-F]{{{_LENGTHS.get(algorithm, 1)}}}", digits) or (
        algorithm not in _LENGTHS
    ):
        raise SidekickError(
            f"checksum {checksum!r}: expected 'md5:' and 32, or 'sha256:' and 64 hexadecimal digits"
        )
    return algorithm, digits.lower()


def new_hash(algorithm: str):
    """Start a hash; MD5 is for files whose publishers state nothing better, so say so."""
    return hashlib.new(algorithm, usedforsecurity=False)


def file_checksum(path: Path, algorithm: str) -> str:
    """Give the checksum of a file, as "algorithm:digits", in bounded memory."""
    digest = new_hash(algorithm)
    with path.open("rb") as stream:
        while chunk := stream.read(2**20):
            digest.update(chunk)
    return f"{algorithm}:{digest.hexdigest()}"


def same_checksum(one: str, other: str) -> bool:
    """Say whether two checksums are equal, whatever the case of their digits."""
    return parse_checksum(one) == parse_checksum(other)
