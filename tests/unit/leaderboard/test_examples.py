"""The picture of the accept/ignore rule: the right images in the right frames."""

import numpy as np
import polars as pl
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from sidekick.artifacts import write_table
from sidekick.errors import SidekickError
from sidekick.evaluation.mc_dropout_examples import EXAMPLES_SCHEMA
from sidekick.evaluation.tables import to_table
from sidekick.leaderboard.examples import _COLORS, plot_examples
from unit.datasets.stored import random_image, write_dataset

FACTS = {"dataset": "toy", "model": "net", "recipe": "mc_dropout_int8", "seed": 0}
FACTS |= {"passes": 9, "level": 0.7}


@pytest.fixture
def dataset(tmp_path):
    images = [random_image(8, 8, row) for row in range(30)]
    shift = [random_image(8, 8, 100 + row) for row in range(40)]
    folder = tmp_path / "data"
    stored = [image.tobytes() for image in images]
    return write_dataset(folder, stored, shape=(8, 8, 3), encoded=False, shift=shift)


def rows_of(dataset):
    """A clean image and its corruptions, one for every frame."""
    shifted = pl.read_parquet(dataset / "shift.parquet").drop("image")
    sample = shifted["sample_id"][0]
    own = shifted.filter((pl.col("sample_id") == sample) & (pl.col("severity") == 1))
    places = [(sample, None, None), *own.select("sample_id", "corruption", "severity").rows()]
    # As columns are: clean first, then by name.
    places.sort(key=lambda place: place[1] or "")
    return [
        {
            "sample_id": name, "corruption": corruption, "severity": severity, "label": 1,
            "accepted": bool(index % 2), "answer": index % 3, "mean": 0.6, "low": 0.4,
            "high": 0.8, "deterministic": 1,
        }
        for index, (name, corruption, severity) in enumerate(places)
    ]  # fmt: skip


def plot(rows, dataset, folder):
    table = folder / "examples.parquet"
    write_table(to_table(rows, EXAMPLES_SCHEMA), table, FACTS)
    outputs = [folder / f"net.{kind}" for kind in ("svg", "png")]
    plot_examples(examples=str(table), dataset_folder=dataset, outputs=list(map(str, outputs)))
    return outputs


def test_frames_tell_what_became_of_each_image(dataset, tmp_path, monkeypatch):
    seen = []
    original = Axes.imshow

    def record(axes, image, **options):
        seen.append((axes, np.array(image)))
        return original(axes, image, **options)

    monkeypatch.setattr(Axes, "imshow", record)
    rows = rows_of(dataset)
    outputs = plot(rows, dataset, tmp_path)
    assert all(path.stat().st_size for path in outputs)
    assert len(seen) == len(rows) >= 2
    stored = {
        **{(name, None, None): data for name, data in _images(dataset / "samples.parquet")},
        **{tuple(key): data for *key, data in _images(dataset / "shift.parquet", shift=True)},
    }
    for row, (_, image) in zip(rows, seen, strict=True):
        key = row["sample_id"], row["corruption"], row["severity"]
        np.testing.assert_array_equal(image, stored[key])
    for row, (axes, _) in zip(rows, seen, strict=True):
        rival = row["answer"] if row["accepted"] else row["deterministic"]
        expected = _COLORS[row["accepted"], rival == row["label"]]
        assert to_hex(axes.spines["left"].get_edgecolor()) == expected


def _images(path, shift=False):
    columns = ["sample_id", *(["corruption", "severity"] if shift else []), "image"]
    for *key, data in pl.read_parquet(path).select(columns).iter_rows():
        yield (*key, np.frombuffer(data, np.uint8).reshape(8, 8, 3))


def test_an_image_that_is_not_there_is_named(dataset, tmp_path):
    rows = rows_of(dataset)
    rows[0] = {**rows[0], "sample_id": "nobody"}
    with pytest.raises(SidekickError, match=r"no image of the sample .*nobody"):
        plot(rows, dataset, tmp_path)
