import colorsys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy.ndimage import correlate
from sklearn.datasets import load_sample_image

from sidekick.datasets import SEVERITIES, corruption_names
from sidekick.datasets.corruptions import CORRUPTIONS, corrupt
from sidekick.errors import SidekickError

cells = pytest.mark.parametrize("severity", SEVERITIES)
names = pytest.mark.parametrize("name", corruption_names)


@pytest.fixture(scope="module")
def photographs():
    """48 tiles of real photographs, as small and as detailed as those of CIFAR."""
    tiles = []
    for name in ("china.jpg", "flower.jpg"):
        small = np.asarray(Image.fromarray(load_sample_image(name)).resize((192, 128)))
        tiles.append(small.reshape(4, 32, 6, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3))
    return np.concatenate(tiles)


def ids(count):
    return [f"sample{row}" for row in range(count)]


def damage(images, name):
    """Mean squared error at each severity."""
    return [
        np.mean((corrupt(images, name, severity, ids(len(images))) - images.astype(float)) ** 2)
        for severity in SEVERITIES
    ]


def test_names_and_functions_agree():
    assert tuple(CORRUPTIONS) == corruption_names


@names
@cells
def test_shape_type_and_source_are_kept(name, severity, all_digits):
    images = all_digits.images[:2].copy()
    corrupted = corrupt(images, name, severity, ids(2))
    assert corrupted.shape == images.shape
    assert corrupted.dtype == np.uint8
    assert corrupted.flags.writeable
    assert (corrupted != images).any()
    np.testing.assert_array_equal(images, all_digits.images[:2])


@names
def test_images_need_not_be_square(name, photographs):
    wide = np.concatenate([photographs[0], photographs[1]], axis=1)
    assert corrupt(wide, name, 3, "wide").shape == (32, 64, 3)


@names
def test_damage_grows_with_severity_on_photographs(name, photographs):
    errors = damage(photographs, name)
    assert all(np.diff(errors) > 0), errors


@names
def test_damage_grows_with_severity_on_digits(name, all_digits):
    errors = damage(all_digits.images[:60], name)
    if name == "pixelate":  # on smooth images only severity 5 stands out: see the module
        assert max(errors[:4]) < 2 * min(errors[:4])
        assert errors[4] > 2 * max(errors[:4])
    else:
        assert all(np.diff(errors) > 0), errors


@names
def test_result_is_fixed_by_sample_and_not_by_batch_or_order(name, all_digits):
    images, sample_ids = all_digits.images[:6], all_digits.sample_ids[:6]
    batch = corrupt(images, name, 4, sample_ids)
    backwards = corrupt(images[::-1], name, 4, sample_ids[::-1])
    np.testing.assert_array_equal(batch, backwards[::-1])
    np.testing.assert_array_equal(batch[2], corrupt(images[2], name, 4, sample_ids[2]))


@pytest.mark.parametrize("name", ["gaussian_noise", "shot_noise", "impulse_noise"])
def test_noise_differs_between_samples(name, photographs):
    first = corrupt(photographs[0], name, 5, "first")
    assert (first != corrupt(photographs[0], name, 5, "second")).any()


def test_noise_stays_what_it_is():
    """Another draw would silently change published numbers; numpy may force one (NEP 19)."""
    grey = np.full((2, 2, 3), 128, np.uint8)
    normal = corrupt(grey, "gaussian_noise", 5, "digits_0000").ravel().tolist()
    assert normal == [102, 169, 130, 125, 123, 116, 124, 91, 81, 90, 119, 151]
    poisson = corrupt(grey, "shot_noise", 5, "digits_0000").ravel().tolist()
    assert poisson == [183, 112, 137, 122, 153, 122, 142, 91, 153, 142, 142, 127]


@settings(max_examples=25, deadline=None)
@given(
    arrays(np.uint8, st.tuples(st.integers(8, 20), st.integers(8, 20), st.just(3))),
    st.sampled_from(corruption_names),
    st.sampled_from(SEVERITIES),
)
def test_any_image_gives_an_image(image, name, severity):
    corrupted = corrupt(image, name, severity, "x")
    assert corrupted.shape == image.shape
    assert corrupted.dtype == np.uint8


# Each definition against what the paper's generator computes.


def test_gaussian_noise_has_the_published_deviation():
    grey = np.full((20, 32, 32, 3), 128, np.uint8)
    for severity, scale in zip(SEVERITIES, (0.04, 0.06, 0.08, 0.09, 0.10), strict=True):
        noise = corrupt(grey, "gaussian_noise", severity, ids(20)).astype(float)
        assert noise.std() == pytest.approx(255 * scale, rel=0.02)
        assert noise.mean() == pytest.approx(127.5, abs=0.5)  # fractions are cut off


def test_shot_noise_has_the_variance_of_a_poisson_distribution():
    grey = np.full((20, 32, 32, 3), 102, np.uint8)
    for severity, photons in zip(SEVERITIES, (500, 250, 100, 75, 50), strict=True):
        noise = corrupt(grey, "shot_noise", severity, ids(20)).astype(float)
        # 5%: one photon is about one grey level, and the cut to 8 bits beats with it.
        assert noise.std() == pytest.approx(255 * np.sqrt(0.4 / photons), rel=0.05)
    assert corrupt(np.zeros((8, 8, 3), np.uint8), "shot_noise", 5, "black").max() == 0


