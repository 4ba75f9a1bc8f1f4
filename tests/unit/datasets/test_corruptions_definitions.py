"""Each definition against what the papers' generators compute, written down plainly."""

import colorsys
from math import ceil, cos, radians, sin

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from scipy.stats import kstest

from sidekick.datasets import SEVERITIES
from sidekick.datasets.corruptions import corrupt
from sidekick.datasets.corruptions.blur import smear
from sidekick.datasets.corruptions.constants import constant
from sidekick.datasets.corruptions.drops import equalise, find_edges
from sidekick.datasets.corruptions.elastic import _displacements, elastic_transform
from sidekick.datasets.corruptions.glass import _shuffle
from sidekick.datasets.corruptions.resampling import clipped_zoom, resample, warp
from sidekick.datasets.corruptions.weather import fog, plasma
from unit.datasets.photographs import photograph, tiles

CIFAR = (32, 32)


@pytest.fixture(scope="module")
def photographs():
    return tiles()


def ids(count):
    return [f"sample{row}" for row in range(count)]


def grey_images(level, count=20):
    return np.full((count, 32, 32, 3), level, np.uint8)


# Noise


def test_gaussian_noise_has_the_published_deviation():
    grey = grey_images(128)
    for severity, scale in zip(SEVERITIES, (0.04, 0.06, 0.08, 0.09, 0.10), strict=True):
        noise = corrupt(grey, "gaussian_noise", severity, ids(20)).astype(float)
        assert noise.std() == pytest.approx(255 * scale, rel=0.02)
        assert noise.mean() == pytest.approx(127.5, abs=0.5)  # fractions are cut off


def test_shot_noise_has_the_variance_of_a_poisson_distribution():
    grey = grey_images(102)
    for severity, photons in zip(SEVERITIES, (500, 250, 100, 75, 50), strict=True):
        noise = corrupt(grey, "shot_noise", severity, ids(20)).astype(float)
        # 5%: one photon is about one grey level, and the cut to 8 bits beats with it.
        assert noise.std() == pytest.approx(255 * np.sqrt(0.4 / photons), rel=0.05)
    assert corrupt(np.zeros((8, 8, 3), np.uint8), "shot_noise", 5, "black").max() == 0


def test_impulse_noise_hits_the_published_share_of_values():
    grey = grey_images(128)
    for severity, amount in zip(SEVERITIES, (0.01, 0.02, 0.03, 0.05, 0.07), strict=True):
        noise = corrupt(grey, "impulse_noise", severity, ids(20))
        assert np.isin(noise, (0, 128, 255)).all()
        assert (noise == 0).mean() == pytest.approx(amount / 2, rel=0.15)
        assert (noise == 255).mean() == pytest.approx(amount / 2, rel=0.15)


def test_speckle_noise_grows_with_the_value():
    for level in (60, 150):
        for severity, scale in zip(SEVERITIES, (0.06, 0.1, 0.12, 0.16, 0.2), strict=True):
            noise = corrupt(grey_images(level), "speckle_noise", severity, ids(20)).astype(float)
            assert noise.std() == pytest.approx(level * scale, rel=0.03)
            assert noise.mean() == pytest.approx(level - 0.5, abs=0.5)
    assert corrupt(np.zeros((8, 8, 3), np.uint8), "speckle_noise", 5, "black").max() == 0


# Blur


@pytest.mark.parametrize("side", [32, 64, 150])
def test_defocus_blur_is_the_published_kernel(side):
    """The reference builds the disk as published and blurs channel by channel."""
    source = photograph(side, side)
    for severity in SEVERITIES:
        radius, sigma = constant("defocus_blur", severity, (side, side))
        reach, steps = (8, np.arange(-1, 2)) if radius <= 8 else (radius, np.arange(-2, 3))
        x, y = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1))
        disk = (x**2 + y**2 <= radius**2).astype(float)
        disk /= disk.sum()
        weights = np.exp(-(steps**2) / (2 * sigma**2))
        weights /= weights.sum()
        for axis in (0, 1):
            disk = ndimage.correlate1d(disk, weights, axis, mode="mirror")
        blurred = corrupt(source, "defocus_blur", severity, "x")
        for channel in range(3):
            expected = ndimage.correlate(source[..., channel] / 255, disk, mode="mirror")
            expected = np.floor(np.clip(expected, 0, 1) * 255 + 1e-6)
            np.testing.assert_array_equal(blurred[..., channel], expected)


