import platform
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sidekick.errors import SidekickError
from sidekick.models import runtime
from sidekick.models.runtime import describe_device, reproducible, select_device

CPU = torch.device("cpu")


def test_a_gpu_is_named_with_its_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    properties = SimpleNamespace(total_memory=3 * 2**29)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    assert describe_device(select_device("cuda"), 1) == "cuda (Some GPU, 1.5 GiB)"


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel\t\t: 7\n", "Some CPU @ 2 GHz"),
        ("processor\t: 0\nBogoMIPS\t: 50.00\n", "arm65"),
        ("model name\t:\n", "arm65"),
        (None, "arm65"),
    ],
)
def test_a_processor_is_named_with_its_threads(cpuinfo, name, monkeypatch):
    def read_text(path, encoding):
        assert path == Path("/proc/cpuinfo")
        if cpuinfo is None:
            raise FileNotFoundError
        return cpuinfo

    monkeypatch.setattr(runtime.Path, "read_text", read_text)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "arm65")
    assert select_device("cpu") == CPU
    assert describe_device(CPU, 1) == f"cpu ({name}, 1 thread)"
    assert describe_device(CPU, 4) == f"cpu ({name}, 4 threads)"


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
