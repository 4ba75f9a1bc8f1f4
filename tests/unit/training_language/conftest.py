import pytest
import torch

from sidekick.training.language.finetune import finetune_language_model
from sidekick.training.language.gatekeeper import train_language_gatekeepers
from sidekick.training.resume import ResumeFile
from sidekick.training.sweep import sweep_recipes
from unit.models.published import publish
from unit.training_language import fakes_language
from unit.training_language.fakes_language import ENTRY, RECIPE, TASK


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fake_dataset(monkeypatch):
    fakes_language.install(monkeypatch.setattr)


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """Folders of tiny random models in the hub's layout, by family."""
    made = {}

    def folder(family):
        if family not in made:
            path = tmp_path_factory.mktemp(family)
            made[family] = publish(path, family, fakes_language.texts())
        return made[family]

    return folder


@pytest.fixture
def train(tmp_path):
    """Fine-tune into `tmp_path / name`, with any argument or part of the recipe replaced."""

    def run(name="run", recipe=(), **changes):
        arguments = {
            "dataset_folder": "colours",
            "entry": ENTRY,
            "recipe": {**RECIPE, **dict(recipe)},
            "task": TASK,
            "seed": 0,
            "device": "cpu",
            "threads": 1,
            "checkpoint": tmp_path / name / "seed0.safetensors",
            "curve": tmp_path / name / "seed0.parquet",
            "facts": {"benchmark": "tiny", "seed": 0, "recipe": "finetune"},
        }
        arguments.update(changes)
        arguments["checkpoint"].parent.mkdir(exist_ok=True)
        finetune_language_model(**arguments)
        return arguments["checkpoint"]

    run.folder = tmp_path
    return run


@pytest.fixture
def sweep(tmp_path):
    """Train a sweep from `start` into `tmp_path / name`; give the checkpoints by recipe."""

    def run(start, name="sweep", recipe=(), alphas=(0.1, 0.9), **changes):
        names = list(sweep_recipes(alphas))
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        checkpoints = [folder / f"{recipe_name}.safetensors" for recipe_name in names]
        arguments = {
            "dataset_folder": "colours",
            "entry": ENTRY,
            "recipe": {**RECIPE, **dict(recipe)},
            "task": TASK,
            "alphas": alphas,
            "seed": 0,
            "start": start,
            "checkpoints": checkpoints,
            "curves": [path.with_suffix(".parquet") for path in checkpoints],
            "device": "cpu",
            "threads": 1,
            "facts": {"benchmark": "tiny", "seed": 0},
        }
        arguments.update(changes)
        train_language_gatekeepers(**arguments)
        return dict(zip(names, checkpoints, strict=True))

    return run


class Killed(Exception):
    pass


@pytest.fixture
def interrupt(monkeypatch):
    """Make trainings die once their state after a step is saved (or, if not `saved`, before)."""
    save = ResumeFile.save

    def arm(step, saved=True, which=""):
        def dying_save(self, state):
            is_last = state["curve"][-1]["step"] == step and which in str(self.path)
            if not is_last or saved:
                save(self, state)
            if is_last:
                raise Killed

        monkeypatch.setattr(ResumeFile, "save", dying_save)

    arm.disarm = lambda: monkeypatch.setattr(ResumeFile, "save", save)
    arm.error = Killed
    return arm
