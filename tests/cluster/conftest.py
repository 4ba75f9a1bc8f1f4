import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.slurm import SCRIPT, Slurm


@pytest.fixture(scope="session")
def running_slurm() -> Iterator[Slurm]:
    """A Slurm of one node, for as long as the tests run."""
    unavailable = 77
    started = subprocess.run([SCRIPT, "up"], capture_output=True, text=True, timeout=600)
    if started.returncode == unavailable:
        pytest.skip(started.stderr.strip())
    assert started.returncode == 0, started.stderr
    yield Slurm()
    subprocess.run([SCRIPT, "down"], check=True, timeout=120)


@pytest.fixture
def slurm(running_slurm) -> Iterator[Slurm]:
    """The same with an empty queue and a usable node, before and after."""
    yield running_slurm
    running_slurm.resume()
    running_slurm.cancel_all()


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory, monkeypatch):
    """Keep what killed runs leave behind out of the user's folders."""
    cache = tmp_path_factory.getbasetemp() / "cache"
    cache.mkdir(exist_ok=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


@pytest.fixture
def shared_folder(tmp_path) -> Iterator[Path]:
    """A folder that every node sees; removed at once, for it holds a whole run."""
    yield tmp_path / "shared"
    shutil.rmtree(tmp_path / "shared", ignore_errors=True)
