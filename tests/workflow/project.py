"""A copy of the workflow in a folder of its own, and the real `snakemake` command in it."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = (
    "Snakefile",
    "CITATION.cff",
    "rules",
    "profiles",
    "envs",
    "workflow_scripts",
    ".gitignore",
)

# Takes the place of every script: writes a digest of all that the job depends on, so that the DAG,
# Snakemake's records and its checksums are real while nothing is computed. It can be made to wait
# for a file.
STUB = """\
import hashlib, os, time
from pathlib import Path

while os.environ.get("STUB_GATE") and not Path(os.environ["STUB_GATE"]).exists():
    time.sleep(0.02)
digest = hashlib.sha256()
for path in snakemake.input:
    digest.update(Path(path).read_bytes())
text = f"{snakemake.rule} {dict(snakemake.wildcards)} {dict(snakemake.params)} {digest.hexdigest()}"
for path in snakemake.output:
    Path(path).write_text(text)
"""


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    output: str
    seconds: float


class Project:
    """A folder that holds the workflow and a `config.yaml`."""

    def __init__(self, folder: Path):
        self.folder = folder

    @classmethod
    def create(cls, folder: Path, config: dict[str, Any]) -> Self:
        """Copy the workflow as it is in this checkout; modification times are kept."""
        folder.mkdir(parents=True)
        for name in WORKFLOW:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name)
            else:
                shutil.copy2(source, folder / name)
        project = cls(folder)
        project.config = config
        return project

    def copy(self, folder: Path) -> Self:
        """Copy everything, results and Snakemake's records included."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return type(self)(folder)

    def use_stubs(self) -> None:
        """Let every job write a line of text instead of its work."""
        for script in self.path("workflow_scripts").glob("*.py"):
            script.write_text(STUB)

    def commit(self) -> None:
        """Put the workflow under version control."""
        git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", "-C"]
        for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "Workflow"]):
            subprocess.run([*git, str(self.folder), *command], check=True, timeout=60)

    def revision(self) -> str:
        """Give the commit that the workflow is at."""
        command = ["git", "-C", str(self.folder), "rev-parse", "HEAD"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def path(self, name: str) -> Path:
        """Give the path of a file in the project."""
        return self.folder / name

    def artifacts(self) -> dict[str, Path]:
        """Give what later jobs and readers rely on, by its path below results."""
        results = self.path("results")
        # What says when and for how long a job ran; the page shows both.
        of_the_moment = {"logs", "benchmarks", "index.html"}
        return {
            str(path.relative_to(results)): path
            for path in sorted(results.rglob("*"))
            if path.is_file() and not of_the_moment & set(path.relative_to(results).parts)
        }

    @property
    def config(self) -> dict[str, Any]:
        """The content of `config.yaml`, in its order."""
        return yaml.safe_load(self.path("config.yaml").read_text())

    @config.setter
    def config(self, value: dict[str, Any]) -> None:
        self.path("config.yaml").write_text(yaml.safe_dump(value, sort_keys=False))

    @contextmanager
    def edit(self) -> Iterator[dict[str, Any]]:
        """Change `config.yaml` in a with block."""
        config = self.config
        yield config
        self.config = config

    def start(self, *arguments: str, log: Path, **environment: str) -> subprocess.Popen:
        """Start `snakemake` in a process group of its own; its output goes to `log`."""
        with log.open("w") as stream:
            return subprocess.Popen(
                [sys.executable, "-m", "snakemake", *arguments],
                cwd=self.folder,
                env=_environment() | environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def snakemake(
        self, *arguments: str, succeeds: bool = True, limit: float = 600, **environment: str
    ) -> Outcome:
        """Run `snakemake` to its end, within `limit` seconds, and check whether it succeeds."""
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=self.folder,
            env=_environment() | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit,
        )
        outcome = Outcome(done.returncode, done.stdout, time.perf_counter() - begin)
        expected = "succeed" if succeeds else "fail"
        assert (outcome.code == 0) == succeeds, (
            f"snakemake {' '.join(arguments)} should {expected}, but its exit code is "
            f"{outcome.code}:\n{outcome.output}"
        )
        return outcome

    def plan(self, *arguments: str) -> set[str]:
        """Give the jobs that a dry run schedules, as `rule wildcard…`, without the target rule."""
        return set(jobs_of(self.snakemake("--dry-run", *arguments).output)) - {"all"}


def jobs_of(output: str) -> list[str]:
    """Read the jobs from what `snakemake` prints."""
    jobs = []
    for rule, block in re.findall(r"^(?:local)?rule (\w+):\n((?: {4}.*\n)*)", output, re.M):
        wildcards = re.search(r"^ {4}wildcards: (.*)$", block, re.M)
        values = re.findall(r"\w+=(\w+)", wildcards[1]) if wildcards else []
        jobs.append(" ".join([rule, *values]))
    return jobs


def _environment() -> dict[str, str]:
    """Leave out what a user's settings and this test run would bring into the command."""
    ours = ("SNAKEMAKE_", "PYTEST_", "STUB_", "SIDEKICK_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return kept | {"COLUMNS": "200", "NO_COLOR": "1"}
