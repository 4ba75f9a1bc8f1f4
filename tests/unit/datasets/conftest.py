"""The digits, and a small preparation of them, made once."""

from pathlib import Path

import pytest

from sidekick.datasets import digits
from sidekick.datasets.prepare import draw_splits, prepare_dataset
from unit.datasets.small import SEEDS, SHIFT, SIZES


@pytest.fixture(scope="session")
def all_digits():
    return digits.prepare_samples()


@pytest.fixture(scope="session")
def prepare():
    """Prepare digits into a folder, with any argument replaced."""

    def run(folder: Path, **changes):
        seeds = changes.pop("seeds", SEEDS)
        arguments = {"sizes": SIZES, "shift": SHIFT, **changes}
        facts = {"benchmark": "unit-test", "dataset": "digits"}
        prepare_dataset(
            name="digits",
            facts=facts,
            samples_path=folder / "samples.parquet",
            shift_path=folder / "shift.parquet",
            card_path=folder / "dataset.json",
            **arguments,
        )
        for seed in seeds:
            draw_splits(
                dataset_folder=folder,
                sizes=arguments["sizes"],
                seed=seed,
                facts=facts,
                splits_path=folder / f"splits/seed{seed}.parquet",
            )
        return folder

    return run


@pytest.fixture(scope="session")
def prepared(tmp_path_factory, prepare):
    return prepare(tmp_path_factory.mktemp("digits"))
