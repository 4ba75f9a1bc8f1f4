import pickle

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file

from sidekick.errors import SidekickError
from sidekick.models.create import (
    blank_image,
    create_empty_model,
    create_model,
    pooled_features,
    require_image_shape,
)

ENTRIES = [
    ({"architecture": "test_resnet"}, 96),
    ({"architecture": "test_convnext"}, 64),
    ({"architecture": "test_vit", "options": {"img_size": 32}}, 64),
    ({"architecture": "small_cnn"}, 64),
    ({"architecture": "small_cnn", "options": {"width": 8}}, 64),
]


@pytest.mark.parametrize(("entry", "width"), ENTRIES)
def test_shapes(entry, width):
    model = create_model(entry, classes=7).eval()
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        features = pooled_features(model, images)
        assert features.shape == (2, width)
        assert model(images).shape == (2, 7)
        torch.testing.assert_close(model.get_classifier()(features), model(images))


def test_unknown_architecture_lists_three_similar_names():
    with pytest.raises(SidekickError, match=r"'resnet5O'.* resnet50, \w+, \w+$"):
        create_model({"architecture": "resnet5O"}, 10)


@pytest.mark.parametrize(
    "entry",
    [
        {"architecture": "small_cnn", "options": {"depth": 3}},
        {"architecture": "test_resnet", "options": {"no_such": 1}},
        {"architecture": "test_resnet", "options": {"num_classes": 5}},
        {"architecture": "test_vit", "options": {"img_size": "large"}},
    ],
)
def test_bad_options_are_named(entry):
    with pytest.raises(SidekickError, match=next(iter(entry["options"]))):
        create_model(entry, 10)


def test_an_error_that_options_cannot_have_caused_stays_as_it_is(monkeypatch):
    def broken(*arguments, **options):
        raise TypeError("ours")

    monkeypatch.setattr("sidekick.models.create.timm.create_model", broken)
    with pytest.raises(TypeError, match="ours"):
        create_model({"architecture": "test_resnet"}, 10)


def test_empty_model_fetches_nothing(monkeypatch):
    seen = {}
    monkeypatch.setattr(
        "sidekick.models.create.timm.create_model", lambda name, **given: seen.update(given)
    )
    create_empty_model({"architecture": "resnet18", "pretrained": True}, 4)
    assert seen == {"pretrained": False, "num_classes": 4}


def test_require_image_shape():
    entry = {"architecture": "test_resnet"}
    model = create_model(entry, 3).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    require_image_shape(model, entry, (32, 32, 3))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_network_that_cannot_read_the_images_is_refused():
    entry = {"architecture": "vit_tiny_patch16_224"}
    with pytest.raises(SidekickError, match=r"'vit_tiny_patch16_224'.*48×32.*img_size: 48"):
        require_image_shape(create_model(entry, 3), entry, (48, 32, 3))
    entry = {"architecture": "small_cnn"}
    with pytest.raises(SidekickError, match="64×64"):
        require_image_shape(create_model(entry, 3), entry, (64, 64, 3))


def test_blank_image():
    assert blank_image((20, 30, 3)).shape == (1, 3, 20, 30)


FAMILIES = [
    "test_resnet", "test_vit", "test_convnext", "test_efficientnet", "test_nfnet",
    "mobilenetv3_small_050", "small_cnn",
]  # fmt: skip


def save(model, path):
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return str(path)


def body(model):
    """What the weights of a file decide: everything but the last layer."""
    head = model.pretrained_cfg["classifier"]
    return {name: value for name, value in model.state_dict().items() if not name.startswith(head)}


@pytest.mark.parametrize("architecture", FAMILIES)
@pytest.mark.parametrize("classes", [10, 1000])
def test_weights_from_a_file(architecture, classes, tmp_path):
    source = create_model({"architecture": architecture}, 1000)
    entry = {"architecture": architecture, "pretrained": save(source, tmp_path / "w.safetensors")}
    model = create_model(entry, classes).eval()
    before, after = body(source), body(model)
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    side = 32 if architecture == "small_cnn" else 160
    with torch.no_grad():
        images = torch.rand(1, 3, side, side)
        assert model(images).shape == (1, classes)
        if classes == 1000:
            assert torch.equal(model(images), source.eval()(images))


def test_another_size_of_image(tmp_path):
    # Position tables are resampled by timm.
    path = save(create_model({"architecture": "test_vit"}, 7), tmp_path / "w.pth")
    entry = {"architecture": "test_vit", "pretrained": path, "options": {"img_size": 64}}
    model = create_model(entry, 3).eval()
    assert model(torch.rand(1, 3, 64, 64)).shape == (1, 3)