def test_impulse_noise_hits_the_published_share_of_values():
    grey = np.full((20, 32, 32, 3), 128, np.uint8)
    for severity, amount in zip(SEVERITIES, (0.01, 0.02, 0.03, 0.05, 0.07), strict=True):
        noise = corrupt(grey, "impulse_noise", severity, ids(20))
        assert np.isin(noise, (0, 128, 255)).all()
        assert (noise == 0).mean() == pytest.approx(amount / 2, rel=0.15)
        assert (noise == 255).mean() == pytest.approx(amount / 2, rel=0.15)


def test_defocus_blur_is_the_published_kernel(photographs):
    """The reference builds the 17×17 disk as published and blurs channel by channel."""
    constants = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))
    for severity, (radius, sigma) in zip(SEVERITIES, constants, strict=True):
        x, y = np.meshgrid(np.arange(-8, 9), np.arange(-8, 9))
        disk = (x**2 + y**2 <= radius**2).astype(float)
        disk /= disk.sum()
        weights = np.exp(-(np.arange(-1, 2) ** 2) / (2 * sigma**2))
        weights /= weights.sum()
        for axis in (0, 1):
            disk = np.apply_along_axis(np.convolve, axis, disk, weights, mode="same")
        image = photographs[5] / 255
        expected = np.stack([correlate(image[..., c], disk, mode="mirror") for c in range(3)], 2)
        blurred = corrupt(photographs[5], "defocus_blur", severity, "x")
        np.testing.assert_array_equal(blurred, np.floor(expected * 255 + 1e-6))


def test_blur_leaves_a_flat_image_alone():
    grey = np.full((16, 16, 3), 201, np.uint8)
    np.testing.assert_array_equal(corrupt(grey, "defocus_blur", 5, "x"), grey)


def test_brightness_raises_the_value_of_hsv(photographs):
    image = photographs[7]
    for severity, rise in zip(SEVERITIES, (0.05, 0.1, 0.15, 0.2, 0.3), strict=True):
        brighter = corrupt(image, "brightness", severity, "x")
        for row, column in ((0, 0), (3, 30), (17, 5), (31, 31)):
            hue, saturation, value = colorsys.rgb_to_hsv(*image[row, column] / 255)
            expected = np.array(colorsys.hsv_to_rgb(hue, saturation, min(value + rise, 1))) * 255
            assert np.abs(brighter[row, column] - np.floor(expected)).max() <= 1
    black = np.zeros((4, 4, 3), np.uint8)
    assert set(corrupt(black, "brightness", 4, "x").ravel()) == {51}


def test_contrast_shrinks_towards_the_mean_of_the_channel(photographs):
    image = photographs[9]
    means = image.mean(axis=(0, 1))
    for severity, factor in zip(SEVERITIES, (0.75, 0.5, 0.4, 0.3, 0.15), strict=True):
        expected = (image - means) * factor + means
        flat = corrupt(image, "contrast", severity, "x")
        assert np.all((flat <= expected + 1e-3) & (flat > expected - 1))


def test_pixelate_and_jpeg_are_what_pillow_makes_of_the_published_settings(photographs, tmp_path):
    image = Image.fromarray(photographs[11])
    for severity, side in zip(SEVERITIES, (30, 28, 27, 24, 20), strict=True):
        expected = image.resize((side, side), Image.BOX).resize((32, 32), Image.BOX)
        corrupted = corrupt(photographs[11], "pixelate", severity, "x")
        np.testing.assert_array_equal(corrupted, np.asarray(expected))
    for severity, quality in zip(SEVERITIES, (80, 65, 58, 50, 40), strict=True):
        image.save(tmp_path / "x.jpg", quality=quality)
        corrupted = corrupt(photographs[11], "jpeg_compression", severity, "x")
        np.testing.assert_array_equal(corrupted, np.asarray(Image.open(tmp_path / "x.jpg")))


def test_unknown_name_is_refused_with_the_names_there_are():
    with pytest.raises(SidekickError, match=r"'fog_of_war'.*gaussian_noise.*jpeg_compression"):
        corrupt(np.zeros((8, 8, 3), np.uint8), "fog_of_war", 1, "x")


@pytest.mark.parametrize("severity", [0, 6, -1, 1.5, "3", None])
def test_severity_out_of_range_is_refused(severity):
    with pytest.raises(SidekickError, match=r"severity .* of contrast.*from 1 to 5"):
        corrupt(np.zeros((8, 8, 3), np.uint8), "contrast", severity, "x")


@pytest.mark.parametrize(
    "images", [np.zeros((8, 8, 3)), np.zeros((8, 8), np.uint8), np.zeros((2, 8, 8, 1), np.uint8)]
)
def test_arrays_that_are_no_images_are_refused(images):
    with pytest.raises(SidekickError, match=r"contrast: images of shape .*expected .*uint8"):
        corrupt(images, "contrast", 1, "x")
