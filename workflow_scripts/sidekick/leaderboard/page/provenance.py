"""Where a board comes from: data, settings, software, machine, time, and how to cite it."""

import csv
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sidekick.artifacts import read_facts, read_json

# These run beside the job that makes the page, or are it: their times are not known yet.
_AFTER = ("plot_leaderboard", "plot_mc_dropout_examples", "render_page")
_CARD = (
    "title",
    "modality",
    "revision",
    "licence",
    "citation",
    "homepage",
    "sizes",
    "classes",
    "corruptions",
    "severities",
    "shift_samples",
    "shift_source",
    "shift_revision",
)


def read_cards(paths: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read the cards of datasets, by the dataset's id: the folder that a card lies in."""
    cards = {}
    for path in map(Path, paths):
        card = read_json(path)
        kept = {name: card[name] for name in _CARD if name in card}
        cards[path.parent.name] = {**kept, "classes": len(card.get("classes", []))}
    return cards


def read_origin(leaderboard: str) -> dict[str, Any]:
    """Give the software and the git revision that a leaderboard was made with."""
    facts = read_facts(leaderboard)
    return {
        "software": json.loads(facts.get("software", "{}")),
        "git_revision": facts.get("git_revision", "unknown"),
    }


def read_times(folder: str) -> list[dict[str, Any]]:
    """Sum Snakemake's records of time and memory per rule.

    Parameters
    ----------
    folder
        The folder of the records: `{rule}.tsv` or a folder of its name for each rule.

    Returns
    -------
    list of dict
        `rule`, `jobs`, `seconds` (of all jobs) and `megabytes` (of the largest), the longest
        first. Without the rules that run when the page is made.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for path in sorted(Path(folder).rglob("*.tsv")):
        rule = path.relative_to(folder).parts[0].removesuffix(".tsv")
        if rule not in _AFTER:
            found.setdefault(rule, []).extend(_records(path))
    rules = [
        {
            "rule": rule,
            "jobs": len(records),
            "seconds": round(sum(seconds for seconds, _ in records), 1),
            "megabytes": round(max((memory for _, memory in records), default=0)),
        }
        for rule, records in found.items()
    ]
    return sorted(rules, key=lambda entry: (-entry["seconds"], entry["rule"]))


def _records(path: Path) -> list[tuple[float, float]]:
    with path.open(encoding="utf-8") as stream:
        return [
            (_number(row.get("s")), _number(row.get("max_rss")))
            for row in csv.DictReader(stream, delimiter="\t")
        ]


def _number(text: str | None) -> float:
    # Snakemake writes NA or - of jobs that ended before it could look.
    try:
        return float(text or "0")
    except ValueError:
        return 0.0


def machine() -> dict[str, Any]:
    """Describe the machine that this runs on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def citations(content: Mapping[str, Any]) -> dict[str, Any]:
    """Say how to cite the software and the papers, from the content of a citation file."""
    own = f"{_names(content)} ({content['date-released']!s:.4}). {content['title']}. "
    own += f"Version {content['version']}."
    return {"software": own, "works": [_work(entry) for entry in content.get("references", [])]}


def _work(entry: Mapping[str, Any]) -> str:
    identifiers = ", ".join(item["value"] for item in entry.get("identifiers", []))
    return f"{_names(entry)} ({entry['year']}). {entry['title']}. {identifiers}".rstrip()


def _names(entry: Mapping[str, Any]) -> str:
    names = [author.get("family-names") or author["name"] for author in entry["authors"]]
    return ", ".join(names)


def config_text(config: Mapping[str, Any]) -> str:
    """Write a config as YAML, in its order."""
    return yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True, width=100)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
