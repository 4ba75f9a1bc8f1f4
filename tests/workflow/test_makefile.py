"""The commands of the README: what they would do, and how they refuse."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from workflow.project import ROOT

MAKE = shutil.which("make")
# What the recipes and their shells call, Python left out.
TOOLS = ("sh", "bash", "grep", "sed", "expand", "echo", "rm", "git", "touch")

pytestmark = pytest.mark.skipif(MAKE is None, reason="make is not installed")


@pytest.fixture
def clone(tmp_path) -> Path:
    """A checkout in which nothing is set up yet."""
    folder = tmp_path / "clone"
    folder.mkdir()
    shutil.copy2(ROOT / "Makefile", folder)
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    return folder


def outside():
    """The environment, without what a `make` that runs these tests tells its children."""
    return {key: value for key, value in os.environ.items() if "MAKE" not in key}


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    # A test run that was started by make must not lend its variables to this one.
    return subprocess.run(
        [MAKE, *arguments],
        cwd=folder,
        env=outside() | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )


@pytest.fixture
def pythons(tmp_path):
    """Make a PATH that holds the given Pythons, as name and version, and no other."""

    def build(**versions: tuple[int, int]) -> str:
        folder = tmp_path / "bin"
        folder.mkdir()
        for tool in TOOLS:
            if found := shutil.which(tool):
                (folder / tool).symlink_to(found)
        for name, version in versions.items():
            script = folder / name.replace("_", ".")
            new_enough = "True" if version >= (3, 11) else ""
            script.write_text(f"#!/bin/sh\necho {new_enough}\n")
            script.chmod(0o755)
        return str(folder)

    return build


@pytest.mark.parametrize(
    ("target", "lock", "command"),
    [
        ("leaderboard", "run", ".venv/bin/snakemake --cores all"),
        ("test", "test", ".venv/bin/pytest"),
        ("test-fast", "test", '-m "not slow"'),
        ("test-cluster", "test", ".venv/bin/pytest -m cluster tests/cluster/test_slurm.py"),
        ("lint", "test", "ruff check"),
    ],
)
def test_a_target_sets_up_what_it_needs_from_the_hashed_lock(clone, target, lock, command):
    done = make(clone, "-n", target)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    steps = ["-m venv .venv", f"--require-hashes -r requirements/{lock}.txt", command]
    places = [next((i for i, line in enumerate(lines) if step in line), None) for step in steps]
    assert None not in places, f"{steps} should be in\n{done.stdout}"
    assert places == sorted(places), done.stdout


@pytest.mark.parametrize("kind", ["slurm", "kubernetes"])
def test_a_cluster_needs_the_pipeline_and_an_executor(clone, kind):
    steps = [f"--require-hashes -r requirements/{lock}.txt" for lock in ("run", kind)]
    lines = make(clone, "-n", kind).stdout.splitlines()
    assert [step for line in lines for step in steps if step in line] == steps


def test_what_is_set_up_is_not_set_up_again(clone):
    (clone / ".venv/bin").mkdir(parents=True)
    for stamp in ("bin/pip", ".run"):
        (clone / ".venv" / stamp).touch()
    done = make(clone, "-n", "leaderboard")
    assert done.stdout == ".venv/bin/snakemake --cores all\n"


def test_an_interrupted_installation_is_repeated(clone):
    (clone / ".venv/bin").mkdir(parents=True)
    (clone / ".venv/bin/pip").touch()  # but no stamp
    done = make(clone, "-n", "leaderboard")
    assert "--require-hashes" in done.stdout


def test_help_lists_every_target_and_is_the_default(clone):
    done = make(clone, "help")
    assert done.returncode == 0, done.stdout
    assert make(clone).stdout == done.stdout
    text = (ROOT / "Makefile").read_text()
    phony = next(line for line in text.splitlines() if line.startswith(".PHONY:")).split()[1:]
    listed = [line.split()[0] for line in done.stdout.splitlines()]
    assert sorted(listed) == sorted(phony)
    assert all(len(line.split()) > 2 for line in done.stdout.splitlines())


def test_a_python_that_is_too_old_is_refused(clone, pythons):
    done = make(clone, "leaderboard", PATH=pythons(python3=(3, 9)))
    assert done.returncode != 0
    assert "Sidekick needs Python 3.11 or newer" in done.stdout
    assert "PYTHON=" in done.stdout
    assert not (clone / ".venv").exists()


def test_a_newer_python_beside_an_old_one_is_found(clone, pythons):
    done = make(clone, "-n", "leaderboard", PATH=pythons(python3=(3, 9), python3_12=(3, 12)))
    assert "python3.12 -m venv .venv" in done.stdout


def test_continuous_integration_runs_the_tests(clone):
    targets = "test test-cluster:\n\t@echo $@ ran in $(CURDIR)\n"
    (clone / "Makefile").write_text(targets)
    done = subprocess.run(
        [clone / ".ci/run"],
        cwd=clone.parent,
        env=outside(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{name} ran in {clone}" for name in ("test", "test-cluster")
    ]