def test_gaussian_blur_is_scipys_channel_by_channel(photographs):
    for severity, sigma in zip(SEVERITIES, (0.4, 0.6, 0.7, 0.8, 1), strict=True):
        blurred = corrupt(photographs[3], "gaussian_blur", severity, "x")
        for channel in range(3):
            values = photographs[3][..., channel] / 255
            expected = ndimage.gaussian_filter(values, sigma, mode="nearest", truncate=4.0)
            np.testing.assert_array_equal(
                blurred[..., channel], np.floor(expected * 255 + 1e-6).astype(np.uint8)
            )


def plain_smear(image, radius, sigma, angle):
    """ImageMagick's loop, pixel by pixel."""
    width = 2 * ceil(radius) + 1
    kernel = [np.exp(-(i**2) / (2 * sigma**2)) for i in range(width)]
    height, columns = image.shape[:2]
    result = np.zeros(image.shape)
    for y in range(height):
        for x in range(columns):
            for i, weight in enumerate(kernel):
                across = ceil(i * cos(radians(angle)) - 0.5)
                down = ceil(i * sin(radians(angle)) - 0.5)
                row = min(max(y + down, 0), height - 1)
                column = min(max(x + across, 0), columns - 1)
                result[y, x] += weight / sum(kernel) * image[row, column]
    return np.floor(result + 0.5)


@pytest.mark.parametrize("angle", [-135, -90, -70.5, -45, -12.3, 0, 20, 45])
def test_motion_blur_is_imagemagicks_loop(angle):
    image = np.random.default_rng(0).integers(0, 256, (12, 15, 3), np.uint8)
    for radius, sigma in ((6, 1), (9, 2.5), (14, 12)):
        expected = plain_smear(image, radius, sigma, angle)
        difference = smear(image, radius, sigma, angle) - expected
        assert np.abs(difference).max() <= 1  # float32 beside a half
        assert (difference != 0).mean() < 0.01


def test_motion_blur_smears_to_one_side():
    dot = np.zeros((21, 41), np.uint8)
    dot[10, 20] = 255
    smeared = smear(dot, 10, 3, 0)
    assert smeared[10, 20] == smeared.max()
    assert smeared[10, 15] > 0
    assert smeared[10, 21:].max() == 0
    assert np.delete(smeared, 10, axis=0).max() == 0


def test_motion_blur_leads_up_to_45_degrees_up_and_down():
    dot = np.zeros((61, 61, 3), np.uint8)
    dot[30, 30] = 255
    slopes = []
    for number in range(200):
        rows, columns = np.nonzero(corrupt(dot, "motion_blur", 5, f"{number}")[..., 0])
        slopes.append((rows[0] - 30 if rows[0] < 30 else rows[-1] - 30) / 6)
        assert columns.max() == 30
    assert kstest(slopes, "uniform", args=(-1.1, 2.2)).pvalue > 1e-6
    assert min(slopes) < -0.5
    assert max(slopes) > 0.5


@pytest.mark.parametrize("factor", [1, 1.01, 1.05, 1.13, 1.25, 1.75, 2.25, 4, 4.5])
@pytest.mark.parametrize("side", [8, 32, 33, 64])
def test_clipped_zoom_is_scipys_zoom_cropped(factor, side):
    values = np.random.default_rng(1).random((side, side, 3))
    crop = ceil(side / factor)
    top = (side - crop) // 2
    zoomed = ndimage.zoom(
        values[top : top + crop, top : top + crop], (factor, factor, 1), order=1, mode="nearest"
    )
    trim = (zoomed.shape[0] - side) // 2
    expected = zoomed[trim : trim + side, trim : trim + side]
    np.testing.assert_allclose(clipped_zoom(values, factor), expected, atol=1e-12)


