import numpy as np
import torch

from sidekick.models.pixels import as_tensor, host_images, to_unit, upload

CPU = torch.device("cpu")


def test_channels_come_first_and_lie_last():
    images = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    pixels = as_tensor(images, CPU)
    assert pixels.shape == (2, 3, 4, 5)
    assert pixels[1, 2, 3, 4] == images[1, 3, 4, 2]
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    assert to_unit(pixels).is_contiguous(memory_format=torch.channels_last)


def test_unit_scale():
    unit = to_unit(as_tensor(np.array([[[[0, 51, 255]]]], np.uint8), CPU))
    assert unit.dtype == torch.float32
    torch.testing.assert_close(unit.flatten(), torch.tensor([0, 0.2, 1]))


def test_host_memory_is_sent_as_it_lies():
    images = host_images((2, 4, 5, 3), CPU)
    assert not images.is_pinned()
    images.random_(0, 256)
    assert torch.equal(upload(images, CPU), as_tensor(images.numpy(), CPU))
