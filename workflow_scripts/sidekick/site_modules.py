"""The environment modules that a site has for the rules of each stage.

Used while Snakemake parses the workflow, so it imports nothing heavy.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import yaml

from sidekick.config_form import check_file, suggest
from sidekick.errors import SidekickError

# Snakemake hands the names to a shell as they are.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+/@=-]*")


def read_modules(path: str | Path, stages: Iterable[str]) -> dict[str, list[str]]:
    """Read which modules each stage loads, in order.

    Parameters
    ----------
    path
        A YAML file: lists of names by stage.
    stages
        Names of all stages.

    Returns
    -------
    dict of str to list of str
        By stage; empty for a stage that the file leaves out.

    Raises
    ------
    SidekickError
        If the file is unreadable, names an unknown stage, or a name is none that a module can
        have.
    """
    check_file(path)
    content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    found = {stage: [] for stage in stages}
    for stage, names in content.items():
        if stage not in found:
            raise SidekickError(f"{path}: '{stage}' is not a stage" + suggest(str(stage), found))
        if not isinstance(names, list):
            raise SidekickError(f"{path}: {stage}: {names!r} is not a list of modules' names")
        for name in names:
            if not (isinstance(name, str) and _NAME.fullmatch(name)):
                raise SidekickError(
                    f"{path}: {stage}: {name!r} cannot be a module's name; allowed are letters, "
                    "digits and _ . + / @ = -"
                )
        found[stage] = names
    return found
