"""Every rule runs in its conda environment, with nothing else to import.

Snakemake runs the workflow with `--sdm conda`, as for a user; the environments are made by a
stand-in for conda (see `workflow.stand_in_conda`).
"""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from workflow import stand_in_conda
from workflow.configs import imported
from workflow.environments import environment, stages_of_rules
from workflow.everything import choices, generations, save_pretrained, save_questions
from workflow.foreign import save_foreign
from workflow.imports import SCRIPTS, imports_of
from workflow.project import Project, jobs_of
from workflow.slices import served

pytestmark = pytest.mark.slow

SPLITS = ("val", "test", "shift")
# Seconds for each part of the run, on a machine that others keep busy.
LIMIT = 1800
ANSWERS = "results/evaluation/generations/problems/narrow/metrics.parquet"
CACHES = "results/logits/digits/alpha/finetune/seed0"


def isolation(folder: Path) -> dict[str, str]:
    """Install the stand-in; give what a run needs to use it."""
    records = folder / "records"
    records.mkdir(parents=True)
    return {
        "PATH": stand_in_conda.install(folder / "conda"),
        "PYTHONPATH": "",
        "ISOLATION_RECORDS": str(records),
        "HF_HUB_OFFLINE": "1",
    }


@pytest.fixture(scope="session")
def isolated(build_once) -> Project:
    """A finished run of every rule, each in its environment. To be read or copied only."""

    def build(folder: Path) -> None:
        pretrained = save_pretrained(folder / "made/pretrained")
        save_questions(folder / "made/questions")
        setting = isolation(folder / "made")
        config = choices(pretrained)
        project = Project.create(folder / "project", config)
        arguments = ("--cores", "2", "--sdm", "conda")
        output = []

        def run(*targets: str) -> None:
            outcome = project.snakemake(*targets, *arguments, limit=LIMIT, **setting)
            output.append(outcome.output)

        run(*(f"{CACHES}/{split}.parquet" for split in SPLITS))
        # Another model brings the same logits from elsewhere.
        shutil.copytree(project.path(CACHES), project.path("theirs"))
        files = {split: f"theirs/{split}.parquet" for split in SPLITS}
        config["models"]["theirs"] = {"logits": {"digits": files}, "gmacs": 1}
        project.config = config
        run()
        with served(folder / "made/questions") as url:
            project.config = generations(pretrained, folder / "made/questions", url)
            run(ANSWERS)
        (folder / "made/output.txt").write_text("".join(output))

    return Project(build_once("isolated_run", build) / "project")


@pytest.fixture
def made(isolated) -> Path:
    """What was made beside the project: the stand-in, the records, the output."""
    return isolated.folder.parent / "made"


@pytest.fixture
def records(made) -> list[dict]:
    """What each script wrote of itself at its end."""
    return [json.loads(path.read_text()) for path in sorted((made / "records").iterdir())]


def test_every_rule_ran_in_the_environment_of_its_stage(isolated, made, records):
    stages = stages_of_rules()
    assert {path.stem for path in SCRIPTS.glob("*.py")} == set(stages)
    listed = {stage: environment(stage) for stage in stages.values()}
    ran = {(record["rule"], record["prefix"]) for record in records}
    assert {rule for rule, _ in ran} == set(stages)
    for rule, prefix in ran:
        found = json.loads((Path(prefix) / stand_in_conda.LISTED).read_text())
        assert Path(prefix).parent == isolated.path(".snakemake/conda")
        assert found == listed[stages[rule]], rule
    jobs = [job.split()[0] for job in jobs_of((made / "output.txt").read_text())]
    assert len(records) == len([job for job in jobs if job != "all"])


def test_no_script_saw_a_package_from_elsewhere(records):
    assert any("torch" in record["own"] for record in records)
    for record in records:
        # By Snakemake's own modules the job is read.
        assert record["foreign"] == ["snakemake"], record["rule"]


def test_the_first_line_of_the_log_names_the_device(isolated):
    rules = [path.stem for path in SCRIPTS.glob("*.py") if "job_device(job)" in path.read_text()]
    assert {"finetune", "gatekeeper", "train_mc_dropout", "finetune_language"} < set(rules)
    for rule in rules:
        logs = list(isolated.path(f"results/logs/{rule}").rglob("*.log"))
        assert logs, rule
        for log in logs:
            first = log.read_text().splitlines()[0]
            assert re.search(r" INFO .+ on cpu \(.+, 1 thread\)", first), log


def test_scripts_import_our_library_before_any_package():
    # Until then what lies beside Snakemake is within their reach.
    for path in SCRIPTS.glob("*.py"):
        packages = {name.partition(".")[0] for name in imports_of(path)} - {"sidekick", "pathlib"}
        assert not packages, path.name


def test_neither_choosing_environments_nor_leaving_them_repeats_anything(isolated, made, real_run):
    conda = {"PATH": f"{made / 'conda/bin'}{os.pathsep}{os.environ['PATH']}"}
    for project, targets in ((isolated, [ANSWERS]), (real_run, [])):
        for arguments in ((), ("--sdm", "conda")):
            outcome = project.snakemake(*targets, "--dry-run", *arguments, **conda)
            assert "Nothing to be done" in outcome.output


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # A package that no other one brings.
        ("  - pyarrow =26.0.1\n", "", "ModuleNotFoundError: No module named 'pyarrow'"),
        ("scipy =1.17.1", "scipy =1.17.0", "scipy: 1.17.0 is pinned, but installed is 1.17.1"),
    ],
    ids=["missing", "another version"],
)
def test_a_wrong_list_fails(tmp_path, old, new, message):
    project = Project.create(tmp_path / "project", imported())
    save_foreign(project.folder)
    listed = project.path("envs/evaluate.yaml")
    text = listed.read_text()
    assert old in text
    listed.write_text(text.replace(old, new))
    target = "results/logits/cifar/large/imported/seed0/test.parquet"
    outcome = project.snakemake(
        target, "--cores", "1", "--sdm", "conda", succeeds=False, **isolation(tmp_path / "made")
    )
    assert message in outcome.output
