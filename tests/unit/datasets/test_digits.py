import numpy as np
from sklearn.datasets import load_digits

from sidekick.datasets.digits import upsample


def test_shapes_types_and_range(all_digits):
    assert len(all_digits) == 1797
    assert all_digits.images.shape == (1797, 32, 32, 3)
    assert all_digits.images.dtype == np.uint8
    assert all_digits.labels.dtype == np.int32
    assert (all_digits.images.min(), all_digits.images.max()) == (0, 255)
    assert sorted(set(all_digits.labels)) == list(range(10))
    np.testing.assert_array_equal(all_digits.images[..., 0], all_digits.images[..., 1])
    np.testing.assert_array_equal(all_digits.images[..., 0], all_digits.images[..., 2])


def test_ids_are_positions_in_the_source(all_digits):
    assert all_digits.sample_ids[0] == "digits_0000"
    assert all_digits.sample_ids[-1] == "digits_1796"
    assert len(set(all_digits.sample_ids)) == 1797
    source = load_digits()
    np.testing.assert_array_equal(all_digits.labels, source.target)


def test_block_means_give_the_source_back_nearly(all_digits):
    blocks = all_digits.images[..., 0].reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4)) * 16 / 255
    source = load_digits().images
    assert np.corrcoef(blocks.ravel(), source.ravel())[0, 1] > 0.99


def test_upsampling_keeps_paper_and_ink():
    assert upsample(np.zeros((8, 8))).max() == 0
    assert upsample(np.full((8, 8), 16.0)).min() == 255
