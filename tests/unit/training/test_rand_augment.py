import pytest
import torch
from torchvision.transforms import v2

from sidekick.training.rand_augment import OPERATIONS, apply_operations, rand_augment

# Private names, but they are what has to be met.
_SPACE = v2.RandAugment._AUGMENTATION_SPACE


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count=6, height=32, width=32):
    pixels = torch.randint(0, 256, (count, 3, height, width), generator=generator()).byte()
    # One of low contrast and one of a single colour.
    pixels[1] //= 4
    pixels[2] = 7
    return pixels.contiguous(memory_format=torch.channels_last)


def single(count):
    """Copies of one image that no operation but the identity leaves as it is."""
    pixels = torch.randint(30, 150, (1, 3, 16, 16), generator=generator()).byte()
    return pixels.expand(count, -1, -1, -1)


def of_torchvision(image, name, negative, magnitude):
    transform = v2.RandAugment(magnitude=magnitude)
    levels, signed = _SPACE[name]
    levels = levels(31, *image.shape[1:])
    level = 0.0 if levels is None else float(levels[magnitude])
    level *= -1 if signed and negative else 1
    return transform._apply_image_or_video_transform(
        image, name, level, transform.interpolation, transform._fill
    )


def test_the_operations_are_torchvisions():
    assert [name.replace("_", "") for name in OPERATIONS] == [name.lower() for name in _SPACE]
    assert list(OPERATIONS.values()) == [signed for _, signed in _SPACE.values()]


@pytest.mark.parametrize(("height", "width"), [(32, 32), (20, 28)])
@pytest.mark.parametrize("magnitude", [0, 5, 9, 22, 30])
@pytest.mark.parametrize("kind", range(len(_SPACE)), ids=list(_SPACE))
def test_each_operation_is_torchvisions(kind, magnitude, height, width):
    pixels = images(height=height, width=width)
    name = list(_SPACE)[kind]
    for negative in (False, True):
        changed = apply_operations(
            pixels, torch.full((6,), kind), torch.full((6,), negative), magnitude
        )
        expected = [of_torchvision(image, name, negative, magnitude) for image in pixels]
        assert torch.equal(changed, torch.stack(expected))


def test_each_image_gets_its_own_operation():
    count = 60
    pixels = images(count)
    kinds = torch.randint(len(OPERATIONS), (count,), generator=generator(1))
    negative = torch.rand(count, generator=generator(2)) < 0.5
    changed = apply_operations(pixels, kinds, negative, 9)
    for row in range(count):
        name = list(_SPACE)[kinds[row]]
        assert torch.equal(changed[row], of_torchvision(pixels[row], name, negative[row], 9))


def test_what_it_draws_is_distributed_as_torchvisions():
    # Each operation and sign changes the image in a way of its own: how often each way.
    draws = 5000
    ways = rand_augment(single(draws), 1, 20, generator(3))
    counts = ways.flatten(1).unique(dim=0, return_counts=True)[1].sort().values
    signed = sum(OPERATIONS.values())
    assert len(counts) == len(OPERATIONS) + signed
    expected = draws / len(OPERATIONS)
    assert ((counts[: 2 * signed] - expected / 2).abs() < 5 * (expected / 2) ** 0.5).all()
    assert ((counts[2 * signed :] - expected).abs() < 5 * expected**0.5).all()


def test_operations_follow_one_another():
    pixels = images(50)
    changed = rand_augment(pixels, 3, 9, generator(4))
    draw = generator(4)
    kinds = torch.randint(len(OPERATIONS), (3, 50), generator=draw)
    negative = torch.rand(3, 50, generator=draw) <= 0.5
    for row, image in enumerate(pixels):
        for kind, sign in zip(kinds[:, row], negative[:, row], strict=True):
            image = of_torchvision(image, list(_SPACE)[kind], sign, 9)
        assert torch.equal(changed[row], image)


def test_the_seed_decides_and_the_input_stays():
    pixels = images(40)
    before = pixels.clone()
    first = rand_augment(pixels, 2, 9, generator(1))
    assert torch.equal(first, rand_augment(pixels, 2, 9, generator(1)))
    assert not torch.equal(first, rand_augment(pixels, 2, 9, generator(2)))
    assert torch.equal(pixels, before)
    assert first.is_contiguous(memory_format=torch.channels_last)
    assert first.dtype == torch.uint8
