import numpy as np
import pytest
import torch

from sidekick.models.checkpoints import Description, save_checkpoint
from sidekick.models.create import create_model
from sidekick.models.mc_dropout_head import MCDropoutClassifier, MCDropoutHead
from sidekick.models.preprocessing import Preprocessing
from sidekick.quantisation.quantise import quantise_checkpoint
from unit.datasets.stored import random_image, write_dataset

PREPROCESSING = Preprocessing((32, 32), 1.0, "bicubic", (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
ENTRY = {"architecture": "small_cnn", "options": {"width": 4}}
HEAD = {"features": 64, "hidden": 12, "dropout": [0.2, 0.4]}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def images():
    return np.stack([random_image(32, 32, row) for row in range(60)])


@pytest.fixture(scope="session")
def dataset(tmp_path_factory, images):
    """20 images in each split."""
    stored = [image.tobytes() for image in images]
    folder = tmp_path_factory.mktemp("quantisation") / "data"
    return write_dataset(folder, stored, shape=(32, 32, 3), encoded=False, group=7)


@pytest.fixture(scope="session")
def save(tmp_path_factory):
    """Write a checkpoint whose batch norms are not the initial ones."""

    def run(head=HEAD, entry=ENTRY, name="weights"):
        torch.manual_seed(0)
        model = create_model(entry, 3)
        model.train()(2 * torch.rand(16, 3, 32, 32) - 1)
        if head is not None:
            model = MCDropoutClassifier(model, MCDropoutHead(classes=3, **head))
            model.head(torch.randn(32, head["features"]).abs())
        description = Description(
            entry=entry,
            classes=3,
            preprocessing=PREPROCESSING.as_dict(),
            head=head,
            recipe={"epochs": 1},
            seed=1,
            val_accuracy=0.0,
            facts={},
        )
        path = tmp_path_factory.mktemp("checkpoint") / f"{name}.safetensors"
        save_checkpoint(path, model, description)
        return path

    return run


@pytest.fixture(scope="session")
def quantise(dataset):
    """Quantise a checkpoint into a folder; give the paths of what is written."""

    def run(checkpoint, folder, **changes):
        paths = {
            "float_file": folder / "float.onnx",
            "int8_file": folder / "int8.onnx",
            "errors": folder / "errors.parquet",
            "report": folder / "report.json",
        }
        arguments = {
            "checkpoint": checkpoint,
            "dataset_folder": dataset,
            "calibration_images": 12,
            "seed": 0,
            "threads": 1,
            "facts": {"model": "mine"},
            "error_images": 6,
            "batch_size": 5,
        }
        quantise_checkpoint(**arguments | paths | changes)
        return paths

    return run


@pytest.fixture(scope="session")
def checkpoint(save):
    return save()


@pytest.fixture(scope="session")
def written(quantise, checkpoint, tmp_path_factory):
    """The files of a network with an MC-dropout head."""
    return quantise(checkpoint, tmp_path_factory.mktemp("written"))
