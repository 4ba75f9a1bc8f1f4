"""Follow the imports of scripts through the library."""

import ast
from collections.abc import Iterable
from pathlib import Path

from workflow.project import ROOT

SCRIPTS = ROOT / "workflow_scripts"


def reachable(names: Iterable[str]) -> tuple[set[str], set[str]]:
    """Give our modules that importing `names` can load, and what else these import.

    Imports inside functions count, too.
    """
    todo, ours, others = set(names), set(), set()
    while todo:
        name = todo.pop()
        file = _module_file(name)
        if file is None:
            if not name.startswith("sidekick"):
                others.add(name)
        elif name not in ours:
            ours.add(name)
            todo |= imports_of(file)
    return ours, others


def imports_of(path: Path) -> set[str]:
    """Give the modules that a file imports anywhere, even inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _module_file(name: str) -> Path | None:
    """Give the file of one of our modules, None for anything else."""
    path = SCRIPTS.joinpath(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None
