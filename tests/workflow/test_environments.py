"""The conda environments: pinned like everything else, and neither too small nor too large.

Snakemake lets a script fall back on the packages beside Snakemake itself, so that a package that
is missing from an environment would go unnoticed on the machine that it was written on.
"""

import json
import re
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.utils import canonicalize_name

from workflow.environments import STAGES, closure, environment, stages_of_rules
from workflow.imports import SCRIPTS, imports_of, reachable
from workflow.project import ROOT

# Loaded by their names in a registry, which no import statement shows.
LOADED_BY_NAME = {"datasets": ["sidekick.datasets.digits"]}

# Imports modules where the given top-level modules are not installed.
PROBE = """\
import importlib, json, sys

modules, missing, folder = json.load(sys.stdin)
missing = set(missing)

class Installed:
    def __init__(self, finders):
        self.finders = finders

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            return None
        specs = (finder.find_spec(name, path, target) for finder in self.finders)
        return next((spec for spec in specs if spec is not None), None)

    def find_distributions(self, *arguments):
        for finder in self.finders:
            if hasattr(finder, "find_distributions"):
                yield from finder.find_distributions(*arguments)

sys.meta_path[:] = [Installed(list(sys.meta_path))]
sys.path.insert(0, folder)
for name in modules:
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@cache
def distributions() -> dict[str, set[str]]:
    """Give the distributions that hold each top-level module."""
    holders = metadata.packages_distributions()
    return {module: set(map(canonicalize_name, names)) for module, names in holders.items()}


def not_in(allowed: frozenset[str]) -> list[str]:
    """Give the top-level modules here that none of the allowed distributions holds."""
    return [module for module, names in distributions().items() if not names & allowed]


def probe(modules: list[str], missing: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", PROBE],
        input=json.dumps([modules, missing, str(SCRIPTS)]),
        capture_output=True,
        text=True,
        timeout=120,
    )


def scripts_of(stage: str) -> list[Path]:
    """Give the scripts of the rules that name an environment."""
    return [SCRIPTS / f"{rule}.py" for rule, own in stages_of_rules().items() if own == stage]


def modules_of(stage: str) -> tuple[list[str], set[str]]:
    """Follow a stage's scripts; give our modules and the other top-level names they import."""
    names = set(LOADED_BY_NAME.get(stage, []))
    for script in scripts_of(stage):
        names |= imports_of(script)
    ours, others = reachable(names)
    top_level = {name.partition(".")[0] for name in others}
    return sorted(ours), top_level - set(sys.stdlib_module_names)


def test_there_is_one_environment_per_stage():
    assert STAGES == [
        "datasets", "evaluate", "figures", "flops", "language", "logits", "quantise", "train",
    ]  # fmt: skip
    assert set(stages_of_rules().values()) == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_an_environment_is_well_formed(stage):
    content = yaml.safe_load((ROOT / "envs" / f"{stage}.yaml").read_text())
    assert list(content) == ["channels", "dependencies"]
    assert content["channels"] == ["conda-forge", "nodefaults"]
    names = [dependency.partition(" ")[0] for dependency in content["dependencies"]]
    assert names[0] == "python"
    assert names[1:] == sorted(set(names[1:]))
    assert len(environment(stage)) == len(names)


def test_one_python_is_pinned_everywhere():
    pins = {environment(stage)["python"] for stage in STAGES}
    assert len(pins) == 1
    assert re.fullmatch(r"3\.\d+", pins.pop())


def test_the_image_is_made_of_the_same_pins():
    # What is locked agrees with the environments' pins: see below.
    lines = (ROOT / "Containerfile").read_text().splitlines()
    steps = [line for line in lines if line and not line.startswith("#")]
    python = environment("evaluate")["python"]
    assert steps == [
        f"ARG BASE=docker.io/library/python:{python}-slim",
        "FROM ${BASE}",
        "COPY requirements/run.txt /opt/sidekick/",
        "RUN python -m pip install --no-cache-dir --no-deps --require-hashes "
        "-r /opt/sidekick/run.txt",
    ]
    context = (ROOT / ".dockerignore").read_text().splitlines()
    assert context == ["*", "!requirements/run.txt"]


def test_every_stage_may_name_modules():
    assert set(yaml.safe_load((ROOT / "envs/modules.yaml").read_text())) == set(STAGES)
    directives = re.compile(r'envs/(\w+)\.yaml"\n    envmodules:\n        \*MODULES\["(\w+)"\],\n')
    for path in (ROOT / "rules").glob("*.smk"):
        text = path.read_text()
        own = directives.findall(text)
        assert len(own) == text.count("    conda:"), path.name
        assert all(conda == modules for conda, modules in own), path.name


def test_pins_agree_with_the_requirements_and_their_locks():
    wanted = {
        name: version
        for text in (ROOT / "requirements/run.in").read_text().splitlines()
        if not text.startswith("#")
        for name, version in [text.split("==")]
    }
    pinned = set()
    for stage in STAGES:
        for name, pin in environment(stage).items():
            if name != "python":
                assert pin == wanted[name], f"{name} in envs/{stage}.yaml"
                pinned.add(name)
    assert pinned == set(wanted) - {"snakemake"}
    for lock in ("run.txt", "test.txt"):
        text = (ROOT / "requirements" / lock).read_text()
        locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.M))
        for name, version in wanted.items():
            assert locked[name] == version, f"{name} in requirements/{lock}"


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_an_environment_suffices_and_has_nothing_to_spare(stage):
    ours, others = modules_of(stage)
    assert ours
    listed = set(environment(stage)) - {"python"}
    done = probe([*ours, *sorted(others)], not_in(closure(listed)))
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    used = set().union(*(distributions().get(module, set()) for module in loaded))
    assert listed <= used, f"never imported: {sorted(listed - used)}"
    # What our own code imports must be listed, not only be there by way of something else.
    direct = set().union(*(distributions()[module] for module in others))
    assert direct <= listed, f"not listed: {sorted(direct - listed)}"


def test_the_probe_takes_packages_away():
    allowed = closure(environment("evaluate"))
    assert "torch" not in allowed
    for module in ("torch", "polars", "sidekick.models.create"):
        done = probe([module], not_in(allowed))
        assert done.returncode != 0
        assert "ModuleNotFoundError: No module named" in done.stderr
    done = probe(["numpy", "scipy.stats"], not_in(allowed))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("room", ["metrics", "methods", "evaluation", "logit_cache", "config"])
def test_what_runs_on_cached_arrays_leaves_torch_alone(room):
    done = probe([f"sidekick.{room}"], missing=[])
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    assert "sidekick" in loaded
    assert not {"torch", "timm", "polars", "matplotlib"} & set(loaded)
