"""Lists of what a model's evaluation read, by which the jobs of its pairs find it.

A job that is given these lists depends on a few small files, of which Snakemake compares the
content, instead of on every cache of every partner.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from sidekick.artifacts import read_json, write_json
from sidekick.evaluation.run import as_list


def write_sources(
    logits: Mapping[str, str | Iterable[str]],
    flops: str | Path,
    facts: Mapping[str, object],
    path: str | Path,
) -> None:
    """List a model's logit files and its FLOPs file, with their checksums.

    Parameters
    ----------
    logits
        Split to the logit files of all recipes and seeds.
    flops
        The FLOPs file.
    facts
        Where the list comes from.
    path
        The JSON file to write.
    """
    listed = {split: _listed(as_list(files)) for split, files in logits.items()}
    content = {"logits": listed, "flops": _listed([flops]), "facts": dict(facts)}
    write_json(content, path)


def read_sources(paths: Iterable[str | Path]) -> tuple[dict[str, list[str]], list[str]]:
    """Give the logit files by split, and the FLOPs files, that some lists name, in their order.

    Raises
    ------
    SidekickError
        If a list is missing or damaged.
    """
    logits: dict[str, list[str]] = {}
    flops: list[str] = []
    for content in map(read_json, paths):
        for split, files in content["logits"].items():
            logits.setdefault(split, []).extend(file["path"] for file in files)
        flops += [file["path"] for file in content["flops"]]
    return logits, flops


def _listed(files: Iterable[str | Path]) -> list[dict[str, str]]:
    return [{"path": str(file), "sha256": _checksum(file)} for file in files]


def _checksum(path: str | Path) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
