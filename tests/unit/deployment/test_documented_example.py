"""The example of docs/deployment.md, as it stands, where nothing but numpy is installed."""

import re
import subprocess
import sys

import numpy as np

from sidekick.deployment.predictor import Predictor, load
from unit.deployment.predictors import models, write
from unit.test_config import ROOT

BLOCK_OTHERS = """\
import sys

class OnlyNumpy:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in {"numpy", "sidekick", *sys.stdlib_module_names}:
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, OnlyNumpy())
"""


def example():
    """Give the Python blocks of the page, one after the other."""
    page = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    assert blocks
    return "\n".join(blocks)


def run(folder, code):
    return subprocess.run(
        [sys.executable, "-c", BLOCK_OTHERS + code],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT / "workflow_scripts")},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_documented_example_runs_with_numpy_alone(tmp_path):
    path = tmp_path / "results/deployment/digits/digits_cascade.json"
    names = ["ant", "bee", "cat", "dog", "eel"]
    assert isinstance(write(path, "duo_cascade", class_names=names), Predictor)
    large, small, _ = models()
    np.save(tmp_path / "logits_large.npy", large[:200].astype(np.float32))
    np.save(tmp_path / "logits_small.npy", small[:200].astype(np.float32))

    done = run(tmp_path, example())
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Predictor(duo_cascade of big + tiny, 5 classes) ['accuracy>=0.8', ")

    # The same as with the logits of all samples, from here.
    decision = load(path)(large[:200], small[:200], target="accuracy>=0.9", budget="deferral<=0.5")
    accepted = np.flatnonzero(decision.accepted)
    assert len(lines) == 5
    for line, row in zip(lines[1:4], accepted, strict=False):
        name, confidence = names[decision.prediction[row]], decision.confidence[row]
        assert line == f"sample {row}: {name}, right with probability {confidence:.3f}"
    assert lines[4] == f"{200 - len(accepted)} of 200 samples are left to a person"
    assert 0 < len(accepted) < 200


def test_other_packages_are_really_taken_away(tmp_path):
    for module in ("scipy", "pyarrow", "numba", "sidekick.artifacts"):
        assert "ModuleNotFoundError" in run(tmp_path, f"import {module}").stderr
