"""The profile for Slurm on a real one, with what goes wrong on clusters.

These tests install and start a Slurm on this machine, so that `make test` leaves them out;
`make test-cluster` runs them.
"""

import json
import os
import signal
import threading

import polars as pl
import pytest
import yaml
from polars.testing import assert_frame_equal

from cluster.slurm import PROFILE, wait_for
from workflow.configs import mixed, small_config, whole_training
from workflow.profiles import on_gpus, resources, rules
from workflow.project import ROOT, Project

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

FLOPS = "results/flops/digits/alpha.json"

# Waits for a file, then writes what its job was asked for, as every job writes its results.
GATED = """\
import time
from pathlib import Path
from sidekick.artifacts import write_json
from sidekick.jobs import job_log

with job_log(snakemake.log[0]):
    while not Path({gate!r}).exists():
        time.sleep(0.1)
    write_json(dict(snakemake.params.architecture), snakemake.output[0])
"""

# Goes on when two are at work; writes the GPUs that it was shown.
SIDE_BY_SIDE = """\
import os, time
from pathlib import Path
from sidekick.jobs import job_device

device = job_device(snakemake)
Path(f"at_work_{snakemake.wildcards.model}").touch()
deadline = time.monotonic() + 300
while len(list(Path().glob("at_work_*"))) < 2:
    assert time.monotonic() < deadline, "no other job came"
    time.sleep(0.1)
for path in snakemake.output:
    Path(path).write_text(f"{device} {os.environ['CUDA_VISIBLE_DEVICES']}")
"""


@pytest.mark.parametrize("config", [small_config, whole_training, mixed])
def test_a_plan_for_slurm_asks_for_a_gpu_where_one_is_used(config, tmp_path):
    project = Project.create(tmp_path / "project", on_gpus(config()))
    text = project.path("profiles/slurm/profile.yaml").read_text()
    for setting in ("slurm_partition: gpu", "gpu_model: a100", "slurm_account: lab"):
        assert text.count(f"# {setting}") == 1
        text = text.replace(f"# {setting}", setting)
    project.path("profiles/slurm/profile.yaml").write_text(text)
    outcome = project.snakemake("--dry-run", "--profile", "profiles/slurm")
    asked = resources(outcome.output)
    with_gpu = {name for name, text in rules().items() if "gpu=GPUS" in text}
    assert with_gpu & set(asked)
    for rule in set(asked) - {"all"}:
        for job in asked[rule]:
            assert int(job["mem_mb"]) >= 1000, rule
            assert int(job["runtime"]) >= 30, rule
            assert job["slurm_account"] == "lab", rule
            gpu = (job.get("gpu"), job.get("gpu_model"), job.get("slurm_partition"))
            assert gpu == (("1", "a100", "gpu") if rule in with_gpu else (None,) * 3), rule


def assert_same_board(one: Project, other: Project) -> None:
    for name in ("leaderboard.parquet", "curves.parquet"):
        tables = [pl.read_parquet(p.path(f"results/leaderboard/{name}")) for p in (one, other)]
        assert tables[0].height > 0
        assert_frame_equal(*tables, check_exact=True)


def disturb(slurm, log: list[str]) -> None:
    """Cancel a job that trains; lose the node while others cache logits; bring it back."""
    wait_for(lambda: slurm.jobs("finetune", "RUNNING"), 1200)
    slurm.cancel(job := slurm.jobs("finetune", "RUNNING")[0])
    log.append(f"cancelled {job}")
    wait_for(lambda: slurm.jobs("cache_logits", "RUNNING"), 1200)
    slurm.drain()
    log.append(f"drained beside {slurm.jobs('cache_logits', 'RUNNING')}")
    slurm.fail()
    wait_for(lambda: not slurm.jobs(state="RUNNING"), 60)
    log.append(f"lost the node; {len(slurm.jobs(state='PENDING'))} jobs wait")
    slurm.resume()


