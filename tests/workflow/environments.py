"""The conda environments' lists, and environments made of what they list, without conda.

What is installed beside the tests came from the hashed lock file, which is one proof that all pins
fit together. So an environment is made of links to just those of its files that belong to the
listed packages and to what these require: nothing is downloaded, and it takes a second and no
disk. It has the Python that runs the tests, whichever conda would bring.
"""

import os
import re
import sys
import venv
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from workflow.project import ROOT

STAGES = sorted(path.stem for path in (ROOT / "envs").glob("*.yaml") if path.stem != "modules")
# Names that differ on the Python package index.
CONDA_NAMES = {"pytorch": "torch"}
# What leads out of `site-packages`, as scripts do, is not needed to import a package.
_OUTSIDE = ".."


def pins(path: Path) -> dict[str, str]:
    """Give an environment's packages, by their names on the Python package index, and pins.

    Raises
    ------
    ValueError
        If an entry is no name with an exact pin.
    """
    found = {}
    for dependency in yaml.safe_load(path.read_text())["dependencies"]:
        match = re.fullmatch(r"([a-z0-9_-]+) =([0-9][0-9a-z.]*)", dependency)
        if match is None:
            raise ValueError(f"{path}: '{dependency}' is no name with an exact pin")
        name, pin = match.groups()
        found[canonicalize_name(CONDA_NAMES.get(name, name))] = pin
    return found


@cache
def stages_of_rules() -> dict[str, str]:
    """Give the stage whose environment each rule names."""
    found = {}
    for path in (ROOT / "rules").glob("*.smk"):
        for rule in re.split(r"^rule ", path.read_text(), flags=re.M)[1:]:
            name = rule.partition(":")[0]
            found[name] = re.search(r'conda:\s+"\.\./envs/(\w+)\.yaml"', rule)[1]
    return found


@cache
def environment(stage: str) -> dict[str, str]:
    """Give the packages of a stage's environment, and their pins."""
    return pins(ROOT / "envs" / f"{stage}.yaml")


def closure(names: Iterable[str]) -> frozenset[str]:
    """Give the installed distributions that installing some brings, themselves included."""
    todo = [(canonicalize_name(name), frozenset()) for name in names]
    seen, found = set(), set()
    while todo:
        name, extras = todo.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # required by another platform
        found.add(name)
        for text in requirements:
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in {"", *extras}):
                todo.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return frozenset(found)


def build(prefix: Path, listed: Mapping[str, str], customisation: str) -> None:
    """Make an environment that holds the listed packages, what they require, and nothing else.

    Parameters
    ----------
    prefix
        The folder; it must not exist.
    listed
        Pins by name. That of `python` is not looked at.
    customisation
        Text of a `sitecustomize` module, which Python runs at its start.

    Raises
    ------
    ValueError
        If a package is installed here in another version than the pinned one, or not at all.
    """
    wanted = {name: pin for name, pin in listed.items() if name != "python"}
    for name, pin in wanted.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            version = "none"
        if version != pin:
            raise ValueError(f"{name}: {pin} is pinned, but installed is {version}")
    venv.create(prefix, symlinks=True)
    packages = prefix / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    for name in closure(wanted):
        distribution = metadata.distribution(name)
        files = (str(file) for file in distribution.files or ())
        folder = str(distribution.locate_file(""))
        _link(folder, str(packages), [file for file in files if not file.startswith(_OUTSIDE)])
    (packages / "sitecustomize.py").write_text(customisation)


def _link(source: str, target: str, files: list[str]) -> None:
    for folder in {os.path.dirname(file) for file in files}:
        os.makedirs(os.path.join(target, folder), exist_ok=True)
    for file in files:
        there, here = os.path.join(source, file), os.path.join(target, file)
        try:
            os.link(there, here)
        except (FileExistsError, FileNotFoundError):
            continue  # of a folder that packages share, or not made at the installation
        except OSError:  # another file system
            os.symlink(there, here)