def test_zoom_blur_averages_the_image_twice_with_its_enlargements(photographs):
    image = photographs[8] / 255
    factors = np.arange(1, 1.11, 0.01)
    total = image + sum(clipped_zoom(image, factor) for factor in factors)
    expected = np.floor(total / (len(factors) + 1) * 255 + 1e-6)
    np.testing.assert_array_equal(corrupt(photographs[8], "zoom_blur", 2, "x"), expected)


def plain_shuffle(image, reach, rng):
    """The generators' loop; the swap of two numpy views is a copy of the second."""
    height, width = image.shape[:2]
    image = image.copy()
    shape = (height - 2 * reach, width - 2 * reach, 2)
    offsets = rng.integers(-reach, reach, size=shape)
    for h in range(height - reach, reach, -1):
        for w in range(width - reach, reach, -1):
            dx, dy = offsets[h - reach - 1, w - reach - 1]
            image[h, w], image[h + dy, w + dx] = image[h + dy, w + dx], image[h, w]
    return image


@pytest.mark.parametrize("reach", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(8, 8), (9, 14), (33, 21)], ids=str)
def test_glass_shuffles_as_the_generators_loop_does(reach, shape):
    image = np.arange(np.prod(shape) * 3).reshape(*shape, 3)
    for seed in range(5):
        shuffled = _shuffle(image, reach, np.random.default_rng(seed))
        expected = plain_shuffle(image, reach, np.random.default_rng(seed))
        np.testing.assert_array_equal(shuffled, expected)


# Weather


def plain_plasma(size, decay, rng):
    """Diamond-square, point by point, with the bumps drawn in the same order."""
    heights = np.zeros((size, size))
    bump, step = 1.0, size
    while step > 1:
        half, count = step // 2, size // step
        draws = [rng.uniform(-bump, bump, (count, count)) for _ in range(3)]

        def mean(*points):
            return sum(heights[row % size, column % size] for row, column in points) / 4

        for i, j in np.ndindex(count, count):
            r, c = i * step, j * step
            corners = (r, c), (r + step, c), (r, c + step), (r + step, c + step)
            heights[r + half, c + half] = mean(*corners) + draws[0][i, j]
        for i, j in np.ndindex(count, count):
            r, c = i * step, j * step
            around = (r, c), (r, c + step), (r - half, c + half), (r + half, c + half)
            heights[r, c + half] = mean(*around) + draws[1][i, j]
            around = (r, c), (r + step, c), (r + half, c - half), (r + half, c + half)
            heights[r + half, c] = mean(*around) + draws[2][i, j]
        step, bump = half, bump / decay**2
    heights -= heights.min()
    return heights / heights.max()


@pytest.mark.parametrize("size", [2, 8, 32])
@pytest.mark.parametrize("decay", [1.4, 3])
def test_plasma_is_diamond_square(size, decay):
    drawn = plasma(size, decay, np.random.default_rng(7))
    np.testing.assert_allclose(drawn, plain_plasma(size, decay, np.random.default_rng(7)))
    assert drawn.min() == 0
    assert drawn.max() == 1


def test_plasma_is_rougher_the_slower_the_bumps_fall():
    rough = [
        np.abs(np.diff(plasma(64, decay, np.random.default_rng(1)), axis=0)).mean()
        for decay in (3, 2, 1.5)
    ]
    assert rough[0] < rough[1] < rough[2]


def test_fog_keeps_the_brightest_value_as_the_limit():
    image = photograph(20, 30) // 2
    foggy = fog(image, (1.5, 1.75), np.random.default_rng(3))
    brightest = image.max() / 255
    clouds = plasma(32, 1.75, np.random.default_rng(3))[:20, :30, None]
    expected = (image / 255 + 1.5 * clouds) * brightest / (brightest + 1.5)
    np.testing.assert_array_equal(foggy, np.floor(expected * 255 + 1e-6))
    assert foggy.max() <= image.max()


