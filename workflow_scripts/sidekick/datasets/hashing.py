"""Random choices that stay the same on every machine, in every version and in any order."""

from hashlib import blake2b


def keyed_hash(text: str, key: str, size: int) -> bytes:
    """Give `size` bytes that look random but are fixed by `text` and `key`.

    Python's own `hash` differs from process to process, and numpy promises no stable random
    streams between its versions; keyed BLAKE2b (RFC 7693) is fixed for good.
    """
    return blake2b(text.encode(), key=key.encode(), digest_size=size).digest()
