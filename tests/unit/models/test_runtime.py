import pytest
import torch

from sidekick.errors import SidekickError
from sidekick.models.runtime import describe_device, reproducible, select_device

CPU = torch.device("cpu")


def test_devices(monkeypatch):
    assert select_device("cpu") == CPU
    assert describe_device(CPU, 1) == "cpu (1 thread)"
    assert describe_device(CPU, 4) == "cpu (4 threads)"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    cuda = select_device("cuda")
    assert describe_device(cuda, 1) == "cuda (Some GPU)"


def test_missing_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SidekickError, match=r"'cuda'.*no GPU"):
        select_device("cuda")


def test_unknown_device():
    with pytest.raises(SidekickError, match=r"'gpu'.*allowed are 'cpu' and 'cuda'"):
        select_device("gpu")


def test_settings_hold_inside_and_come_back():
    torch.set_num_threads(1)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    with reproducible(CPU, threads=2, seed=0):
        assert torch.get_num_threads() == 2
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.allow_tf32
        torch.rand(5)
    assert torch.get_num_threads() == 1
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.allow_tf32
    assert torch.equal(torch.get_rng_state(), state)


def test_settings_come_back_after_an_error():
    torch.set_num_threads(1)
    with pytest.raises(KeyError), reproducible(CPU, threads=2, seed=0):
        raise KeyError
    assert torch.get_num_threads() == 1
    assert not torch.are_deterministic_algorithms_enabled()


def test_seed_decides_what_is_drawn():
    drawn = []
    for seed in (0, 0, 1):
        with reproducible(CPU, threads=1, seed=seed):
            drawn.append(torch.rand(4))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
