"""What can be said of the workflow and of the repository without running anything."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from workflow.imports import SCRIPTS, imports_of, reachable
from workflow.project import ROOT, Project

RULE_FILES = sorted((ROOT / "rules").glob("*.smk"))


def rules() -> dict[str, str]:
    """Give the text of each rule that does work, by its name."""
    found = {}
    for path in RULE_FILES:
        parts = re.split(r"^rule (\w+):\n", path.read_text(), flags=re.M)[1:]
        found |= dict(zip(parts[::2], parts[1::2], strict=True))
    return found


def run(*command: str) -> str:
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """The files under version control, and those about to be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.splitlines() if (path := ROOT / name).is_file()]


def test_python_style():
    run(sys.executable, "-m", "ruff", "check", ".")
    run(sys.executable, "-m", "ruff", "format", "--check", ".")


def test_workflow_style():
    run(sys.executable, "-m", "snakefmt", "--check", "Snakefile", "rules")


def test_workflow_lint(tmp_path):
    # In a copy: Snakemake writes into the folder it works in.
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    outcome = Project.create(tmp_path / "project", config).snakemake("--lint")
    assert "Congratulations" in outcome.output


def test_the_snakefile_is_a_table_of_contents():
    text = (ROOT / "Snakefile").read_text()
    assert len(text.splitlines()) <= 40
    assert "def " not in text
    assert {f'include: "rules/{path.name}"' for path in RULE_FILES} <= set(text.splitlines())
    assert "min_version(" in text


def test_every_rule_has_its_log_benchmark_environment_and_script():
    assert len(rules()) >= 11
    for name, text in rules().items():
        assert f'"results/logs/{name}' in text, f"log of {name}"
        assert f'"results/benchmarks/{name}' in text, f"benchmark of {name}"
        assert f'script:\n        "../workflow_scripts/{name}.py"' in text, f"script of {name}"
        environment = re.search(r'conda:\n        "\.\./envs/(\w+\.yaml)"', text)
        assert environment, f"environment of {name}"
        assert (ROOT / "envs" / environment[1]).is_file()


def test_every_script_belongs_to_a_rule_and_is_thin():
    scripts = sorted(SCRIPTS.glob("*.py"))
    assert {path.stem for path in scripts} == set(rules())
    for path in scripts:
        text = path.read_text()
        assert len(text.splitlines()) <= 27, path.name
        assert text.startswith(f'"""Rule `{path.stem}`: '), path.name
        assert text.endswith('\n\nif __name__ == "__main__":\n    main(snakemake)\n'), path.name
        assert "snakemake." not in text, path.name


def test_a_rule_carries_either_a_revision_or_a_fingerprint_of_its_code():
    for name, text in rules().items():
        costly = f'revision=REVISIONS["{name}"]' in text
        cheap = re.search(rf'code=fingerprint\(\s*"{name}"', text) is not None
        assert costly != cheap, name


def test_a_fingerprint_covers_all_that_the_script_can_reach():
    # Every fingerprint covers the first three, the others change no result, and of datasets
    # count_flops only reads the card, which is its input.
    granted = {"artifacts", "errors", "recipe_names", "jobs", "disk", "gpus", "run_marks"}
    for name, text in rules().items():
        if call := re.search(r"code=fingerprint\(([^)]*)\)", text):
            listed = set(re.findall(r'"([\w/]+)"', call[1])[1:])
            # Of some rooms single modules are listed.
            single = {path for path in listed if "/" in path}
            rooms = listed - single
            ours, _ = reachable(imports_of(SCRIPTS / f"{name}.py"))
            paths = {module.partition(".")[2].replace(".", "/") for module in ours}
            inside = {path for path in paths if path.partition("/")[0] + "/" in map(_room, single)}
            assert single == {path for path in inside if "/" in path}, name
            needed = {path.partition("/")[0] for path in paths - inside} - granted - {""}
            if name == "count_flops":
                needed.remove("datasets")
            assert rooms == needed, name


def _room(path: str) -> str:
    return path.partition("/")[0] + "/"


def test_rules_hold_no_lambdas_and_functions_stand_in_common():
    for path in RULE_FILES:
        text = path.read_text()
        assert "lambda" not in text, path.name
        if path.name not in ("common.smk", "config.smk"):
            assert "def " not in text, path.name


def test_the_library_never_sees_the_snakemake_object():
    for path in (ROOT / "workflow_scripts/sidekick").rglob("*.py"):
        text = path.read_text()
        assert not re.search(r"^\s*(import|from) snakemake", text, re.M), path
        assert not re.search(r"\bsnakemake\.(input|output|params|config|wildcards)\b", text), path


def test_profiles_work_everywhere():
    for path in (ROOT / "profiles").glob("*/profile.yaml"):
        settings = yaml.safe_load(path.read_text())
        # The others come on top of the first.
        assert settings.get("rerun-incomplete", path.parent.name != "default") is True, path
        assert "conda" not in str(settings.get("software-deployment-method", "")), path


def test_no_file_names_a_registry_or_a_place_on_one_machine(tracked):
    hosts = ["pypi" + ".org", "python" + "hosted.org", "ana" + "conda.org", "index" + "-url"]
    places = [f"/{folder}/" for folder in ("work", "root", "Users")] + ["/home" + "/"]
    pattern = re.compile("|".join(re.escape(word) for word in hosts + places))
    found = []
    for path in tracked:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # a picture
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
            for number, line in enumerate(lines, 1)
            if pattern.search(line)
        ]
    assert not found, "\n".join(found)
    assert pattern.search("--index" + "-url https://example.org"), "the pattern finds nothing"


def test_no_large_or_produced_file_is_tracked(tracked):
    names = [str(path.relative_to(ROOT)) for path in tracked]
    produced = [name for name in names if name.startswith((".snakemake/", "resources/"))]
    produced += [n for n in names if n.startswith("results/") and n != "results/README.md"]
    assert not produced
    large = [path for path in tracked if path.stat().st_size > 2_000_000]
    assert not large
