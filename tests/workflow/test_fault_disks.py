"""Disks that are full or may not be written: the run says so, and goes on when they are mended."""

import os
import shutil
import subprocess
import sys

import pytest

from workflow.configs import small_config
from workflow.project import Project

SPLITS = "results/datasets/digits/splits/seed0.parquet"
FLOPS = "results/flops/digits/alpha.json"


@pytest.fixture
def mounting(monkeypatch):
    """Give a function that runs shell commands where mounts are private and end with the shell."""
    # A namespace of our own needs fewer rights than root has, where the system lets users make one.
    ways = [["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]]

    def works(way):
        try:
            script = "mount -t tmpfs tmpfs /mnt && umount /mnt"
            return not subprocess.run(
                [*way, "sh", "-c", script], capture_output=True, check=False
            ).returncode
        except FileNotFoundError:
            return False

    way = next(filter(works, ways), None)
    if way is None:
        pytest.skip("no file system can be mounted here, not even in a namespace of one's own")

    def run(project: Project, script: str) -> str:
        environment = {**os.environ, "SNAKEMAKE": f"{sys.executable} -m snakemake --cores 1"}
        done = subprocess.run(
            [*way, "sh", "-c", script],
            cwd=project.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        return done.stdout

    return run


@pytest.mark.slow
def test_a_full_disk_is_named_and_room_is_all_it_takes(mounting, tmp_path):
    project = Project.create(tmp_path / "project", small_config())
    project.path("results").mkdir()
    output = mounting(
        project,
        f"""mount -t tmpfs -o size=64k tmpfs results
        $SNAKEMAKE {SPLITS} && echo UNEXPECTED
        find results/datasets -type f
        echo MORE ROOM
        mount -o remount,size=64m results
        $SNAKEMAKE {SPLITS} && echo FINISHED
        find results/datasets -name '.*.tmp'""",
    )
    full, _, room = output.partition("MORE ROOM")
    assert "Error: results/datasets/digits/samples.parquet: no space left in the folder" in full
    assert "(0 bytes free). Nothing was kept: make room and start the run again" in full
    assert "Traceback" not in full
    assert "UNEXPECTED" not in full
    assert "\nresults/datasets" not in full
    assert "FINISHED" in room
    assert ".tmp" not in room.partition("FINISHED")[2]


def test_a_full_disk_at_the_start(mounting, finished):
    shutil.rmtree(finished.path("results/evaluation/pairs"))
    output = mounting(
        finished,
        """mount -t tmpfs -o size=4k tmpfs results
        dd if=/dev/zero of=results/ballast bs=4k count=4 2> /dev/null
        $SNAKEMAKE""",
    )
    assert "models.json: no space left in the folder" in output
    assert "make room and start the run again" in output.lower()
    assert "Traceback" not in output


READ_ONLY = "mount --bind {0} {0} && mount -o remount,bind,ro {0}"


def test_read_only_results_are_named_before_anything_runs(mounting, finished):
    finished.path(FLOPS).unlink()
    output = mounting(
        finished,
        f"""{READ_ONLY.format("results")}
        $SNAKEMAKE && echo UNEXPECTED
        echo PLAN
        $SNAKEMAKE --dry-run --quiet && echo PLANNED""",
    )
    run, _, plan = output.partition("PLAN\n")
    folder = finished.path("results")
    assert f"Error: {folder}: this folder cannot be written (Read-only file system)" in run
    assert "Make it writable, or work in another folder with --directory" in run
    assert "Traceback" not in run
    assert "UNEXPECTED" not in run
    assert "PLANNED" in plan, "a dry run writes no results"


def test_a_read_only_folder_is_named(mounting, finished):
    output = mounting(
        finished, f"{READ_ONLY.format('.')} && cd $PWD && $SNAKEMAKE --dry-run && echo UNEXPECTED"
    )
    assert f"Error: {finished.path('.snakemake')}: this folder cannot be written" in output
    assert "UNEXPECTED" not in output
    assert "Traceback" not in output
