import pytest
import torch
from torch.nn import functional as F

from sidekick.training.augmentation import augment, augment_bytes, mix
from sidekick.training.finetune import cross_entropy


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


def test_bytes_without_settings_stay():
    pixels = (images() * 255).byte()
    state = generator()
    assert torch.equal(augment_bytes(pixels, {}, state), pixels)
    assert torch.equal(augment_bytes(pixels, {"flip": False}, state), pixels)
    assert torch.equal(state.get_state(), generator().get_state())


def test_flip_mirrors_half_of_the_images():
    pixels = (images(400) * 255).byte().contiguous(memory_format=torch.channels_last)
    changed = augment_bytes(pixels, {"flip": True}, generator())
    mirrored = (changed == pixels.flip(3)).flatten(1).all(dim=1)
    kept = (changed == pixels).flatten(1).all(dim=1)
    assert (mirrored ^ kept).all()
    assert 150 < mirrored.sum() < 250
    assert changed.is_contiguous(memory_format=torch.channels_last)


def test_rand_augment_is_among_the_settings():
    pixels = (images() * 255).byte()
    settings = {"rand_augment": {"operations": 2, "magnitude": 9}}
    changed = augment_bytes(pixels, settings, generator())
    assert not torch.equal(changed, pixels)
    assert torch.equal(changed, augment_bytes(pixels, settings, generator()))


def test_mixup_blends_images_as_it_blends_targets():
    labels = torch.arange(40) % 4
    mixed, targets = mix(images(), labels, 4, {"mixup": 0.4}, generator())
    hot = F.one_hot(labels, 4).float()
    # Neighbours have different labels here, so a target shows its share.
    share = targets[0, labels[0]].item()
    assert 0 < share < 1
    torch.testing.assert_close(targets, share * hot + (1 - share) * hot.roll(1, 0))
    expected = share * images() + (1 - share) * images().roll(1, 0)
    torch.testing.assert_close(mixed, expected)
    assert mixed.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_shares_of_mixup_follow_the_beta_distribution(alpha):
    labels, draw = torch.tensor([0, 1]), generator()
    pictures = torch.zeros(2, 3, 2, 2)
    shares = torch.tensor(
        [mix(pictures, labels, 2, {"mixup": alpha}, draw)[1][0, 0].item() for _ in range(2000)]
    )
    assert abs(shares.mean() - 0.5) < 0.04
    assert abs(shares.var() - 1 / (4 * (2 * alpha + 1))) < 0.02


def test_without_mixup_labels_stay_labels():
    labels = torch.arange(40)
    for settings in ({}, {"mixup": 0}):
        same, targets = mix(images(), labels, 40, settings, generator())
        assert torch.equal(same, images())
        assert targets is labels


def test_label_smoothing_composes_with_mixup():
    logits = torch.randn(6, 4, generator=generator())
    _, targets = mix(images(6), torch.arange(6) % 4, 4, {"mixup": 1.0}, generator())
    smooth = 0.9 * targets + 0.1 / 4
    expected = -(smooth * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(
        cross_entropy({"label_smoothing": 0.1})(logits, targets, None), expected
    )
