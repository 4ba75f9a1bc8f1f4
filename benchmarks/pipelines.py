"""Ours and a plain PyTorch loop, from the same stored images to a network's input and weights.

Both mirror and RandAugment(2, 9) the same images, shuffled, in batches. The plain loop is what
tutorials show: a `Dataset` of PIL images with torchvision's transforms, and a `DataLoader` with
worker processes, as many as ours has threads.
"""

import io
import pickle
import tarfile
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from sidekick.datasets.reading import StoredFormat, StoredSplit
from sidekick.models.create import create_model
from sidekick.models.preprocessing import Preprocessing
from sidekick.training.data import DecodedImages, LabelledImages, StoredImages, TrainingData
from sidekick.training.inputs import ImageInputs
from sidekick.training.loop import Task, run_epochs
from sidekick.training.resume import ResumeFile

WORKERS = 2
_SLICES = Path(__file__).parents[2] / "shared" / "data"
_CPU = torch.device("cpu")
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_AUGMENTATION = {"flip": True, "rand_augment": {"operations": 2, "magnitude": 9}}
_CLASSES = 100
# Architecture, images of an epoch, batch size, and whether images are 224×224 instead of 32×32.
TRAININGS = {
    "cpu": [("test_resnet", 2_560, 128, False)],
    "cuda": [("cifar_resnet18", 12_800, 128, False), ("resnet50", 2_048, 128, True)],
}
_SMALL = Preprocessing((32, 32), 1.0, "bicubic", _MEAN, _STD)
_LARGE = Preprocessing((224, 224), 0.95, "bicubic", _MEAN, _STD)


def device() -> str:
    """Give where to train."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def small_images(count: int) -> np.ndarray:
    """Give CIFAR-100 images (count, 32, 32, 3) uint8 from the slice, or noise without it."""
    path = _SLICES / "cifar-100-python.tar.gz"
    if not path.exists():
        return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    with tarfile.open(path) as archive:
        member = archive.extractfile("cifar-100-python/train")
        rows = pickle.load(member, encoding="bytes")[b"data"]
    images = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(np.resize(images, (count, 32, 32, 3)))


def photographs(count: int) -> list[bytes]:
    """Give JPEG files from the slice in Food-101's layout, or smooth noise without it."""
    path = _SLICES / "food-101.tar.gz"
    if not path.exists():
        return [_photograph(number) for number in range(count)]
    with tarfile.open(path) as archive:
        files = [archive.extractfile(member).read() for member in archive
                 if member.name.endswith(".jpg")]  # fmt: skip
    return [files[row % len(files)] for row in range(count)]


