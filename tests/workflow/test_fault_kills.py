"""A whole run that is killed again and again ends as if nothing had happened.

The undisturbed run lies in a folder whose name a shell would trip over.
"""

import os
import random
import signal
import time
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sidekick.artifacts import read_json, read_table
from sidekick.models.checkpoints import read_checkpoint
from sidekick.quantisation.storage import read_network
from workflow.configs import small_config
from workflow.project import Project

SEED = 8
KILLS = 20
# After this long without any change on disk the run is killed where it is.
LONGEST_WAIT = 20.0
COMMAND = ("--cores", "2")
READERS = {
    ".parquet": read_table,
    ".json": read_json,
    ".safetensors": read_checkpoint,
    ".onnx": read_network,
}
# A list of names, not an artifact of a job.
NOT_SEALED = "models.json"


def every_stage():
    """Two models and one seed through every stage of images: seconds of real work."""
    config = small_config()
    config["seeds"] = [0]
    config["deployment"] = {
        "pair": {
            "kind": "duo",
            "dataset": "digits",
            "models": ["alpha", "beta"],
            "seed": 0,
            "accuracies": [0.6],
        }
    }
    return config


@pytest.fixture
def undisturbed(build_once):
    """A finished run. To be read or copied only."""
    name = "un disturbed 'ü' $(touch x); \"&\" #é"

    def build(folder):
        Project.create(folder, every_stage()).snakemake(*COMMAND)

    return Project(build_once(name, build))


def half_written(project):
    """Artifacts under their final names that cannot be read whole."""
    for name, path in project.artifacts().items():
        reader = READERS.get(path.suffix)
        if reader is not None and path.name != NOT_SEALED and not path.name.startswith("."):
            try:
                reader(path)
            except Exception as error:
                yield f"{name}: {error}"


def state(project):
    """What changes on disk while jobs work: files below results, temporary ones included."""
    found = set()
    for folder, _, names in os.walk(project.path("results")):
        for name in names:
            try:
                status = os.stat(os.path.join(folder, name))
            except FileNotFoundError:
                continue
            found.add((folder, name, status.st_size, status.st_mtime_ns))
    return found


def kill_after(project, log, jobs, events):
    """Run, and kill everything after so many finished jobs and further changes on disk.

    Returns
    -------
    bool
        False if the run ended by itself.
    """
    process = project.start(*COMMAND, log=log)
    seen, changed = state(project), time.monotonic()
    while process.poll() is None:
        now = state(project)
        if now != seen:
            changed = time.monotonic()
        if log.read_text().count("Finished jobid") >= jobs:
            events -= len(now - seen)
            if events <= 0 or time.monotonic() - changed > LONGEST_WAIT:
                break
        seen = now
        time.sleep(0.01)
    if process.poll() is not None:
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


def finish_with_kills(project, kills, total, logs):
    """Kill a run that many times, and let it finish.

    Parameters
    ----------
    project
        Where.
    kills
        How often; evenly over the run's jobs, so that every stage is hit, at random within them.
    total
        How many jobs the run has.
    logs
        A folder for Snakemake's output.
    """
    generator = random.Random(SEED)
    done, moments = 0, []
    for number in range(kills):
        goal = (number if kills > 1 else 0.5) * (total - 1) // kills
        log, events = logs / f"kill{number}.log", generator.randint(0, 6)
        if not kill_after(project, log, max(goal - done, 0), events):
            pytest.fail(f"ended before kill {number} (seed {SEED}):\n{log.read_text()}")
        text = log.read_text()
        assert "cannot be locked" not in text
        assert "Traceback" not in text, text
        done += text.count("Finished jobid")
        moments.append(f"{done}+{events}")
        assert list(half_written(project)) == [], moments
    print(f"seed {SEED}, killed at (finished jobs + changes on disk): {' '.join(moments)}")
    assert "cannot be locked" not in project.snakemake(*COMMAND, limit=7200).output
    assert "Nothing to be done" in project.snakemake(*COMMAND).output
    assert not list(project.path("results").rglob(".*.tmp"))


def jobs_in(project):
    return len(list(project.path("results/benchmarks").rglob("*.tsv")))


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_the_same(undisturbed, tmp_path):
    project = Project.create(tmp_path / "project", every_stage())
    finish_with_kills(project, KILLS, jobs_in(undisturbed), tmp_path)
    one, other = undisturbed.artifacts(), project.artifacts()
    assert set(one) == set(other)
    assert [name for name in one if one[name].read_bytes() != other[name].read_bytes()] == []


@pytest.mark.slow
@pytest.mark.skipif(
    "SIDEKICK_FINISHED" not in os.environ,
    reason="takes as long as the default run, and SIDEKICK_FINISHED: the folder of a finished one",
)
def test_the_default_run_killed_once_ends_with_the_same_board(tmp_path):
    finished = Project(Path(os.environ["SIDEKICK_FINISHED"]))
    project = Project.create(tmp_path / "project", finished.config)
    finish_with_kills(project, 1, jobs_in(finished), tmp_path)
    for name in ("leaderboard.parquet", "curves.parquet"):
        tables = [
            pl.read_parquet(p.path(f"results/leaderboard/{name}")) for p in (project, finished)
        ]
        assert_frame_equal(*tables, check_exact=True)


@pytest.mark.slow
def test_names_that_a_shell_would_trip_over_are_harmless(undisturbed):
    assert undisturbed.path("results/leaderboard/leaderboard.parquet").exists()
    assert not undisturbed.path("x").exists()
    assert not (undisturbed.folder.parent / "x").exists()
    assert "Nothing to be done" in undisturbed.snakemake(*COMMAND).output
