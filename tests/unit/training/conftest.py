import pytest
import torch

from sidekick.training.finetune import finetune
from sidekick.training.mc_dropout import train_mc_dropout
from sidekick.training.probe import linear_probe
from unit.training import fakes
from unit.training.fakes import ENTRY, HEAD_RECIPE, PROBE_RECIPE, RECIPE


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fake_dataset(monkeypatch):
    fakes.install(monkeypatch.setattr)


@pytest.fixture
def train(tmp_path):
    """Fine-tune into `tmp_path / name`, with any argument or part of the recipe replaced."""

    def run(name="run", recipe=(), **changes):
        arguments = {
            "dataset_folder": "bars",
            "entry": ENTRY,
            "recipe": {**RECIPE, **dict(recipe)},
            "seed": 0,
            "checkpoint": tmp_path / name / "seed0.safetensors",
            "curve": tmp_path / name / "seed0.parquet",
            "device": "cpu",
            "threads": 1,
            "facts": {"benchmark": "tiny", "seed": 0},
        }
        arguments.update(changes)
        finetune(**arguments)
        return arguments["checkpoint"]

    return run


@pytest.fixture
def train_head(tmp_path):
    """Train a head on the network at `checkpoint`."""

    def run(checkpoint, name="head", recipe=(), **changes):
        arguments = {
            "dataset_folder": "bars",
            "checkpoint": checkpoint,
            "recipe": {**HEAD_RECIPE, **dict(recipe)},
            "seed": 0,
            "output": tmp_path / name / "seed0.safetensors",
            "curve": tmp_path / name / "seed0.parquet",
            "device": "cpu",
            "threads": 1,
            "facts": {"benchmark": "tiny", "seed": 0},
        }
        arguments.update(changes)
        train_mc_dropout(**arguments)
        return arguments["output"]

    return run


@pytest.fixture
def probe(tmp_path):
    """Train the last layer into `tmp_path / name`."""

    def run(name="probe", recipe=(), **changes):
        arguments = {
            "dataset_folder": "bars",
            "entry": ENTRY,
            "recipe": {**PROBE_RECIPE, **dict(recipe)},
            "seed": 0,
            "checkpoint": tmp_path / name / "seed0.safetensors",
            "curve": tmp_path / name / "seed0.parquet",
            "device": "cpu",
            "threads": 1,
            "facts": {"benchmark": "tiny", "seed": 0},
        }
        arguments.update(changes)
        linear_probe(**arguments)
        return arguments["checkpoint"]

    return run