def test_a_disturbed_run_ends_with_the_board_of_a_local_run(slurm, shared_folder):
    local = Project.create(shared_folder / "local", small_config())
    local.snakemake("--cores", "2", limit=3600)
    project = Project.create(shared_folder / "cluster", small_config())
    done: list[str] = []
    thread = threading.Thread(target=disturb, args=(slurm, done))
    thread.start()
    # Enough for Snakemake, not for PyTorch: the first attempts are out of memory.
    starved = "count_flops:mem_mb=450 * 8 ** (attempt - 1)"
    outcome = project.snakemake(*PROFILE, "--set-resources", starved, limit=3600)
    thread.join()
    print("\n".join(done))
    assert len(done) == 3, done
    retried = outcome.output.count("Trying to restart job")
    assert retried >= 3, f"two starved jobs and a cancelled one, but {retried} retries"
    assert not list(project.path("results").rglob(".*.tmp"))
    assert_same_board(project, local)
    assert "Nothing to be done" in project.snakemake("--cores", "1").output


@pytest.mark.skipif(
    "SIDEKICK_FULL" not in os.environ, reason="make test-cluster FULL=1 asks for it"
)
def test_the_embedded_benchmark_is_the_same_on_a_cluster(slurm, shared_folder):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    local = Project.create(shared_folder / "local", config)
    project = Project.create(shared_folder / "cluster", config)
    seconds = [
        local.snakemake("--cores", "2", limit=4 * 3600).seconds,
        project.snakemake(*PROFILE, limit=4 * 3600).seconds,
    ]
    print("local {:.0f} s, through Slurm {:.0f} s".format(*seconds))
    assert_same_board(project, local)


@pytest.mark.parametrize("orphan", ["waits", "works"])
def test_what_a_killed_run_left_in_the_queue_writes_nothing(slurm, shared_folder, orphan):
    project = Project.create(shared_folder, small_config())
    project.use_stubs()
    project.snakemake("--cores", "2", "results/datasets/digits/dataset.json")
    gate = project.path("gate")
    project.path("workflow_scripts/count_flops.py").write_text(GATED.format(gate=str(gate)))
    if orphan == "waits":
        slurm.drain()
    log = project.path("killed.log")
    killed = project.start(*PROFILE, FLOPS, log=log)
    state = {"waits": "PENDING", "works": "RUNNING"}[orphan]
    wait_for(lambda: slurm.jobs("count_flops", state), 120)
    (left,) = slurm.jobs("count_flops")
    if orphan == "works":
        job_log = project.path("results/logs/count_flops/digits/alpha.log")
        wait_for(job_log.exists, 120)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    # A dry run only looks; the job that is left goes on.
    assert project.plan(FLOPS) == {"count_flops digits alpha"}
    assert slurm.jobs("count_flops") == [left]

    with project.edit() as config:
        config["models"]["alpha"]["options"]["width"] = 6
    later = project.start(*PROFILE, FLOPS, log=project.path("later.log"))
    wait_for(lambda: len(slurm.jobs("count_flops")) == 2, 120)
    slurm.resume()
    gate.touch()
    assert later.wait(300) == 0, project.path("later.log").read_text()
    wait_for(lambda: not slurm.jobs("count_flops"), 120)
    assert json.loads(project.path(FLOPS).read_text())["options"]["width"] == 6
    (slurm_log,) = project.path(".snakemake/slurm_logs").rglob(f"{left}.log")
    assert "a later run has taken over this folder" in slurm_log.read_text()


def test_jobs_side_by_side_have_a_gpu_each(slurm, shared_folder):
    project = Project.create(shared_folder, on_gpus(small_config()))
    project.use_stubs()
    project.path("workflow_scripts/finetune.py").write_text(SIDE_BY_SIDE)
    checkpoints = [
        f"results/checkpoints/digits/{model}/finetune/seed0.safetensors"
        for model in ("alpha", "beta")
    ]
    project.snakemake(*PROFILE, *checkpoints)
    shown = {project.path(checkpoint).read_text() for checkpoint in checkpoints}
    assert shown == {"cuda 0", "cuda 1"}
