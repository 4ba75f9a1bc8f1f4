"""Random draws that are the same on every machine and in every version of any library."""

from collections.abc import Sequence
from typing import TypeVar

from sidekick.datasets.hashing import keyed_hash

_WORD = 8
_BLOCK = 64

_Value = TypeVar("_Value")


class Dice:
    """A stream of draws that is fixed by its key alone.

    The n-th block of 64 random bytes is the hash of n under the key (`keyed_hash`): streams of
    different keys are independent, and no library's generator could change what is drawn.

    Parameters
    ----------
    key
        Names the stream, at most 64 bytes of UTF-8.
    """

    def __init__(self, key: str):
        self._key = key
        self._blocks = 0
        self._bytes = b""

    def below(self, limit: int) -> int:
        """Draw an integer from 0 to `limit` - 1.

        The remainder of a 64-bit number is used: for limits below 1,000 no value is likelier than
        another by more than 1e-16.
        """
        if not self._bytes:
            self._bytes = keyed_hash(str(self._blocks), self._key, _BLOCK)
            self._blocks += 1
        word, self._bytes = self._bytes[:_WORD], self._bytes[_WORD:]
        return int.from_bytes(word, "little") % limit

    def between(self, low: int, high: int) -> int:
        """Draw an integer from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def pick(self, values: Sequence[_Value]) -> _Value:
        """Draw one of some values."""
        return values[self.below(len(values))]

    def sample(self, values: Sequence[_Value], size: int) -> list[_Value]:
        """Draw `size` different places of a sequence, in random order."""
        rest = list(values)
        return [rest.pop(self.below(len(rest))) for _ in range(size)]

    def shuffled(self, values: Sequence[_Value]) -> list[_Value]:
        """Give all values in random order."""
        return self.sample(values, len(values))
