"""Data that would run code if it were trusted: refused, and nothing runs."""

import json
import os
import pickle

import numpy as np
import pytest
import torch

import sidekick
from sidekick.config import check_file, validate
from sidekick.deployment.predictor import PredictorError
from sidekick.errors import SidekickError
from sidekick.logit_cache import read_logits
from sidekick.logit_cache.importing import import_logits
from sidekick.models.checkpoints import read_checkpoint
from sidekick.training.resume import ResumeFile
from unit.test_config import SCHEMA, of_images


class Bomb:
    """Makes a file where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path):
    """What must not exist in the end."""
    path = tmp_path / "executed"
    yield path
    assert not path.exists()


def save_bomb(path, mark):
    path.write_bytes(pickle.dumps(Bomb(mark)))


def save_torch_bomb(path, mark):
    torch.save({"fingerprint": "", "state": Bomb(mark)}, path)


def save_numpy_bomb(path, mark):
    with path.open("wb") as file:
        np.save(file, np.array([Bomb(mark)], dtype=object), allow_pickle=True)


def save_npz_bomb(path, mark):
    with path.open("wb") as file:
        np.savez(file, logits=np.array([Bomb(mark)], dtype=object), labels=np.zeros(1))


SAVERS = [save_bomb, save_torch_bomb, save_numpy_bomb, save_npz_bomb]


def import_file(path):
    outputs = {split: path.parent / "out" / split for split in ("val", "test", "shift")}
    import_logits(files={"test": path}, outputs=outputs, facts={}, val_share=0.5)


READERS = {
    "import.npz": (import_file, SidekickError),
    "import.npy": (import_file, SidekickError),
    "import.csv": (import_file, SidekickError),
    "import.parquet": (import_file, SidekickError),
    "logits.parquet": (read_logits, SidekickError),
    "weights.safetensors": (read_checkpoint, SidekickError),
    "predictor.json": (sidekick.load, PredictorError),
    "config.yaml": (check_file, SidekickError),
}


@pytest.mark.parametrize("save", SAVERS, ids=lambda save: save.__name__)
@pytest.mark.parametrize("name", READERS)
def test_pickles_under_any_name_are_refused(tmp_path, mark, name, save):
    read, declared = READERS[name]
    path = tmp_path / name
    save(path, mark)
    with pytest.raises(declared, match=name):
        read(path)


@pytest.mark.parametrize("save", SAVERS, ids=lambda save: save.__name__)
def test_the_state_of_a_training_is_not_believed(tmp_path, mark, save):
    resume = ResumeFile(tmp_path / "seed0.safetensors", {})
    save(resume.path, mark)
    assert resume.load() is None


TAGS = [
    "!!python/object/apply:os.mkdir [{mark}]",
    "!!python/object/new:os.mkdir [{mark}]",
    "!!python/name:os.system",
    "!!python/module:os",
    "!!python/tuple [1, 2]",
    "!!python/object:builtins.object {{}}",
    "!custom x",
]


@pytest.mark.parametrize("place", ["{tag}", "models: {tag}", "? {tag}\n: 1", "seeds: [{tag}]"])
@pytest.mark.parametrize("tag", TAGS)
def test_yaml_tags_are_refused(tmp_path, mark, tag, place):
    path = tmp_path / "config.yaml"
    path.write_text(place.format(tag=tag.format(mark=mark)) + "\n")
    with pytest.raises(SidekickError, match=r"config\.yaml: not a YAML file"):
        check_file(path)


SHELL = ["a b", "a;b", "$(id)", "`id`", "a|b", "a&b", "'a'", '"a"', "a\\b", "a*", "-rf", "~"]
WORDS = [*SHELL, "a\nb", "<b>x</b>", "é", "{seed}", "../a", "a/b", "A"]
BLOCKS = ["datasets", "deployment", "benchmark"]


@pytest.mark.parametrize(
    ("block", "word"),
    [*[("models", word) for word in WORDS], *[(block, "$(id) <b>") for block in BLOCKS]],
)
def test_ids_that_a_shell_or_a_page_would_read_are_refused(block, word):
    config = of_images()
    if block == "benchmark":
        config[block] = word
    else:
        config[block][word] = next(iter(config[block].values()))
    with pytest.raises(SidekickError, match=block) as caught:
        validate(config, SCHEMA)
    assert "\n" not in str(caught.value)
    assert repr(word) in str(caught.value)


@pytest.mark.parametrize("depth", [10_000, 200_000])
def test_json_within_json_within_json_is_refused(tmp_path, depth):
    path = tmp_path / "predictor.json"
    path.write_text("[" * depth)
    with pytest.raises(PredictorError, match="not a JSON file"):
        sidekick.load(path)
    path.write_text(json.dumps({"format": "sidekick predictor", "version": 10**400}))
    with pytest.raises(PredictorError, match="newer Sidekick"):
        sidekick.load(path)