def test_frost_is_a_weighted_sum_with_a_piece_of_an_overlay():
    ramp = np.stack(np.meshgrid(np.arange(0, 240), np.arange(0, 200), [0])[:2], -1)[:, :, 0]
    overlay = np.concatenate([ramp, ramp[..., :1]], -1).astype(np.uint8)
    black = np.zeros((32, 32, 3), np.uint8)
    piece = corrupt(black, "frost", 5, "x", [overlay] * 5).astype(float) / 0.45
    # A fifth of the size: neighbours in the piece are five apart in the overlay.
    assert np.diff(piece[..., 0], axis=1).mean() == pytest.approx(5, abs=0.1)
    assert np.diff(piece[..., 1], axis=0).mean() == pytest.approx(5, abs=0.1)
    white = np.full((32, 32, 3), 255, np.uint8)
    sums = corrupt(white, "frost", 5, "x", [overlay] * 5).astype(float)
    expected = np.minimum(0.75 * 255 + 0.45 * piece, 255)
    np.testing.assert_allclose(sums, expected, atol=1.01)


def test_frost_uses_overlays_at_their_size_for_large_images():
    rng = np.random.default_rng(0)
    overlay = rng.integers(0, 256, (160, 170, 3), np.uint8)
    white = np.full((130, 131, 3), 255, np.uint8)
    piece = corrupt(np.zeros_like(white), "frost", 1, "x", [overlay] * 5)
    found = [
        (row, column)
        for row in range(30)
        for column in range(39)
        if np.abs(overlay[row : row + 130, column : column + 131] * 0.4 - piece).max() < 1.001
    ]
    assert len(found) == 1


def test_snow_falls_on_both_sides_and_whitens():
    black = np.zeros((24, 32, 32, 3), np.uint8)
    flakes = corrupt(black, "snow", 3, ids(24)).astype(int)
    # The layer and its half turn: black is lifted to half of what is not kept.
    lifted = np.floor((1 - 0.9) * 0.5 * 255 + 1e-6)
    assert flakes.min() == lifted
    np.testing.assert_allclose(flakes, flakes[:, ::-1, ::-1], atol=1)
    assert (flakes > lifted).mean() > 0.1
    assert (flakes[..., 0] == flakes[..., 2]).all()


# Spatter


def plain_edges(grey, low, high):
    """Canny's method pixel by pixel, the direction in real angles."""
    padded = np.pad(grey.astype(int), 1, mode="edge")
    height, width = grey.shape
    across, down = np.zeros((2, height, width), int)
    for r, c in np.ndindex(height, width):
        window = padded[r : r + 3, c : c + 3]
        across[r, c] = (window[:, 2] - window[:, 0]) @ (1, 2, 1)
        down[r, c] = (window[2] - window[0]) @ (1, 2, 1)
    steep = np.pad(np.abs(across) + np.abs(down), 1)
    kept = np.zeros((height, width), bool)
    for r, c in np.ndindex(height, width):
        here = steep[r + 1, c + 1]
        angle = np.degrees(np.arctan2(abs(down[r, c]), abs(across[r, c])))
        if here <= low:
            continue
        if angle < 22.5:
            kept[r, c] = here > steep[r + 1, c] and here >= steep[r + 1, c + 2]
        elif angle > 67.5:
            kept[r, c] = here > steep[r, c + 1] and here >= steep[r + 2, c + 1]
        elif across[r, c] * down[r, c] >= 0:
            kept[r, c] = here > max(steep[r, c], steep[r + 2, c + 2])
        else:
            kept[r, c] = here > max(steep[r, c + 2], steep[r + 2, c])
    found = kept & (steep[1:-1, 1:-1] > high)
    while True:
        grown = ndimage.binary_dilation(found, np.ones((3, 3))) & kept
        if (grown == found).all():
            return found
        found = grown


