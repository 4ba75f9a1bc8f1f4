"""The profiles for clusters and workstations, as far as no cluster is needed: see tests/cluster."""

import itertools
import re

import pytest

from workflow.configs import small_config
from workflow.profiles import PROFILES, on_gpus, profile, rules
from workflow.project import ROOT, Project


def test_these_are_all_profiles():
    assert sorted(path.name for path in (ROOT / "profiles").iterdir()) == list(PROFILES)


def test_every_rule_says_what_a_queue_must_know():
    for name, text in rules().items():
        if name == "download_dataset":
            assert "localrule: True" in text
            continue
        assert re.search(r"^ {8}mem_mb=memory\([\d_]+\),$", text, re.M), name
        assert re.search(r"^ {8}runtime=\d+,$", text, re.M), name
        # In rules they would count inside a Slurm job as well.
        assert "retries:" not in text, name


def test_the_slurm_profile_names_every_rule_with_a_gpu():
    with_gpu = {name for name, text in rules().items() if "gpu=GPUS" in text}
    chosen = profile("slurm")["set-resources"]
    assert set(chosen) == with_gpu
    assert all(own == chosen["finetune"] for own in chosen.values()), "one place for all"


@pytest.mark.parametrize("name", PROFILES)
def test_no_profile_repeats_what_all_have(name):
    own = profile(name)
    assert own.get("scheduler", "greedy") == "greedy"
    assert "rerun-triggers" not in own or name == "default"
    # Snakemake lets profiles/default win over --profile.
    assert name == "default" or not set(own) & set(profile("default"))


def test_where_jobs_run_decides_not_which(tmp_path):
    project = Project.create(tmp_path / "project", on_gpus(small_config()))
    plan = project.plan()
    assert plan == project.plan("--profile", "profiles/gpu-workstation")
    assert plan == project.plan("--workflow-profile", "none")


# Notes when it began and ended, and the GPU that it was shown.
TIMED = """\
import os, time
from pathlib import Path
from sidekick.jobs import job_device

job_device(snakemake)
begin = time.time()
time.sleep(1)
for path in snakemake.output:
    Path(path).write_text(f"{os.environ['CUDA_VISIBLE_DEVICES']} {begin} {time.time()}")
"""


@pytest.mark.slow
@pytest.mark.parametrize("gpus", [1, 2])
def test_jobs_on_one_machine_never_share_a_gpu(gpus, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    project = Project.create(tmp_path / "project", on_gpus(small_config()))
    project.use_stubs()
    project.path("workflow_scripts/finetune.py").write_text(TIMED)
    checkpoints = [
        f"results/checkpoints/digits/{model}/finetune/seed{seed}.safetensors"
        for model in ("alpha", "beta")
        for seed in (0, 1)
    ]
    arguments = ("--profile", "profiles/gpu-workstation", "--cores", "4")
    # One GPU at a time unless a profile or the command says otherwise.
    arguments = (*arguments, "--resources", "gpu=2") if gpus == 2 else ("--cores", "4")
    project.snakemake(*arguments, "--", *checkpoints, CUDA_VISIBLE_DEVICES="3,5")
    runs = [project.path(path).read_text().split() for path in checkpoints]
    assert {gpu for gpu, _, _ in runs} <= {"3", "5"}
    times = sorted((float(begin), float(end), gpu) for gpu, begin, end in runs)
    for before, after in itertools.combinations(times, 2):
        overlap = after[0] < before[1]
        assert not overlap or (gpus == 2 and before[2] != after[2]), times
