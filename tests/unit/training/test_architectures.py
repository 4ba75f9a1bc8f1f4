import pytest
import torch
from safetensors.torch import load_file

from unit.training.architectures import ARCHITECTURES


@pytest.mark.parametrize("entry", ARCHITECTURES.values(), ids=list(ARCHITECTURES))
def test_every_family_takes_two_steps(train, entry):
    settings = {
        "epochs": 1,
        "batch_size": 13,
        "ema": 0.5,
        "augmentation": {"flip": True, "rand_augment": {"operations": 1, "magnitude": 9}},
    }
    first, second = (load_file(train(f"{rate}", {**settings, "learning_rate": rate}, entry=entry))
                     for rate in (1e-3, 1e-5))  # fmt: skip
    moved = [name for name, value in first.items() if not torch.equal(value, second[name])]
    assert len(moved) > len(first) / 2
