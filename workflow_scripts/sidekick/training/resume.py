"""The state of an unfinished training, so that a killed job goes on where it was."""

import hashlib
import json
import logging
import zipfile
from pathlib import Path
from typing import Any

import torch

from sidekick.artifacts import atomic_path

_log = logging.getLogger("sidekick")


class ResumeFile:
    """One file that holds the latest finished epoch of one training.

    Parameters
    ----------
    checkpoint
        Where the finished weights will be; the file lies beside it as `<stem>.resume.pt`.
    identity
        Everything that decides what the training would compute, as JSON values. A file of
        another identity is ignored.
    """

    def __init__(self, checkpoint: str | Path, identity: dict[str, Any]) -> None:
        self.path = Path(checkpoint).with_suffix(".resume.pt")
        text = json.dumps(identity, sort_keys=True)
        self._fingerprint = hashlib.sha256(text.encode()).hexdigest()

    def load(self) -> dict[str, Any] | None:
        """Give the saved state, or None if there is none that fits (the log says why)."""
        if not self.path.exists():
            return None
        try:
            # torch.load does not look at the checksums that torch.save has written.
            if damaged := zipfile.ZipFile(self.path).testzip():
                raise ValueError(f"wrong checksum of {damaged}")
            saved = torch.load(self.path, map_location="cpu", weights_only=True)
            fingerprint, state = saved["fingerprint"], saved["state"]
        except Exception as error:
            # Damage shows as any kind of exception, and starting afresh is always right.
            _log.warning("%s is damaged (%r): training starts afresh", self.path, error)
            return None
        if fingerprint != self._fingerprint:
            _log.warning(
                "%s belongs to other settings, data or versions: training starts afresh", self.path
            )
            return None
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Replace the saved state."""
        # By a path, torch would not say that the disk is full.
        with atomic_path(self.path) as temporary, temporary.open("wb") as file:
            torch.save({"fingerprint": self._fingerprint, "state": state}, file)

    def delete(self) -> None:
        """Forget the state of a training that is finished."""
        self.path.unlink(missing_ok=True)
