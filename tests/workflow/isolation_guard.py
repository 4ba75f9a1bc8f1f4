"""Shut an environment off from the packages beside Snakemake; its `sitecustomize` module.

Snakemake appends its own `site-packages` to the path of a script, for the description of the job
is an object of one of its classes. Once the job's own code begins, which is when `sidekick` is
imported first, those folders and what was loaded from them are gone. At the end of the process, a
file in the folder ISOLATION_RECORDS says in which environment the script ran, and what it loaded.
"""

import atexit
import importlib
import json
import os
import sys
import sysconfig
from pathlib import Path

PACKAGES = {"site-packages", "dist-packages"}
STANDARD = {os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}


class Gate:
    """Finds nothing, but sees what is looked for."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "sidekick":
            sys.meta_path.remove(self)
            shut()


def shut():
    """Take everything foreign away but for Snakemake's own modules, which the job is read by."""
    importlib.import_module("snakemake.io")  # reading a param imports it
    sys.path[:] = [folder for folder in sys.path if belongs(folder) or is_ours(folder)]
    for name, path in packaged().items():
        if not belongs(path) and name.partition(".")[0] != "snakemake":
            del sys.modules[name]
    atexit.register(record)


def packaged():
    """Give the file of each loaded module that lies in a folder of packages, wherever."""
    files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    return {name: file for name, file in files.items() if file and PACKAGES & set(Path(file).parts)}


def belongs(path):
    """Say whether a path is in this environment, or in Python's standard library."""
    path = Path(os.path.abspath(path))
    if PACKAGES & set(path.parts):
        return path.is_relative_to(sys.prefix)
    standard = Path(os.path.realpath(path))
    return path.is_relative_to(sys.prefix) or any(map(standard.is_relative_to, STANDARD))


def is_ours(folder):
    """Say whether a folder holds the project's scripts."""
    return os.path.isdir(os.path.join(folder, "sidekick"))


def record():
    """Write what ran here."""
    loaded = {name.partition(".")[0]: belongs(path) for name, path in packaged().items()}
    content = {
        "rule": Path(sys.argv[0]).name.split(".")[-2],
        "prefix": sys.prefix,
        "own": sorted(name for name, is_own in loaded.items() if is_own),
        "foreign": sorted(name for name, is_own in loaded.items() if not is_own),
    }
    folder = Path(os.environ["ISOLATION_RECORDS"])
    (folder / f"{content['rule']}-{os.getpid()}.json").write_text(json.dumps(content))


sys.meta_path.insert(0, Gate())