@pytest.mark.parametrize("seed", range(6))
def test_edges_are_cannys(seed):
    rng = np.random.default_rng(seed)
    layer = ndimage.gaussian_filter(rng.normal(0.65, 0.3, (30, 41)), 0.7 + seed / 3)
    drops = np.where(layer < 0.66, 0, np.clip(layer, 0, 1) * 255).astype(np.uint8)
    edges = find_edges(drops, 50, 150)
    np.testing.assert_array_equal(edges, plain_edges(drops, 50, 150))
    noise = rng.integers(0, 60, (20, 20), np.uint8)
    np.testing.assert_array_equal(find_edges(noise, 50, 150), plain_edges(noise, 50, 150))
    assert not find_edges(np.full((9, 9), 80, np.uint8), 50, 150).any()


def test_equalising_spreads_the_levels():
    levels = np.repeat(np.array([3, 4, 7, 9], np.uint8), [4, 1, 2, 1])[None]
    assert equalise(levels)[0].tolist() == [0, 0, 0, 0, 64, 191, 191, 255]
    flat = np.full((4, 4), 20, np.uint8)
    np.testing.assert_array_equal(equalise(flat), flat)


def test_water_brightens_in_its_colour_and_mud_covers_in_its():
    black = np.zeros((40, 32, 32, 3), np.uint8)
    water = corrupt(black, "spatter", 3, ids(40)).astype(float)
    wet = water[..., 1] > 60
    assert wet.mean() > 0.001
    ratio = water[wet].mean(axis=0)
    assert ratio[1] == ratio[2]
    assert ratio[0] / ratio[1] == pytest.approx(175 / 238, abs=0.02)
    # The brightest drop has the published opacity of a half.
    assert water.max(axis=(1, 2, 3)).max() == np.floor(238 / 2)
    white = np.full((40, 32, 32, 3), 255, np.uint8)
    mud = corrupt(white, "spatter", 5, ids(40))
    darkest = mud.reshape(-1, 3).min(axis=0)
    assert np.abs(darkest.astype(int) - (63, 42, 20)).max() <= 30
    assert 0.01 < (mud[..., 0] < 200).mean() < 0.3


def test_a_lens_without_water_changes_nothing():
    small = photograph(8, 8)
    results = [corrupt(small, "spatter", 1, f"{number}") for number in range(60)]
    assert any(np.array_equal(result, small) for result in results)
    assert not all(np.array_equal(result, small) for result in results)


# Colour


@pytest.mark.parametrize("name", ["brightness", "saturate"])
def test_colour_is_changed_in_hue_saturation_value(name, photographs):
    image = photographs[7].copy()
    image[0, 0], image[0, 1], image[0, 2] = 0, 128, 255
    image[0, 3] = (0, 200, 0)
    for severity in SEVERITIES:
        changed = corrupt(image, name, severity, "x").astype(int)
        constants = constant(name, severity, CIFAR)
        for row, column in np.ndindex(6, 32):
            hue, saturation, value = colorsys.rgb_to_hsv(*image[row, column] / 255)
            if name == "brightness":
                value = min(value + constants, 1)
            else:
                saturation = min(saturation * constants[0] + constants[1], 1)
            expected = np.array(colorsys.hsv_to_rgb(hue, saturation, value)) * 255
            assert np.abs(changed[row, column] - np.floor(expected)).max() <= 1


def test_brightness_turns_black_grey():
    black = np.zeros((8, 8, 3), np.uint8)
    assert set(corrupt(black, "brightness", 4, "x").ravel()) == {51}


def test_saturate_turns_grey_reddish_when_it_adds():
    grey = np.full((8, 8, 3), 200, np.uint8)
    assert corrupt(grey, "saturate", 5, "x")[0, 0].tolist() == [200, 160, 160]
    np.testing.assert_array_equal(corrupt(grey, "saturate", 1, "x"), grey)


def test_contrast_shrinks_towards_the_mean_of_the_channel(photographs):
    image = photographs[9]
    means = image.mean(axis=(0, 1))
    for severity, factor in zip(SEVERITIES, (0.75, 0.5, 0.4, 0.3, 0.15), strict=True):
        expected = (image - means) * factor + means
        flat = corrupt(image, "contrast", severity, "x")
        assert np.all((flat <= expected + 1e-3) & (flat > expected - 1))


# Digital


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


# Elastic


