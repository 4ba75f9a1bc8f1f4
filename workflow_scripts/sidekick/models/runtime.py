"""Where networks run, and how to make them give the same bits again."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from sidekick.errors import SidekickError


def select_device(name: str) -> torch.device:
    """Give the device that the configuration asks for.

    Raises
    ------
    SidekickError
        If the name is neither `cpu` nor `cuda`, or there is no such GPU.
    """
    if name not in ("cpu", "cuda"):
        raise SidekickError(f"device: '{name}' is not known; allowed are 'cpu' and 'cuda'")
    if name == "cuda" and not torch.cuda.is_available():
        raise SidekickError(
            "device: 'cuda' was asked for, but torch sees no GPU here. Set `device: cpu`, or "
            "check the driver and that this torch was built for CUDA"
        )
    return torch.device(name)


def describe_device(device: torch.device, threads: int) -> str:
    """Name the device for the log: a GPU with its memory, a processor with the threads it gives.

    The line tells a build of PyTorch without CUDA, or another GPU than one thought, from the start.
    """
    if device.type == "cuda":
        gibibytes = torch.cuda.get_device_properties(device).total_memory / 2**30
        return f"cuda ({torch.cuda.get_device_name(device)}, {gibibytes:.1f} GiB)"
    return f"cpu ({_processor()}, {threads} thread{'s' if threads > 1 else ''})"


def _processor() -> str:
    """Name the processor as the kernel does, or by its kind where it says nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


@contextmanager
def reproducible(device: torch.device, threads: int, seed: int) -> Iterator[None]:
    """Run a block with deterministic kernels, `threads` threads and a seeded generator.

    Results are then equal, bit for bit, on the same machine with the same number of threads. On
    CUDA some networks need an operator that has no deterministic kernel; torch then warns (in the
    job's log) where on the CPU it would refuse. Float32 means float32 on CUDA too: convolutions
    would otherwise round to TF32. The caller's settings and random state come back afterwards.

    Parameters
    ----------
    device
        As `select_device` gives it.
    threads
        Threads for operators on the CPU.
    seed
        Of torch's global generators (initialisation, dropout).
    """
    # cuBLAS reads this when its first handle is made; without it matrix products may differ.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    threads_before = torch.get_num_threads()
    deterministic_before = torch.are_deterministic_algorithms_enabled()
    warn_only_before = torch.is_deterministic_algorithms_warn_only_enabled()
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices),
        torch.backends.cudnn.flags(
            enabled=True, deterministic=True, allow_tf32=False, fp32_precision="ieee"
        ),
    ):
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
        torch.manual_seed(seed)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic_before, warn_only=warn_only_before)
            torch.set_num_threads(threads_before)