@pytest.mark.parametrize("name", ["w.pth", "w.bin", "w.safetensors", "model.safetensors"])
def test_weights_from_a_folder(name, tmp_path):
    source = create_model({"architecture": "small_cnn"}, 3)
    save(source, tmp_path / name)
    (tmp_path / "README.md").write_text("weights")
    if name == "model.safetensors":
        save(source, tmp_path / "older.pth")
    entry = {"architecture": "small_cnn", "pretrained": str(tmp_path)}
    loaded = create_model(entry, 3)
    assert torch.equal(loaded.hidden.weight, source.hidden.weight)


@pytest.mark.parametrize("names", [[], ["a.pth", "b.safetensors"]])
def test_a_folder_without_or_with_several_weights(names, tmp_path):
    for name in names:
        (tmp_path / name).touch()
    found = ", ".join(names) or "none"
    entry = {"architecture": "small_cnn", "pretrained": str(tmp_path)}
    with pytest.raises(SidekickError, match=rf"^pretrained: {tmp_path}: .* found {found}$"):
        create_model(entry, 3)


def test_missing_weights():
    entry = {"architecture": "small_cnn", "pretrained": "/nowhere/w.pth"}
    with pytest.raises(SidekickError, match=r"^pretrained: /nowhere/w.pth: no such file or folder"):
        create_model(entry, 3)


def test_another_kind_of_file(tmp_path):
    (tmp_path / "w.npz").touch()
    entry = {"architecture": "small_cnn", "pretrained": str(tmp_path / "w.npz")}
    with pytest.raises(SidekickError, match=r"w.npz: not a file of weights; .*safetensors"):
        create_model(entry, 3)


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w')",)


def spoil(kind, folder):
    path = folder / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "torch code":
        torch.save({"fc.weight": Evil(folder / "owned")}, path)
    elif kind == "pickled code":
        path.write_bytes(pickle.dumps(Evil(folder / "owned"), protocol=2))
    elif kind == "list":
        torch.save([1, 2], path)
    elif kind == "truncated":
        save(create_model({"architecture": "small_cnn"}, 3), path)
        path.write_bytes(path.read_bytes()[:-1000])
    else:
        path.write_bytes(b"x" * (kind != "empty"))
    return str(path)


@pytest.mark.parametrize(
    "kind",
    ["torch code", "pickled code", "list", "truncated", "garbage", "empty", "safetensors"],
)
def test_weights_that_cannot_be_read(kind, tmp_path):
    entry = {"architecture": "small_cnn", "pretrained": spoil(kind, tmp_path)}
    with pytest.raises(SidekickError, match=r"^pretrained: .*/w\.\w+: not readable as weights"):
        create_model(entry, 3)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("source", "entry"),
    [
        ({"architecture": "test_vit"}, {"architecture": "test_resnet"}),
        ({"architecture": "small_cnn"}, {"architecture": "test_convnext"}),
        (
            {"architecture": "small_cnn"},
            {"architecture": "small_cnn", "options": {"width": 4}},
        ),
    ],
)
def test_weights_of_another_network(source, entry, tmp_path):
    path = save(create_model(source, 1000), tmp_path / "w.safetensors")
    name = entry["architecture"]
    with pytest.raises(SidekickError, match=rf"w.safetensors: .* do not fit .* '{name}'"):
        create_model({**entry, "pretrained": path}, 3)


def test_an_entry_says_what_its_weights_lack(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "w.pth")
    entry = {"architecture": "test_resnet", "pretrained": str(tmp_path / "w.pth")}
    with pytest.raises(SidekickError, match=r"w.pth: its weights do not fit.*[Mm]issing key"):
        create_model(entry, 3)


def test_weights_that_nobody_published():
    with pytest.raises(SidekickError, match=r"^pretrained: .*'small_cnn' can be had.* local file"):
        create_model({"architecture": "small_cnn", "pretrained": True}, 3)


def test_no_network(monkeypatch):
    def unreachable(*arguments, **options):
        raise LocalEntryNotFoundError("Please check your connection")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", unreachable)
    entry = {"architecture": "test_resnet", "pretrained": True}
    message = r"^pretrained: no published weights of 'test_resnet'.*connection.*to a local file"
    with pytest.raises(SidekickError, match=message):
        create_model(entry, 3)


def test_published_weights(monkeypatch):
    source = create_model({"architecture": "test_resnet"}, 1000)
    monkeypatch.setattr(
        "timm.models._builder.load_state_dict_from_hf", lambda *_, **__: source.state_dict()
    )
    model = create_model({"architecture": "test_resnet", "pretrained": True}, 3)
    assert torch.equal(model.conv1[0].weight, source.conv1[0].weight)
    assert model.get_classifier().out_features == 3
