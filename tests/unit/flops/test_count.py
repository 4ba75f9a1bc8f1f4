import csv
import warnings
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sidekick.artifacts import read_json
from sidekick.errors import SidekickError
from sidekick.flops.count import count_flops, write_flops
from sidekick.flops.tracing import analyse
from sidekick.models.create import blank_image, create_model
from unit.training import fakes

_PUBLISHED = Path(__file__).parents[4] / "shared" / "data" / "timm_gmacs.csv"

# (architecture, GMACs, by how much fvcore may exceed torch's counter, which leaves norms out)
PUBLISHED = [
    ("resnet50", 4.11, 0.01),
    ("vit_base_patch16_224", 17.58, 0.002),
    ("mobilenetv3_small_100", 0.06, 0.06),
    ("efficientnet_b0", 0.40, 0.04),
]
TINY = [
    ({"architecture": "test_resnet"}, 0.02),
    ({"architecture": "test_convnext"}, 0.04),
    ({"architecture": "test_vit", "options": {"img_size": 32}}, 0.02),
    ({"architecture": "small_cnn"}, 0.04),
]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def torch_gmacs(entry, classes, shape):
    model = create_model(entry, classes).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(blank_image(shape))
    return counter.get_total_flops() / 2e9


def test_small_cnn_by_hand():
    width, classes = 16, 10
    first = 32 * 32 * 3 * width * 9
    first_norm = 32 * 32 * width * 2
    second = 16 * 16 * width * 2 * width * 9
    second_norm = 16 * 16 * 2 * width * 2
    hidden = 2 * width * 8 * 8 * 64
    features = first + first_norm + second + second_norm + hidden
    counted = count_flops({"architecture": "small_cnn"}, classes, (32, 32, 3))
    assert counted["feature_gmacs"] == features / 1e9
    assert counted["gmacs"] == (features + 64 * classes) / 1e9
    assert counted["parameters"] == 136_970
    assert counted["input_shape"] == [1, 3, 32, 32]
    assert counted["unsupported"] == {
        "aten::max_pool2d": {"count": 2, "handling": "not counted: pooling"}
    }
    modules = {module["name"]: module for module in counted["modules"]}
    assert modules["features.0"] == {
        "name": "features.0",
        "type": "Conv2d",
        "gmacs": first / 1e9,
        "parameters": 27 * width + width,
    }
    assert set(modules) == {
        "", "features", "features.0", "features.1", "features.4", "features.5", "hidden", "fc",
    }  # fmt: skip
    assert counted["modules"][0]["name"] == ""
    assert modules[""]["gmacs"] == counted["gmacs"]
    assert modules[""]["parameters"] == counted["parameters"]


@pytest.mark.parametrize(("entry", "norms"), TINY)
def test_tiny_networks_agree_with_torch(entry, norms):
    counted = count_flops(entry, 10, (32, 32, 3))
    expected = torch_gmacs(entry, 10, (32, 32, 3))
    assert expected < counted["gmacs"] < expected * (1 + norms)


@pytest.mark.parametrize(("architecture", "gmacs", "norms"), PUBLISHED)
def test_published_numbers(architecture, gmacs, norms):
    entry = {"architecture": architecture}
    counted = count_flops(entry, 1000, (224, 224, 3))
    assert counted["gmacs"] == pytest.approx(gmacs, abs=0.0051)
    expected = torch_gmacs(entry, 1000, (224, 224, 3))
    assert expected < counted["gmacs"] < expected * (1 + norms)
    last = counted["gmacs"] - counted["feature_gmacs"]
    features = create_model(entry, 1000).head_hidden_size
    assert last == pytest.approx(features * 1000 / 1e9, rel=1e-6)


@pytest.mark.parametrize("architecture", [architecture for architecture, _, _ in PUBLISHED])
def test_timms_own_table(architecture):
    if not _PUBLISHED.exists():
        pytest.skip(f"no table of published GMACs at {_PUBLISHED}")
    with _PUBLISHED.open() as stream:
        row = next(
            row
            for row in csv.DictReader(stream)
            if row["model"] == architecture and row["infer_img_size"] == "224"
        )
    counted = count_flops({"architecture": architecture}, 1000, (224, 224, 3))
    assert counted["gmacs"] == pytest.approx(float(row["infer_gmacs"]), abs=0.0051)
    assert counted["parameters"] / 1e6 == pytest.approx(float(row["param_count"]), abs=0.0051)


def test_weights_are_not_fetched(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    entry = {"architecture": "test_resnet", "pretrained": True}
    plain = {"architecture": "test_resnet"}
    assert count_flops(entry, 10, (32, 32, 3)) == count_flops(plain, 10, (160, 160, 3))


@pytest.mark.parametrize(
    ("entry", "image_shape", "side"),
    [
        ({}, (48, 48, 3), 48),
        ({}, None, 160),
        ({"pretrained": True}, (48, 48, 3), 160),
        ({"pretrained": "weights.pth", "input": {"size": 96}}, (48, 48, 3), 96),
        ({"input": {"size": 96}}, None, 96),
    ],
)
def test_the_size_is_the_one_that_the_network_reads(entry, image_shape, side):
    counted = count_flops({"architecture": "test_resnet", **entry}, 10, image_shape)
    assert counted["input_shape"] == [1, 3, side, side]


def test_an_operator_of_unknown_cost_is_refused():
    class Recurrent(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = torch.nn.LSTM(32, 4, batch_first=True)

        def forward(self, image):
            return self.lstm(image.flatten(1, 2))[0].relu()

    with pytest.raises(SidekickError, match=r"'recurrent' runs .*: aten::lstm\. Add each"):
        analyse(Recurrent().eval(), blank_image((32, 32, 3)), "recurrent")


def test_an_image_that_does_not_fit_is_refused():
    with pytest.raises(SidekickError, match="vit_tiny_patch16_224"):
        count_flops({"architecture": "vit_tiny_patch16_224"}, 10, (32, 32, 3))


def test_no_warnings(caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        count_flops({"architecture": "test_vit", "options": {"img_size": 32}}, 10, (32, 32, 3))
    assert not caplog.records


def test_file(tmp_path, monkeypatch):
    fakes.install(monkeypatch.setattr)
    path = tmp_path / "flops" / "small_cnn.json"
    entry = {"architecture": "small_cnn"}
    write_flops(entry=entry, dataset_folder="bars", output=path, facts={"benchmark": "tiny"})
    written = read_json(path)
    facts = written.pop("facts")
    assert facts["benchmark"] == "tiny"
    assert "software" in facts
    assert written == count_flops(entry, 3, (32, 32, 3))
