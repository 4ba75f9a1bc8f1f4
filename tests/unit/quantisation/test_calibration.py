import numpy as np
import pytest

from sidekick.datasets.reading import iterate_split, load_split
from sidekick.models.preprocessing import Preprocessing, load_image
from sidekick.quantisation.calibration import drawn_images, network_images
from unit.datasets.stored import encode, random_image, write_dataset
from unit.quantisation.conftest import PREPROCESSING

LARGER = Preprocessing((48, 40), 0.9, "bicubic", (0.5,) * 3, (0.5,) * 3)


def drawn(dataset, count, seed=0, split="train", batch_size=4):
    return list(drawn_images(dataset, split, seed, count, PREPROCESSING, batch_size))


def test_images_are_of_the_split_and_without_repetition(dataset):
    batches = drawn(dataset, 10)
    assert [len(batch) for batch in batches] == [4, 4, 2]
    found = {image.tobytes() for batch in batches for image in batch}
    train = {image.tobytes() for image in load_split(dataset, "train", 0).images}
    assert len(found) == 10
    assert found < train


def test_the_seed_decides(dataset):
    one, same, other = (np.concatenate(drawn(dataset, 10, seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert {image.tobytes() for image in one} != {image.tobytes() for image in other}


def test_all_images_of_a_split_that_has_fewer(dataset):
    assert sum(map(len, drawn(dataset, 99, split="val"))) == 20


@pytest.mark.parametrize("encoded", [False, True])
def test_images_become_the_networks_size(tmp_path, encoded):
    images = [random_image(36, 44, row) for row in range(9)]
    stored = [encode(image) if encoded else image.tobytes() for image in images]
    folder = write_dataset(tmp_path, stored, shape=(36, 44, 3), encoded=encoded)
    (part,) = iterate_split(folder, "val", 0, 50)
    found = network_images(part, LARGER)
    assert found.shape == (3, 48, 40, 3)
    names = [int(name[1:]) for name in part.sample_ids]
    expected = [load_image(encode(images[row]), LARGER, "a") for row in names]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(network_images(part, LARGER, np.array([2])), expected[2:])
