"""As much of the `conda` command as Snakemake calls, without channels or a solver.

It makes environments of what is installed beside the tests (see `workflow.environments`). So it
shows what Snakemake and the lists do, and nothing of what conda or its channels would.
"""

import json
import os
import re
import shutil
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from workflow.environments import build, pins
from workflow.project import ROOT

VERSION = "25.1.0"
PLATFORM = "linux-64"
ACTIVATE = """\
export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"
"""
# What is understood, and changes nothing here.
FLAGS = ["--explicit", "--json", "--md5", "--no-default-packages", "--quiet", "--tarballs"]
FLAGS += ["--yes", "-y"]
# Beside an environment, what it was made of.
LISTED = "listed.json"


def install(folder: Path) -> str:
    """Put the command into a folder; give the PATH that finds it first."""
    bin = folder / "bin"
    bin.mkdir(parents=True)
    (bin / "activate").write_text(ACTIVATE)
    command = bin / "conda"
    call = f'exec "{sys.executable}" -m workflow.stand_in_conda "{folder}" "$@"'
    command.write_text(f'#!/bin/sh\nexport PYTHONPATH="{ROOT / "tests"}"\n{call}\n')
    command.chmod(0o755)
    return f"{bin}{os.pathsep}{os.environ['PATH']}"


def main(home: str, *words: str) -> None:
    """Answer one call."""
    parser = ArgumentParser()
    for flag in FLAGS:
        parser.add_argument(flag, action="store_true")
    for option in ("--file", "--prefix"):
        parser.add_argument(option, type=Path)
    parser.add_argument("--get", dest="key")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("subcommands", nargs="*")
    options = parser.parse_args(words)
    if options.version:
        print(f"conda {VERSION}")
        return
    match options.subcommands:
        case ["info"]:
            print(json.dumps({"conda_prefix": home, "platform": PLATFORM}))
        case ["clean"]:
            pass
        case ["config"]:
            print(json.dumps({"get": {options.key: "strict"}}))
        case ["env", "create"]:
            create(options, pins(options.file))
        case ["create"]:
            create(options, explicit_pins(options.file))
        case ["list"]:
            print("# platform: linux-64\n@EXPLICIT")
            listed = json.loads((options.prefix / LISTED).read_text())
            for name, pin in listed.items():
                print(f"https://example.org/conda-forge/{PLATFORM}/{name}-{pin}-0.conda#0123")
        case _:
            parser.error(f"this stand-in does not know {words}")


def explicit_pins(path: Path) -> dict[str, str]:
    """Read a list of addresses of packages."""
    text = path.read_text()
    if "@EXPLICIT" not in text:
        raise ValueError(f"{path}: not an explicit list")
    return dict(re.findall(r"^https://\S+/([a-z0-9_-]+)-([^-/]+)-[^-/]+\.conda", text, re.M))


def create(options: Namespace, listed: dict[str, str]) -> None:
    guard = Path(__file__).with_name("isolation_guard.py").read_text()
    shutil.rmtree(options.prefix, ignore_errors=True)
    build(options.prefix, listed, guard)
    (options.prefix / LISTED).write_text(json.dumps(listed))


if __name__ == "__main__":
    main(*sys.argv[1:])
