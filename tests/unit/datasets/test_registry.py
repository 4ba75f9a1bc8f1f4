import subprocess
import sys
from pathlib import Path

import pytest

import sidekick
from sidekick.datasets import DATASETS, get_dataset
from sidekick.errors import SidekickError


def test_importing_the_registry_needs_the_standard_library_only():
    heavy = {"numpy", "scipy", "sklearn", "pyarrow", "PIL", "polars", "torch"}
    code = f"import sys, sidekick.datasets; print(sorted({heavy} & set(sys.modules)))"
    folder = Path(sidekick.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_preparing_does_not_import_torch():
    code = (
        "import sys, sidekick.datasets.prepare, sidekick.datasets.reading\n"
        "from sidekick.datasets import DATASETS\n"
        "[dataset.preparer() for dataset in DATASETS.values()]\n"
        "print('torch' in sys.modules)"
    )
    folder = Path(sidekick.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", DATASETS)
def test_entry_is_complete(name):
    dataset = get_dataset(name)
    assert dataset.name == name
    assert len(set(dataset.classes)) == len(dataset.classes) > 1
    assert all((dataset.title, dataset.licence, dataset.citation, dataset.revision))
    assert dataset.homepage.startswith("https://")
    assert callable(dataset.preparer())


def test_unknown_dataset_is_refused_with_the_names_there_are():
    with pytest.raises(SidekickError, match=r"'digit'.*digits"):
        get_dataset("digit")
