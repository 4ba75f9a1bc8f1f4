import re
import subprocess
import sys
from pathlib import Path

import pytest

import sidekick
from sidekick.datasets import (
    DATASETS,
    OVERLAYS,
    SHIFT_SOURCES,
    get_dataset,
    get_shift_source,
    get_source,
    source_files,
)
from sidekick.datasets.checksums import parse_checksum
from sidekick.datasets.names import FROST_FILES
from sidekick.datasets.provenance import verify_file
from sidekick.errors import SidekickError
from unit.datasets.made import REAL


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
        "[dataset.load_reader() for dataset in DATASETS.values()]\n"
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


SOURCES = {**DATASETS, **SHIFT_SOURCES, **OVERLAYS}


@pytest.mark.parametrize("name", SOURCES)
def test_entry_is_complete(name):
    source = get_source(name)
    assert source.name == name
    assert all((source.title, source.licence, source.citation, source.revision))
    assert source.homepage.startswith("https://")
    assert len({file.name for file in source.files}) == len(source.files)
    for file in source.files:
        assert re.fullmatch(r"https?://\S+", file.url)
        assert file.url.endswith(f"/{file.name}")
        parse_checksum(file.checksum)
        assert file.bytes > 1000


@pytest.mark.parametrize("name", DATASETS)
def test_datasets_can_be_read(name):
    dataset = get_dataset(name)
    assert dataset.class_count > 1
    assert callable(dataset.load_reader())
    assert bool(dataset.folder) == bool(dataset.files)


@pytest.mark.parametrize("name", SHIFT_SOURCES)
def test_published_shifts_belong_to_a_dataset(name):
    assert get_shift_source(name).of in DATASETS


def test_overlays_are_those_that_the_corruption_draws_from():
    assert tuple(source_files("frost")) == FROST_FILES


@pytest.mark.skipif(not REAL.exists(), reason="needs the real slices in ../shared/data")
def test_checksums_of_the_overlays_are_those_of_the_genuine_files():
    for file in source_files("frost").values():
        verify_file(REAL / "frost" / file.name, file.checksum)
        assert (REAL / "frost" / file.name).stat().st_size == file.bytes


def test_another_checksum_leaves_the_size_open():
    (file,) = source_files("cifar100", "md5:" + "0" * 32).values()
    assert (file.name, file.checksum) == ("cifar-100-python.tar.gz", "md5:" + "0" * 32)
    assert file.bytes is None
    assert get_dataset("cifar100").files[0].bytes == 169_001_437
    with pytest.raises(SidekickError, match="cannot be that of 5 files"):
        source_files("frost", "md5:" + "0" * 32)


@pytest.mark.parametrize(
    ("look_up", "message"),
    [
        (get_dataset, r"dataset 'digit': no such dataset; .*cifar10, cifar100, digits"),
        (get_shift_source, r"shift source 'digit': .*cifar100_c, cifar10_c"),
        (get_source, r"source 'digit': .*digits, food101, frost"),
    ],
)
def test_unknown_names_are_refused_with_those_there_are(look_up, message):
    with pytest.raises(SidekickError, match=message):
        look_up("digit")


def test_unknown_file_is_refused():
    with pytest.raises(SidekickError, match=r"frost: no file 'x'; its files are: frost1\.png"):
        get_source("frost").file("x")
