import torch

from sidekick.training.augmentation import augment


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count=40):
    values = torch.rand(count, 3, 12, 10, generator=generator(9))
    return values.contiguous(memory_format=torch.channels_last)


def test_nothing_asked_nothing_done():
    assert torch.equal(augment(images(), {}, generator()), images())
    assert torch.equal(augment(images(), {"noise": 0, "shift": 0}, generator()), images())


def test_the_seed_decides():
    settings = {"noise": 0.1, "shift": 2}
    first = augment(images(), settings, generator(1))
    assert torch.equal(first, augment(images(), settings, generator(1)))
    assert not torch.equal(first, augment(images(), settings, generator(2)))


def test_shift_moves_whole_pixels_and_repeats_the_edge():
    original = images()
    moved = augment(original, {"shift": 2}, generator())
    assert moved.shape == original.shape
    padded = torch.nn.functional.pad(original, (2, 2, 2, 2), mode="replicate")
    seen = set()
    for row in range(len(original)):
        matches = [
            (dy, dx)
            for dy in range(5)
            for dx in range(5)
            if torch.equal(moved[row], padded[row, :, dy : dy + 12, dx : dx + 10])
        ]
        assert len(matches) == 1
        seen.update(matches)
    assert {dy for dy, _ in seen} == {dx for _, dx in seen} == set(range(5))


def test_noise_has_a_level_of_its_own_in_each_image():
    grey = torch.full((400, 3, 16, 16), 0.5)
    noise = augment(grey, {"noise": 0.1}, generator()) - grey
    levels = noise.flatten(1).std(dim=1)
    assert levels.min() < 0.005
    assert 0.09 < levels.max() < 0.11
    assert 0.045 < levels.mean() < 0.055
    # The channels draw noise of their own.
    assert abs(torch.corrcoef(noise.transpose(0, 1).flatten(1))[0, 1]) < 0.02


def test_pixels_stay_in_range():
    noisy = augment(images(), {"noise": 1.0}, generator())
    assert noisy.min() == 0
    assert noisy.max() == 1


def test_memory_format_is_kept():
    changed = augment(images(), {"noise": 0.1, "shift": 2}, generator())
    assert changed.is_contiguous(memory_format=torch.channels_last)
