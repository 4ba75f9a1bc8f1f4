"""Explicit lists, environment modules and containers: what Snakemake asks of each. Jobs are stubs.

Neither conda nor a module system nor Apptainer is needed: commands of their names write down what
they are asked, and do as much of it as Snakemake needs.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from workflow import stand_in_conda
from workflow.configs import imported
from workflow.environments import stages_of_rules
from workflow.foreign import save_foreign
from workflow.project import ROOT, Project, jobs_of

# A module system's command is a function of the shell. Loading puts a `python` in front.
MODULE = """\
module() {
  echo "$@" >> "$CALLS"
  if [ "$1" = load ]; then export PATH="$MODULE_BIN:$PATH"; fi
}
"""
# Runs the command here, where the packages beside Snakemake stand for those in the image.
APPTAINER = """\
#!/bin/sh
if [ "$1" = --version ]; then echo "apptainer version 1.3.4"; exit; fi
echo "$@" >> "$CALLS"
while [ $# -gt 3 ]; do shift; done
exec "$@"
"""
PYTHON = """\
#!/bin/sh
echo "$0" >> "$CALLS"
exec "{python}" "$@"
"""


@pytest.fixture
def project(tmp_path) -> Project:
    """A benchmark of imported models: no rule needs PyTorch, two stages have jobs."""
    project = Project.create(tmp_path / "project", imported())
    save_foreign(project.folder)
    project.use_stubs()
    return project


@pytest.fixture
def calls(tmp_path) -> Path:
    """Where stand-ins write what they are asked."""
    path = tmp_path / "calls.txt"
    path.touch()
    return path


def save_command(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def stages_of(outcome) -> list[str]:
    """Give the stage of each job that ran."""
    stages = stages_of_rules()
    return [stages[job.split()[0]] for job in jobs_of(outcome.output) if job != "all"]


# ------------------------------------------------------------------------------------------ conda


def test_without_conda_the_option_stops_before_any_job(project):
    if shutil.which("conda"):
        pytest.skip("conda is installed")
    outcome = project.snakemake("--dry-run", "--sdm", "conda", succeeds=False)
    assert "Error running conda info. Is conda installed and accessible?" in outcome.output


@pytest.mark.slow
def test_explicit_lists_are_made_and_then_used(project, tmp_path):
    clone = tmp_path / "clone"
    (clone / "envs").mkdir(parents=True)
    for name in ("Makefile", "envs/evaluate.yaml", "envs/modules.yaml"):
        shutil.copy(ROOT / name, clone / name)
    conda = stand_in_conda.install(tmp_path / "conda")
    kept = {key: value for key, value in os.environ.items() if "MAKE" not in key}
    command = ["make", "-s", "pins"]
    subprocess.run(command, cwd=clone, env=kept | {"PATH": conda}, check=True, timeout=120)
    pins = "evaluate.linux-64.pin.txt"
    assert sorted(path.name for path in (clone / "envs").iterdir()) == [
        pins, "evaluate.yaml", "modules.yaml",
    ]  # fmt: skip
    assert "@EXPLICIT" in (clone / "envs" / pins).read_text()
    assert not (clone / ".snakemake/pins").exists()

    target = "results/flops/cifar/large.json"
    arguments = (target, "--cores", "1", "--sdm", "conda")
    outcome = project.snakemake(*arguments, PATH=conda)
    assert "Using pinnings" not in outcome.output
    shutil.copy(clone / "envs" / pins, project.path("envs"))
    assert "Nothing to be done" in project.snakemake(*arguments, "-n", PATH=conda).output
    outcome = project.snakemake(*arguments, "--conda-create-envs-only", PATH=conda)
    assert re.search(rf"Using pinnings from \S+/{pins}", outcome.output)
    assert "Failed to install" not in outcome.output

    project.path(f"envs/{pins}").write_text("spoilt")
    outcome = project.snakemake(*arguments, "--conda-create-envs-only", PATH=conda)
    assert "Trying regular environment definition file" in outcome.output


# ------------------------------------------------------------------------------------- modules


@pytest.fixture
def with_modules(tmp_path, calls) -> dict[str, str]:
    """A module system, as a site's start-up file defines it."""
    start = tmp_path / "module.sh"
    start.write_text(MODULE)
    bin = tmp_path / "module"
    save_command(bin / "python", PYTHON.format(python=sys.executable))
    return {"BASH_ENV": str(start), "CALLS": str(calls), "MODULE_BIN": str(bin)}


@pytest.mark.slow
def test_rules_load_the_modules_of_their_stage(project, calls, with_modules, tmp_path):
    project.path("envs/modules.yaml").write_text("evaluate: [GCC/13.3.0, Python/3.12.3]\n")
    outcome = project.snakemake("--cores", "1", "--sdm", "env-modules", **with_modules)
    stages = stages_of(outcome)
    assert set(stages) == {"evaluate", "figures"}
    said = calls.read_text().splitlines()
    loads = [line for line in said if line.startswith("load ")]
    assert set(loads) == {"load GCC/13.3.0 Python/3.12.3"}
    assert len(loads) >= stages.count("evaluate")
    # The module's Python ran the scripts.
    assert said.count(str(tmp_path / "module/python")) >= stages.count("evaluate")

    for arguments in ((), ("--sdm", "env-modules")):
        assert "Nothing to be done" in project.snakemake("-n", *arguments).output


def test_without_names_nothing_is_loaded(project, calls, with_modules):
    arguments = ("results/flops/cifar/large.json", "--cores", "1")
    project.snakemake(*arguments, "--sdm", "env-modules", **with_modules)
    assert calls.read_text() == ""
    project.path("envs/modules.yaml").write_text("evaluate: [GCC/13.3.0]\n")
    project.snakemake(*arguments, "--forceall", **with_modules)
    assert calls.read_text() == "", "nobody asked for modules"


def test_a_name_that_a_shell_would_run_stops_before_any_job(project):
    project.path("envs/modules.yaml").write_text("train: [CUDA; touch here]\n")
    outcome = project.snakemake("--dry-run", succeeds=False)
    assert "modules.yaml: train: 'CUDA; touch here' cannot be a module's name" in outcome.output
    assert "Traceback" not in outcome.output


# ----------------------------------------------------------------------------------- containers


@pytest.mark.slow
def test_every_job_runs_in_the_image(project, calls, tmp_path):
    bin = tmp_path / "apptainer"
    save_command(bin / "apptainer", APPTAINER)
    save_command(bin / "python", PYTHON.format(python=sys.executable))
    environment = {"PATH": f"{bin}{os.pathsep}{os.environ['PATH']}", "CALLS": str(calls)}
    project.path("sidekick.sif").touch()
    arguments = ("--cores", "1", "--sdm", "apptainer", "--apptainer-args=--nv")
    outcome = project.snakemake(*arguments, **environment)
    said = calls.read_text().splitlines()
    runs = [line for line in said if line.startswith("exec ")]
    assert len(runs) == len(stages_of(outcome)) > 5
    for line in runs:
        assert " sidekick.sif " in line
        assert " --nv " in line
    # The image's Python ran the scripts.
    assert said.count(str(bin / "python")) == len(runs)
    for arguments in ((), ("--sdm", "apptainer")):
        assert "Nothing to be done" in project.snakemake("-n", *arguments, **environment).output


def test_without_apptainer_the_image_is_not_missed(project):
    assert not project.path("sidekick.sif").exists()
    outcome = project.snakemake("results/flops/cifar/large.json", "--cores", "1")
    assert "sidekick.sif" not in outcome.output
    assert "ingularity" not in outcome.output


def test_a_missing_image_stops_before_any_job(project):
    outcome = project.snakemake("--cores", "1", "--sdm", "apptainer", succeeds=False)
    assert f"Error: {project.path('sidekick.sif')}: no such image" in outcome.output
    assert "Traceback" not in outcome.output
    assert not project.path("results").exists()


@pytest.mark.slow
def test_the_image_can_be_built():
    builder = next(filter(is_at_work, ("podman", "docker")), None)
    if builder is None:
        pytest.skip("neither podman nor docker is at work here")
    [base] = re.findall("^ARG BASE=(.+)$", (ROOT / "Containerfile").read_text(), re.M)
    if subprocess.run([builder, "pull", base], capture_output=True).returncode:
        pytest.skip(f"{base} cannot be fetched from here")
    build = [builder, "build", "--tag", "sidekick-test", "--file", "Containerfile", "."]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    modules = "import numba, onnxruntime, peft, polars, snakemake, timm, torch"
    run = [builder, "run", "--rm", "sidekick-test", "python", "-I", "-c", modules]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def is_at_work(command: str) -> bool:
    """Say whether a command is here and its service, if it needs one, answers."""
    if shutil.which(command) is None:
        return False
    return subprocess.run([command, "info"], capture_output=True, timeout=60).returncode == 0


# ------------------------------------------------------------------------------------ the page


@pytest.mark.slow
def test_snakemake_understands_the_commands_of_the_page(project, tmp_path):
    page = (ROOT / "docs/environments.md").read_text()
    commands = re.findall(r"^    (?:[A-Z_]+=\S+ )?snakemake (.+)$", page, re.M)
    assert len(commands) >= 6
    bin = tmp_path / "apptainer"
    save_command(bin / "apptainer", APPTAINER)
    conda = stand_in_conda.install(tmp_path / "conda")
    for command in commands:
        arguments = [*shlex.split(command), "--dry-run"]
        project.snakemake(*arguments, PATH=f"{bin}{os.pathsep}{conda}")
