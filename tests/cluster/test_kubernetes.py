"""The profile for Kubernetes, by dry runs: no Kubernetes is at hand.

Apart from Slurm's tests, which the import of its executor would slow; `make test-cluster` runs
both.
"""

import re

import pytest

from workflow.configs import small_config
from workflow.profiles import on_gpus, resources, rules
from workflow.project import Project

pytestmark = pytest.mark.cluster


def test_a_plan_is_the_same_and_asks_for_gpus_and_memory(tmp_path):
    project = Project.create(tmp_path / "project", on_gpus(small_config()))
    profile = ("--profile", "profiles/kubernetes")
    assert project.plan(*profile) == project.plan()
    asked = resources(project.snakemake("--dry-run", *profile).output)
    with_gpu = {name for name, text in rules().items() if "gpu=GPUS" in text}
    assert with_gpu & set(asked)
    for rule in set(asked) - {"all"}:
        for job in asked[rule]:
            assert int(job["mem_mb"]) >= 1000, rule
            assert job.get("gpu") == ("1" if rule in with_gpu else None), rule
            assert job["gpu_manufacturer"] == "nvidia", rule


def test_a_pair_job_gets_copies_of_its_partners_caches(tmp_path):
    project = Project.create(tmp_path / "project", small_config())
    output = project.snakemake("--dry-run", "--profile", "profiles/kubernetes").output
    (files,) = re.findall(r"^rule evaluate_pairs:\n {4}input: (.*)$", output, re.M)
    for model in ("alpha", "beta"):
        assert f"results/logits/digits/{model}/finetune/seed0/shift.parquet" in files
        assert f"results/flops/digits/{model}.json" in files
