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


#: The files of which no checksum is known.
UNVERIFIED = {("mmlu", "auxiliary_train-00000-of-00001.parquet")}


@pytest.mark.parametrize("name", SOURCES)
def test_entry_is_complete(name):
    source = get_source(name)
    assert source.name == name
    assert all((source.title, source.licence, source.citation, source.revision))
    # What is generated here is documented here.
    assert source.homepage.startswith("https://") or not source.files
    assert len({file.name for file in source.files}) == len(source.files)
    for file in source.files:
        assert re.fullmatch(r"https?://\S+", file.url)
        assert file.url.endswith(f"/{file.name}")
        if (name, file.name) not in UNVERIFIED:
            parse_checksum(file.checksum)
        assert file.bytes is None or file.bytes > 1000


@pytest.mark.parametrize("name", DATASETS)
def test_datasets_can_be_read(name):
    dataset = get_dataset(name)
    assert dataset.class_count > (getattr(dataset, "task", "") != "generation")
    assert callable(dataset.load_reader())
    assert bool(dataset.folder) == bool(dataset.files)


TEXT = [name for name in DATASETS if DATASETS[name].modality == "text"]


@pytest.mark.parametrize("name", TEXT)
def test_text_datasets_name_the_file_of_each_part(name):
    dataset = get_dataset(name)
    assert dataset.task in ("multiple_choice", "generation")
    assert set(dataset.parts) <= {"train", "val", "test", "dev"}
    assert sorted(dataset.parts.values()) == sorted(file.name for file in dataset.files)
    assert not (dataset.shots and "dev" in dataset.parts)
    for file in dataset.files:
        # A commit, which cannot change, and no branch, which can.
        assert re.search(rf"/resolve/[0-9a-f]{{40}}/{dataset.folder}/", file.url)


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


def test_checksums_of_several_files_are_given_by_name():
    files = source_files("frost", {"frost1.png": "md5:" + "0" * 32})
    assert (files["frost1.png"].checksum, files["frost1.png"].bytes) == ("md5:" + "0" * 32, None)
    assert files["frost2.png"] == source_files("frost")["frost2.png"]
    with pytest.raises(SidekickError, match=r"frost: no file 'frost7\.png'"):
        source_files("frost", {"frost7.png": "md5:" + "0" * 32})


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
