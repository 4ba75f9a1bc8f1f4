import io
import os
import signal

import numpy as np
import pytest
from PIL import Image

from sidekick.datasets import shifting
from sidekick.datasets.corruptions import corrupt
from sidekick.datasets.shifting import Clean, PixelsOf, centre_square, generate
from sidekick.errors import SidekickError
from unit.datasets.made import jpeg

CELLS = [("gaussian_noise", 1), ("pixelate", 5)]


def clean(count):
    rng = np.random.default_rng(0)
    return [
        Clean(f"s{row}", rng.integers(0, 256, (32, 32, 3), np.uint8).tobytes(), row % 3)
        for row in range(count)
    ]


RAW = PixelsOf((32, 32, 3), encoded=False, source="x")


@pytest.mark.parametrize("processes", [1, 2])
def test_every_image_in_every_cell_in_order(processes, monkeypatch):
    monkeypatch.setattr(shifting, "_CHUNK_BYTES", 5 * 2 * 3072)
    images = clean(23)
    rows = list(generate(iter(images), CELLS, RAW, None, processes))
    assert [(row.sample_id, row.corruption, row.severity) for row in rows] == [
        (image.sample_id, *cell) for image in images for cell in CELLS
    ]
    pixels = np.frombuffer(images[7].image, np.uint8).reshape(32, 32, 3)
    assert rows[15].image == corrupt(pixels, "pixelate", 5, "s7").tobytes()
    assert rows[15].label == 1


def test_nothing_to_corrupt():
    for processes in (1, 2):
        assert list(generate(iter([]), CELLS, RAW, None, processes)) == []


def test_errors_of_a_process_arrive():
    pixels_of = PixelsOf((32, 32, 3), encoded=True, source="dataset pets")
    broken = [Clean("s0", b"no image", 0)]
    with pytest.raises(SidekickError, match=r"dataset pets: sample s0: the image does not decode"):
        list(generate(iter(broken), CELLS, pixels_of, None, 2))


def _die(chunk):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_told(monkeypatch):
    monkeypatch.setattr(shifting, "_corrupt_chunk", _die)
    with pytest.raises(SidekickError, match="probably for lack of memory"):
        list(generate(iter(clean(3)), CELLS, RAW, None, 2))


def test_files_are_brought_to_a_square_if_they_vary():
    pixels_of = PixelsOf((24, 24, 3), encoded=True, source="x")
    assert pixels_of(Clean("a", jpeg(0, (90, 60)), 0)).shape == (24, 24, 3)
    assert pixels_of(Clean("a", jpeg(0, (60, 90), "L"), 0)).shape == (24, 24, 3)
    stream = io.BytesIO()
    exact = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    Image.fromarray(exact).save(stream, "PNG")
    np.testing.assert_array_equal(pixels_of(Clean("a", stream.getvalue(), 0)), exact)


def test_the_square_is_the_centre():
    pixels = np.zeros((40, 100, 3), np.uint8)
    pixels[:, 30:70] = 200
    square = np.asarray(centre_square(Image.fromarray(pixels), 20))
    assert square.shape == (20, 20, 3)
    assert square[:, 2:-2].min() == 200
