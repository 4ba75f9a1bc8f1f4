"""More severe is worse: mean squared error on slices of the real datasets."""

import numpy as np
import pytest

from sidekick.datasets import SEVERITIES, corruption_names
from sidekick.datasets.corruptions import corrupt
from unit.datasets.photographs import (
    REAL,
    cifar,
    food,
    overlays,
    real_overlays,
    tiles,
    tiny_imagenet,
)

#: After which severities the published constants make it milder, or hardly worse: `motion_blur` of
#: CIFAR then only appends to a line whose far end has no weight, `fog` of Food-101 only gets
#: rougher and its `snow` less dense but coarser, and `frost` of TinyImageNet adds as much as it
#: takes; the module `corruptions` explains the others.
MILDER = {
    "cifar": {
        "glass_blur": {1, 2, 4},
        "motion_blur": {3},
        "frost": {3, 4},
        "elastic_transform": {1, 2, 3, 4},
        "spatter": {3},
        "saturate": {2},
    },
    "tinyimagenet": {
        "glass_blur": {1, 3},
        "frost": {2},
        "elastic_transform": {1, 2, 3, 4},
        "saturate": {2},
    },
    "food101": {
        "glass_blur": {1, 3},
        "snow": {2},
        "frost": {3},
        "fog": {3},
        "elastic_transform": {2},
        "saturate": {2},
    },
}
LOADERS = {
    "cifar": lambda: cifar(100),
    "tinyimagenet": lambda: tiny_imagenet(60),
    "food101": lambda: food(30, 130),
}


@pytest.fixture(scope="module", params=sorted(LOADERS))
def real(request):
    if not REAL.exists():
        pytest.skip(f"needs the real slices in {REAL}")
    return request.param, LOADERS[request.param](), real_overlays()


def damage(images, name, frost):
    """Mean squared error at each severity; of what differs most between draws, over three draws."""
    draws = 3 if name in ("frost", "fog") else 1
    images = np.concatenate([images] * draws)
    sample_ids = [f"sample{row}" for row in range(len(images))]
    corrupted = [
        corrupt(images, name, severity, sample_ids, frost).astype(float) for severity in SEVERITIES
    ]
    return np.array([np.mean((spoiled - images) ** 2) for spoiled in corrupted])


def worse_after(errors):
    return {severity for severity, step in enumerate(np.diff(errors), 1) if step >= 0}


@pytest.mark.parametrize("name", corruption_names)
def test_damage_grows_with_severity(name, real):
    dataset, images, frost = real
    errors = damage(images, name, frost)
    assert worse_after(errors) >= {1, 2, 3, 4} - MILDER[dataset].get(name, set()), errors
    assert errors.min() > 1


@pytest.mark.parametrize("name", corruption_names)
def test_damage_grows_with_severity_without_the_slices(name):
    errors = damage(tiles(), name, overlays())
    expected = {1, 2, 3, 4} - MILDER["cifar"].get(name, set())
    if name == "frost":
        expected = {1}  # the stand-ins are paler than frost
    assert worse_after(errors) >= expected, errors


@pytest.mark.parametrize(
    "name",
    [
        "gaussian_noise",
        "shot_noise",
        "impulse_noise",
        "defocus_blur",
        "brightness",
        "contrast",
        "pixelate",
        "jpeg_compression",
    ],
)
def test_damage_grows_with_severity_on_digits(name, all_digits):
    errors = damage(all_digits.images[:60], name, None)
    if name == "pixelate":  # on smooth images only severity 5 stands out: see the module
        assert max(errors[:4]) < 2 * min(errors[:4])
        assert errors[4] > 2 * max(errors[:4])
    else:
        assert all(np.diff(errors) > 0), errors
