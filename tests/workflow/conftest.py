import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow.configs import mixed, small_config, three_models
from workflow.project import Project


@pytest.fixture(scope="session")
def build_once(tmp_path_factory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Build a folder once per test run, however many workers pytest-xdist has."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def get(name: str, build: Callable[[Path], None]) -> Path:
        folder, mark = base / name, base / f"{name}.complete"
        with (base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not mark.exists():
                shutil.rmtree(folder, ignore_errors=True)
                build(folder)
                mark.touch()
        return folder

    return get


@pytest.fixture(autouse=True)
def private_folders(tmp_path_factory, monkeypatch):
    """Keep what killed runs leave behind out of the user's folders."""
    base = tmp_path_factory.getbasetemp()
    for variable, name in (("XDG_CACHE_HOME", "cache"), ("TMPDIR", "tmp")):
        (base / name).mkdir(exist_ok=True)
        monkeypatch.setenv(variable, str(base / name))


@pytest.fixture
def finished(build_once, tmp_path) -> Project:
    """A finished benchmark of three models and two seeds, whose jobs are stubs."""

    def build(folder: Path) -> None:
        finish_stubs(folder, three_models())

    return Project(build_once("finished_stubs", build)).copy(tmp_path / "project")


@pytest.fixture
def finished_mixed(build_once, tmp_path) -> Project:
    """The same of images and text."""

    def build(folder: Path) -> None:
        finish_stubs(folder, mixed())

    return Project(build_once("finished_mixed_stubs", build)).copy(tmp_path / "project")


def finish_stubs(folder: Path, config: dict) -> None:
    """Finish a benchmark whose jobs are stubs."""
    project = Project.create(folder, config)
    project.use_stubs()
    project.snakemake("--cores", "2")


@pytest.fixture
def real_run(build_once) -> Project:
    """A finished benchmark of two tiny models, really computed. To be read or copied only."""

    def build(folder: Path) -> None:
        project = Project.create(folder, small_config())
        project.commit()
        outcome = project.snakemake("--cores", "2")
        project.path("output.txt").write_text(outcome.output)

    return Project(build_once("real_run", build))
