"""The file that names a site's environment modules."""

import re

import pytest

from sidekick.errors import SidekickError
from sidekick.site_modules import read_modules

STAGES = ("evaluate", "train")


@pytest.fixture
def write(tmp_path):
    def save(text):
        path = tmp_path / "modules.yaml"
        path.write_text(text)
        return path

    return save


def test_stages_that_are_left_out_load_nothing(write):
    path = write("train: [CUDA/12.6.0, PyTorch/2.9-foss-2024a+x=1]\n")
    found = read_modules(path, STAGES)
    assert found == {"evaluate": [], "train": ["CUDA/12.6.0", "PyTorch/2.9-foss-2024a+x=1"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trian: []", "'trian' is not a stage. Allowed: evaluate, train. Did you mean 'train'?"),
        ("1: []", "'1' is not a stage"),
        ("train: CUDA", "train: 'CUDA' is not a list of modules' names"),
        ("train:", "train: None is not a list"),
        ("train: [12.6]", "train: 12.6 cannot be a module's name; allowed are letters"),
        ("train: ['']", "train: '' cannot be"),
        ("train: [a b]", "train: 'a b' cannot be"),
        ("train: ['a; touch x']", "cannot be a module's name"),
        ("train: [$(touch x)]", "cannot be a module's name"),
        ("train: ['-f']", "cannot be a module's name"),
        ('train: ["a\\n"]', "cannot be a module's name"),
        ("train: [é]", "cannot be a module's name"),
        ("train: []\ntrain: []", "line 2: the key 'train' stands twice"),
        ("train: [", "not a YAML file"),
        ("", "is empty"),
    ],
)
def test_what_is_refused(write, text, message):
    path = write(text)
    with pytest.raises(SidekickError, match=re.escape(message)) as caught:
        read_modules(path, STAGES)
    assert str(path) in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(SidekickError, match="cannot be read"):
        read_modules(tmp_path / "modules.yaml", STAGES)
