"""The ready-made benchmarks on small real slices: download, prepare, train, cache, evaluate.

The networks are tiny and start from weights in local files; all else is as configured.
"""

import shutil

import polars as pl
import pyarrow.parquet as pq
import pytest
import timm
import yaml
from safetensors.torch import save_file

from sidekick.artifacts import read_json
from sidekick.models.checkpoints import describe
from workflow.project import ROOT, Project
from workflow.slices import DATA, make_cifar10, make_cifar100_c, md5, served

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.exists(), reason="the real slices (shared/data) are not here"),
]

# Tiny networks of the same kind.
STAND_INS = {
    "cifar_resnet18": ("small_cnn", {"options": {"width": 8}}),
    "small_cnn": ("small_cnn", {"options": {"width": 4}}),
    "resnet50": ("test_resnet", {}),
    "vit_small": ("test_vit", {"options": {"img_size": 32}}),
    "efficientnet_b0": ("test_efficientnet", {}),
    "mobilenetv3_small": ("test_efficientnet", {}),
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights of a network, with the 1,000 outputs that published ones have."""
    folder = tmp_path_factory.mktemp("weights")

    def write(architecture, options):
        path = folder / f"{architecture}.safetensors"
        if not path.exists():
            save_file(timm.create_model(architecture, **options).state_dict(), path)
        return str(path)

    return write


def shrunk(name, models, weights, **training):
    """A ready-made configuration with a few tiny networks and one seed."""
    config = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text())
    config["seeds"] = [0]
    config["compute"] = {"device": "cpu", "threads": 1}
    config["evaluation"]["replicates"] = {"test": 50, "shift": 20}
    config["models"] = {model: config["models"][model] for model in models}
    for model, entry in config["models"].items():
        entry["architecture"], options = STAND_INS[model]
        entry |= options
        if entry.get("pretrained"):
            entry["pretrained"] = weights(entry["architecture"], entry.get("options", {}))
            entry["input"] = {"size": 32}
        if "finetune" in entry:
            entry["finetune"]["epochs"] = 1
    config["finetune"] |= {"epochs": 1, "batch_size": 32, **training}
    config["finetune"]["linear_probe"] |= {"epochs": 3, "batch_size": 64}
    config.pop("mc_dropout", None)
    sweep = config["gatekeeper"]
    [(small, pair)] = sweep["pairs"].items()
    if {small, pair["large"]} <= set(models):
        sweep |= {"alphas": [0.5, 0.9], "training": {**sweep["training"], "epochs": 2}}
    else:
        del config["gatekeeper"]
    return config


def run(config, folder):
    """Run a benchmark; give its board without the controls that know the labels."""
    project = Project.create(folder, config)
    project.snakemake("--cores", "2")
    board = pl.read_parquet(project.path("results/leaderboard/leaderboard.parquet"))
    assert board.filter(pl.col("value").is_nan() & pl.col("note").is_null()).is_empty()
    return project, board


def predictors(board):
    return set(board.select("predictor", "recipe").unique().iter_rows())


def test_cifar100_with_its_published_corruptions_over_http(tmp_path, weights):
    files = tmp_path / "files"
    files.mkdir()
    shutil.copy(DATA / "cifar-100-python.tar.gz", files)
    make_cifar100_c(files / "CIFAR-100-C.tar", ["gaussian_noise", "fog"])
    config = shrunk("cifar100", ["cifar_resnet18", "small_cnn"], weights)
    entry = config["datasets"]["cifar100"]
    entry["splits"] = {"train": 400, "val": 200, "test": 300}
    entry["checksum"] = md5(files / "cifar-100-python.tar.gz")
    entry["shift"] |= {
        "samples": 100,
        "corruptions": ["gaussian_noise", "fog"],
        "severities": [1, 5],
        "checksum": md5(files / "CIFAR-100-C.tar"),
    }
    with served(files) as url:
        config["downloads"] = {"mirror": url}
        project, board = run(config, tmp_path / "project")
    assert predictors(board) >= {
        ("single", "gatekeeper_a50"),
        ("single", "ce_control"),
        ("cascade", "finetune+gatekeeper_a90"),
        ("duo_cascade", "finetune+gatekeeper_chosen"),
    }
    sweep = "cascade:max_softmax:cifar_resnet18+small_cnn@finetune+ce_control"
    compared = board.filter(pl.col("baseline") == sweep)
    assert set(compared["recipe"]) == {
        f"finetune+gatekeeper_{name}" for name in ("a50", "a90", "chosen")
    }
    assert project.path("resources/cifar100/cifar-100-python.tar.gz").exists()
    assert read_json(project.path("results/datasets/cifar100/dataset.json"))["shift_source"] == (
        "cifar100_c"
    )
    cells = board.filter(pl.col("split") == "shift").select("corruption", "severity").unique()
    assert {("fog", 1), ("gaussian_noise", 5)} < set(cells.iter_rows())
    # What is there is not fetched again: the server is gone.
    with project.edit() as edited:
        edited["seeds"] = [0, 1]
    project.snakemake("--cores", "2", "--until", "draw_splits")


def test_tinyimagenet_with_the_whole_training(tmp_path, weights):
    config = shrunk("tinyimagenet", ["resnet50", "mobilenetv3_small"], weights)
    config["finetune"]["search"] |= {"trials": 2, "ensemble": 2}
    config["models"]["mobilenetv3_small"]["finetune"] = {"search": None, "linear_probe": None}
    entry = config["datasets"]["tinyimagenet"]
    archive = DATA / "tiny-imagenet-200.zip"
    entry |= {"path": str(archive), "checksum": md5(archive)}
    entry["splits"] = {"train": 200, "val": 100, "test": 200}
    entry["shift"] |= {"samples": 40, "severities": [2], "corruptions": ["frost", "spatter"]}
    with served(DATA / "frost") as url:
        config["downloads"] = {"mirror": url}
        project, board = run(config, tmp_path / "project")
    checkpoints = project.path("results/checkpoints/tinyimagenet")
    assert predictors(board) >= {
        ("single", "finetune"),
        ("soup", "soup_uniform"),
        ("soup", "soup_greedy"),
        ("ensemble", "trial_ensemble"),
        ("temperature", "distill"),
        ("duo", "finetune"),
        ("duo", "soup_greedy+finetune"),
        ("duo", "trial_ensemble+finetune"),
        ("duo", "finetune+distill"),
        ("cascade", "finetune+gatekeeper_a50"),
    }
    tuned = describe(checkpoints / "mobilenetv3_small/gatekeeper_a50/seed0.safetensors")
    assert tuned.facts["start"]["recipe"] == "distill"
    assert project.path("resources/frost/frost1.png").exists()
    assert not project.path("resources/tinyimagenet").exists(), "the user's archive is used"
    assert len(list(checkpoints.glob("resnet50/trial*/*.safetensors"))) == 2


def test_food101_streams_images_of_all_sizes(tmp_path, weights):
    config = shrunk("food101", ["vit_small", "efficientnet_b0"], weights, search=None)
    entry = config["datasets"]["food101"]
    archive = DATA / "food-101.tar.gz"
    entry |= {"path": str(archive), "checksum": md5(archive)}
    entry["splits"] = {"train": 60, "val": 40, "test": 40}
    entry["shift"] |= {
        "samples": 20,
        "size": 64,
        "severities": [3],
        "corruptions": ["glass_blur", "snow"],
    }
    project, board = run(config, tmp_path / "project")
    card = read_json(project.path("results/datasets/food101/dataset.json"))
    assert card["image_format"] == "encoded"
    assert card["image_shape"] is None
    assert card["shift_shape"] == [64, 64, 3]
    # The bytes are those of the publisher's files.
    samples = pq.read_table(project.path("results/datasets/food101/samples.parquet"))
    assert all(image.as_py().startswith(b"\xff\xd8") for image in samples["image"])
    probe = "results/checkpoints/food101/vit_small/linear_probe/seed0.safetensors"
    assert project.path(probe).exists()
    assert predictors(board) >= {("single", "finetune"), ("duo", "finetune")}


def test_cifar10_from_a_folder(tmp_path, weights):
    archive = tmp_path / "cifar-10-python.tar.gz"
    make_cifar10(archive)
    shutil.unpack_archive(archive, tmp_path / "extracted", filter="data")
    config = shrunk("cifar10", ["small_cnn", "resnet50"], weights, search=None)
    entry = config["datasets"]["cifar10"]
    entry["path"] = str(tmp_path / "extracted" / "cifar-10-batches-py")
    entry["splits"] = {"train": 200, "val": 100, "test": 100}
    # The published arrays belong to the published test set.
    for key in ("source",):
        del entry["shift"][key]
    entry["shift"] |= {"samples": 40, "severities": [3], "corruptions": ["contrast"]}
    project, board = run(config, tmp_path / "project")
    card = read_json(project.path("results/datasets/cifar10/dataset.json"))
    assert card["image_shape"] == [32, 32, 3]
    assert len(card["classes"]) == 10
    assert predictors(board) >= {("single", "finetune"), ("duo", "finetune")}
