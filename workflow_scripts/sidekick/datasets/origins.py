"""Where a source's files come from, by the config."""

from collections.abc import Mapping
from typing import Any


def mirror(config: Mapping[str, Any], source: str) -> str | None:
    """Give the URL prefix that a source's files may also be had from."""
    own = [block["mirror"] for block in downloads(config, source) if "mirror" in block]
    return own[0] if own else config.get("downloads", {}).get("mirror")


def downloads(config: Mapping[str, Any], source: str) -> list[Mapping[str, Any]]:
    """Give the blocks of datasets for which a source is downloaded."""
    entries = config["datasets"].values()
    blocks = [block for entry in entries for block in (entry, entry.get("shift") or {})]
    return [block for block in blocks if block.get("source") == source and "path" not in block]