def _photograph(number: int) -> bytes:
    coarse = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((512, 384), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def our_small_inputs(count: int, batch: int) -> Callable[[], object]:
    """Go through 32×32 images, decoded in memory, once."""
    return _our_epoch(_our_small(count), _SMALL, batch)


def peer_small_inputs(count: int, batch: int) -> Callable[[], object]:
    """Do the same with a `DataLoader`."""
    return _peer_epoch(_peer_small(count), batch)


def our_large_inputs(count: int, batch: int) -> Callable[[], object]:
    """Go through JPEG files once, to 224×224 pixels."""
    return _our_epoch(_our_large(count), _LARGE, batch)


def peer_large_inputs(count: int, batch: int) -> Callable[[], object]:
    """Do the same with a `DataLoader`."""
    return _peer_epoch(_peer_large(count), batch)


def our_training(
    architecture: str, count: int, batch: int, device: str, large: bool
) -> Callable[[], object]:
    """Train for an epoch."""
    place = torch.device(device)
    images = _our_large(count, place) if large else _our_small(count, place)
    return _our_training(architecture, images, batch, place, _LARGE if large else _SMALL)


def our_training_without_data(
    architecture: str, count: int, batch: int, device: str, large: bool
) -> Callable[[], object]:
    """Train the same on black images that lie on the device: what no waiting would cost."""
    place = torch.device(device)
    preprocessing = _LARGE if large else _SMALL
    black = np.zeros((count, *preprocessing.input_shape), np.uint8)
    images = DecodedImages(black, _labels(count), place)
    return _our_training(architecture, images, batch, place, preprocessing)


def _our_training(
    architecture: str,
    images: LabelledImages,
    batch: int,
    place: torch.device,
    preprocessing: Preprocessing,
) -> Callable[[], object]:
    inputs = ImageInputs(preprocessing, _CLASSES, _AUGMENTATION, place)
    val = DecodedImages(np.zeros((2, 32, 32, 3), np.uint8), np.zeros(2, np.int64), place)
    data = TrainingData(images, val, _CLASSES, "accuracy", preprocessing, "benchmark")
    model, optimiser = _network(architecture, place)
    model = model.to(memory_format=torch.channels_last)
    constant = torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0)
    recipe = {"epochs": 1, "batch_size": batch}

    def loss(logits: torch.Tensor, targets: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(logits, targets)

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            resume = ResumeFile(Path(folder) / "run.safetensors", {})
            run_epochs(
                Task(model, optimiser, constant, loss, inputs, recipe, 0, place), data, resume
            )
        _wait(place)

    return run


def peer_training(
    architecture: str, count: int, batch: int, device: str, large: bool
) -> Callable[[], object]:
    """Train for an epoch by the loop that tutorials show, on CUDA with autocast to bfloat16."""
    place = torch.device(device)
    loader = _loader(_peer_large(count) if large else _peer_small(count), batch, place)
    model, optimiser = _network(architecture, place)

    def run() -> None:
        model.train()
        for images, labels in loader:
            _plain_step(model, optimiser, images, labels, place)
        _wait(place)

    return run


def peer_training_without_data(
    architecture: str, count: int, batch: int, device: str, large: bool
) -> Callable[[], object]:
    """Take as many plain steps on one batch that lies on the device: what no waiting would cost."""
    place = torch.device(device)
    side = 224 if large else 32
    images = torch.rand(batch, 3, side, side, device=place)
    labels = torch.zeros(batch, dtype=torch.int64, device=place)
    model, optimiser = _network(architecture, place)

    def run() -> None:
        model.train()
        for _ in range(count // batch):
            _plain_step(model, optimiser, images, labels, place)
        _wait(place)

    return run


def _plain_step(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    images: torch.Tensor,
    labels: torch.Tensor,
    device: torch.device,
) -> None:
    images = images.to(device, non_blocking=True)
    labels = labels.to(device, non_blocking=True)
    optimiser.zero_grad()
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        loss = nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    optimiser.step()


def _network(architecture: str, device: torch.device) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = create_model({"architecture": architecture}, _CLASSES).to(device)
    return model, torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _our_small(count: int, device: torch.device = _CPU) -> LabelledImages:
    return DecodedImages(small_images(count), _labels(count), device)


def _our_large(count: int, device: torch.device = _CPU) -> LabelledImages:
    split = StoredSplit(
        sample_ids=np.array([f"photograph_{row}" for row in range(count)], object),
        images=pa.chunked_array([pa.array(photographs(count), pa.binary())]),
        places=np.arange(count),
        labels=_labels(count),
        format=StoredFormat(encoded=True, shape=None),
        source="benchmark",
    )
    return StoredImages(split, _LARGE, device, WORKERS)


def _labels(count: int) -> np.ndarray:
    return np.arange(count) % _CLASSES


def _our_epoch(
    images: LabelledImages, preprocessing: Preprocessing, batch: int
) -> Callable[[], object]:
    inputs = ImageInputs(preprocessing, _CLASSES, _AUGMENTATION, _CPU)

    def run() -> None:
        generator = torch.Generator().manual_seed(0)
        rows = torch.randperm(len(images), generator=generator).split(batch)
        for pixels, labels in images.batches(rows, partial(inputs.draw_change, generator)):
            samples, _ = inputs.training(pixels, labels, generator)
            inputs.to_network(samples)

    return run


class _Pictures(Dataset):
    """What a tutorial's data set does: a PIL image through torchvision's transforms."""

    def __init__(self, images: Any, open_image: Callable, size: list[Callable]) -> None:
        self._images = images
        self._open = open_image
        self._transform = transforms.Compose(
            [
                *size,
                transforms.RandomHorizontalFlip(),
                transforms.RandAugment(2, 9),
                transforms.ToTensor(),
                transforms.Normalize(_MEAN, _STD),
            ]
        )

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        return self._transform(self._open(self._images[row])), row % _CLASSES


def _open_file(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def _peer_small(count: int) -> Dataset:
    return _Pictures(small_images(count), Image.fromarray, [])


def _peer_large(count: int) -> Dataset:
    size = [
        transforms.Resize(235, transforms.InterpolationMode.BICUBIC),
        transforms.CenterCrop(224),
    ]
    return _Pictures(photographs(count), _open_file, size)


def _loader(dataset: Dataset, batch: int, device: torch.device = _CPU) -> DataLoader:
    return DataLoader(
        dataset,
        batch,
        shuffle=True,
        num_workers=WORKERS,
        persistent_workers=True,
        pin_memory=device.type == "cuda",
    )


def _peer_epoch(dataset: Dataset, batch: int) -> Callable[[], object]:
    loader = _loader(dataset, batch)

    def run() -> None:
        for _ in loader:
            pass

    return run
