"""The logit cache: the hand-over between inference and evaluation."""

from sidekick.logit_cache.storage import (
    CachedLogits,
    ShiftCell,
    read_logits,
    require_same_samples,
    write_logits,
)

__all__ = [
    "CachedLogits",
    "ShiftCell",
    "read_logits",
    "require_same_samples",
    "write_logits",
]