@pytest.mark.parametrize("border", ["mirror", "reflect"])
def test_warp_is_scipys_map_coordinates(border):
    rng = np.random.default_rng(5)
    values = rng.random((9, 12, 3))
    rows, columns = rng.uniform(-30, 40, (2, 15, 16))
    warped = warp(values, rows, columns, border)
    # SciPy reads a padded image: it treats what lies between an edge and its image differently.
    mode = {"mirror": "reflect", "reflect": "symmetric"}[border]
    padded = np.pad(values, ((45, 45), (45, 45), (0, 0)), mode=mode)
    for channel in range(3):
        expected = ndimage.map_coordinates(padded[..., channel], [rows + 45, columns + 45], order=1)
        np.testing.assert_allclose(warped[..., channel], expected, atol=1e-12)


def test_resampling_a_grid_is_scipys_map_coordinates():
    rng = np.random.default_rng(6)
    values = rng.random((9, 12, 3))
    rows, columns = rng.uniform(-3, 14, 7), rng.uniform(-3, 14, 5)
    grid = np.meshgrid(rows, columns, indexing="ij")
    for channel in range(3):
        expected = ndimage.map_coordinates(values[..., channel], grid, order=1, mode="nearest")
        resampled = resample(values, rows, columns)[..., channel]
        np.testing.assert_allclose(resampled, expected, atol=1e-12)


@pytest.mark.parametrize("sigma", [0.3, 1.3, 6.4, 60.0])
@pytest.mark.parametrize("shape", [(32, 32), (17, 40)], ids=str)
def test_displacements_are_smoothed_as_scipy_does_with_the_edges_reflected(shape, sigma):
    noise = np.random.default_rng(2).uniform(-1, 1, size=shape)
    expected = ndimage.gaussian_filter(noise, sigma, mode="reflect", truncate=3)
    smoothed = _displacements(shape, sigma, np.random.default_rng(2))
    np.testing.assert_allclose(smoothed, expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(32, 32), (40, 33)], ids=str)
def test_elastic_transform_is_an_affine_map_and_then_displacements(shape):
    image = photograph(*shape)
    strength, sigma, reach = (min(shape) * share for share in (0.1, 0.04, 0.05))
    rng = np.random.default_rng(9)
    centre, half = np.array([shape[1] // 2, shape[0] // 2]), min(shape) // 3
    corners = np.array([centre + half, centre + np.array([half, -half]), centre - half], float)
    moved = corners + rng.uniform(-reach, reach, size=(3, 2))
    matrix = np.linalg.solve(np.column_stack([moved, np.ones(3)]), corners)
    rows, columns = np.indices(shape).astype(float)
    x, y = np.moveaxis(np.stack([columns, rows, np.ones(shape)], -1) @ matrix, -1, 0)
    shifts = [
        strength
        * ndimage.gaussian_filter(rng.uniform(-1, 1, size=shape), sigma, mode="reflect", truncate=3)
        for _ in range(2)
    ]
    bent = elastic_transform(image, (0.1, 0.04, 0.05), np.random.default_rng(9))
    for channel in range(3):
        padded = np.pad(image[..., channel] / 255, 60, mode="reflect")
        turned = ndimage.map_coordinates(padded, [y + 60, x + 60], order=1)
        padded = np.pad(turned, 60, mode="symmetric")
        expected = ndimage.map_coordinates(
            padded, [rows + shifts[1] + 60, columns + shifts[0] + 60], order=1
        )
        np.testing.assert_allclose(bent[..., channel], expected * 255, atol=1.001)
        assert np.all(bent[..., channel] <= expected * 255 + 1e-3)


def test_the_first_elastic_transform_of_small_images_is_affine_alone():
    assert constant("elastic_transform", 1, CIFAR)[:2] == (0, 0)
    ramp = np.arange(32, dtype=np.uint8)[None, :, None].repeat(32, 0).repeat(3, 2) * 8
    bent = corrupt(ramp, "elastic_transform", 1, "x").astype(int)[12:20, 12:20, 0]
    assert np.abs(np.diff(bent, 2, axis=1)).max() <= 2
    assert np.abs(np.diff(bent, 2, axis=0)).max() <= 2
