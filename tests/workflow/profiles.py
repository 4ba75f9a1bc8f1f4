"""The profiles, the rules that they are for, and what a plan with one asks for."""

import re
from typing import Any

import yaml

from workflow.project import ROOT

PROFILES = ("default", "gpu-workstation", "kubernetes", "slurm")


def profile(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "profiles" / name / "profile.yaml").read_text())


def rules() -> dict[str, str]:
    """Give the text of every rule."""
    found = {}
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for name, text in re.findall(r"^rule (\w+):\n((?: +.*\n|\n)*)", path.read_text(), re.M):
            found[name] = text
    return found


def on_gpus(config: dict[str, Any]) -> dict[str, Any]:
    config["compute"]["device"] = "cuda"
    return config


def resources(output: str) -> dict[str, list[dict[str, str]]]:
    """Read what each rule's jobs ask for from the output of a dry run."""
    asked: dict[str, list[dict[str, str]]] = {}
    for rule, block in re.findall(r"^(?:local)?rule (\w+):\n((?: {4}.*\n)*)", output, re.M):
        line = re.search(r"^ {4}resources: (.*)$", block, re.M)
        pairs = (item.split("=", 1) for item in line[1].split(", ")) if line else ()
        asked.setdefault(rule, []).append(dict(pairs))
    return asked
