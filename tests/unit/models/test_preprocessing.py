import json

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config

from sidekick.datasets.reading import StoredFormat
from sidekick.errors import SidekickError
from sidekick.models.create import create_model, require_image_shape
from sidekick.models.pixels import as_tensor, to_unit
from sidekick.models.preprocessing import (
    Preprocessing,
    ToInput,
    image_loader,
    load_image,
    resolve_preprocessing,
)
from unit.datasets.stored import encode, random_image

CPU = torch.device("cpu")
HALF = (0.5, 0.5, 0.5)
# Families of the benchmarks; between them bilinear and bicubic, many sizes and crops.
ARCHITECTURES = [
    "resnet18.tv_in1k",
    "resnet50.a1_in1k",
    "efficientnet_b0.ra_in1k",
    "efficientnet_b3.ra2_in1k",
    "convnext_tiny.fb_in1k",
    "vit_small_patch16_224.augreg_in1k",
    "mobilenetv3_small_100.lamb_in1k",
    "swin_tiny_patch4_window7_224.ms_in1k",
    "inception_v3.tv_in1k",
]
SHAPES = [(300, 400), (400, 300), (97, 333), (64, 64), (513, 500), (1, 40), (40, 1)]


def config(architecture):
    return timm.get_pretrained_cfg(architecture).to_dict()


def settings(**changes):
    given = {"size": (32, 32), "crop": 0.875, "interpolation": "bicubic", "mean": HALF, "std": HALF}
    return Preprocessing(**{**given, **changes})


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_encoded_images_come_as_from_timm(architecture, shape):
    cfg = config(architecture)
    preprocessing = resolve_preprocessing({"pretrained": True}, cfg, None)
    image = random_image(*shape)
    pixels = load_image(encode(image), preprocessing, "a")
    assert pixels.shape == preprocessing.input_shape
    given = ToInput(preprocessing, CPU)(to_unit(as_tensor(np.stack([pixels]), CPU)))[0]
    transform = create_transform(**resolve_data_config(pretrained_cfg=cfg))
    expected = transform(Image.fromarray(image))
    # torchvision resizes in fixed point too, but rounds its weights another way than Pillow.
    difference = (given - expected).abs() * 255 * torch.tensor(cfg["std"]).view(3, 1, 1)
    assert difference.max() < 2.01
    assert difference.mean() < 0.02


@pytest.mark.parametrize("size", [(96, 64), (64, 96)])
def test_inputs_that_are_not_square_come_as_from_timm(size):
    preprocessing = settings(size=size, interpolation="bilinear")
    transform = create_transform(
        (3, *size), interpolation="bilinear", mean=HALF, std=HALF, crop_pct=0.875
    )
    for shape in SHAPES[:5]:
        image = random_image(*shape)
        given = load_image(encode(image), preprocessing, "a").astype(float)
        expected = (transform(Image.fromarray(image)) * 0.5 + 0.5) * 255
        difference = np.abs(given - expected.permute(1, 2, 0).numpy())
        assert difference.max() < 2.01
        assert difference.mean() < 0.02


def image_of_pillow(image, side, interpolation):
    """Resize the shorter side to `side / 0.875` and crop the centre, by Pillow alone."""
    scaled = int(side / 0.875)
    height, width = image.shape[:2]
    size = (
        [scaled * width // height, scaled] if height < width else [scaled, scaled * height // width]
    )
    resized = Image.fromarray(image).resize(size, Image.Resampling[interpolation.upper()])
    left, top = (round((length - side) / 2) for length in size)
    return np.asarray(resized.crop((left, top, left + side, top + side))).astype(int)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(32, 32), (64, 48), (48, 64), (200, 224), (256, 256)])
@pytest.mark.parametrize("side", [56, 224])
def test_all_ways_of_resizing_are_like_pillows(interpolation, shape, side):
    preprocessing = settings(size=(side, side), interpolation=interpolation)
    image = random_image(*shape)
    by_pillow = image_of_pillow(image, side, interpolation)
    pixels = to_unit(as_tensor(image[None], CPU))
    on_device = (ToInput(preprocessing, CPU)(pixels) * 0.5 + 0.5) * 255
    assert on_device.is_contiguous(memory_format=torch.channels_last)
    loaded = np.abs(load_image(encode(image), preprocessing, "a") - by_pillow)
    resized = np.abs(on_device[0].permute(1, 2, 0).numpy() - by_pillow)
    if interpolation == "nearest":
        # A place halfway between two pixels may go either way.
        assert max((loaded > 0).mean(), (resized > 0.01).mean()) < 0.05
    else:
        assert loaded.max() <= 2
        # Pillow rounds, and clips what bicubic overshoots, after each axis.
        assert resized.max() < 3
        assert resized.mean() < 0.5


@pytest.mark.parametrize("shape", [(32, 32), (40, 24)])
def test_an_image_of_the_networks_size_is_taken_whole(shape):
    preprocessing = settings(size=shape)
    image = random_image(*shape)
    np.testing.assert_array_equal(load_image(encode(image), preprocessing, "a"), image)
    pixels = to_unit(as_tensor(image[None], CPU))
    torch.testing.assert_close(ToInput(preprocessing, CPU)(pixels), (pixels - 0.5) / 0.5)


def test_normalising_works_per_channel():
    preprocessing = settings(size=(2, 2), mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
    images = torch.full((1, 3, 2, 2), 0.5)
    assert ToInput(preprocessing, CPU)(images)[0, :, 1, 1].tolist() == [0.0, 1.0, 0.5]


def test_a_long_strip_costs_no_gigabytes():
    strip = np.zeros((1, 60_000, 3), np.uint8)
    strip[:, 30_000 - 10 : 30_000 + 10] = 255
    pixels = load_image(encode(strip), settings(size=(224, 224)), "a")
    assert pixels.shape == (224, 224, 3)
    assert (pixels == 255).all()


def test_what_does_not_decode_is_named():
    data = encode(random_image(50, 50), "JPEG")[:700]
    with pytest.raises(SidekickError, match="food: the image does not decode"):
        load_image(data, settings(), "food")


def test_raw_images_are_loaded_the_same_way():
    image = random_image(40, 50)
    load = image_loader(StoredFormat(encoded=False, shape=(40, 50, 3)), settings())
    np.testing.assert_array_equal(
        load(image.tobytes(), "a"), load_image(encode(image), settings(), "a")
    )
    with pytest.raises(SidekickError, match=r"a: the image has 5999 bytes; .* needs 6000"):
        load(image.tobytes()[:-1], "a")


def test_settings_survive_json():
    preprocessing = settings(mean=[0.1, 0.2, 0.3])
    restored = Preprocessing(**json.loads(json.dumps(preprocessing.as_dict())))
    assert restored == preprocessing
    assert hash(restored) == hash(preprocessing)


@pytest.mark.parametrize(
    ("entry", "image_shape", "expected"),
    [
        ({}, (32, 32, 3), ((32, 32), 1.0)),
        ({}, (48, 32, 3), ((48, 32), 1.0)),
        ({}, None, ((224, 224), 0.95)),
        ({"pretrained": True}, (32, 32, 3), ((224, 224), 0.95)),
        ({"pretrained": "a.pth"}, None, ((224, 224), 0.95)),
        ({"input": {"size": 64}}, (32, 32, 3), ((64, 64), 1.0)),
        ({"input": {"size": 64, "crop": 0.9}}, (32, 32, 3), ((64, 64), 0.9)),
        ({"pretrained": True, "input": {"size": 64}}, (32, 32, 3), ((64, 64), 0.95)),
        ({"pretrained": True, "input": {"size": [64, 96]}}, None, ((64, 96), 0.95)),
    ],
)
def test_size_and_crop(entry, image_shape, expected):
    resolved = resolve_preprocessing(entry, config("resnet50.a1_in1k"), image_shape)
    assert (resolved.size, resolved.crop) == expected
    assert resolved.interpolation == "bicubic"
    assert resolved.mean == (0.485, 0.456, 0.406)


def test_everything_can_be_overridden():
    changes = {
        "size": 40,
        "crop": 1,
        "interpolation": "nearest",
        "mean": [0, 0, 0],
        "std": [1, 1, 1],
    }
    entry = {"pretrained": True, "input": changes}
    resolved = resolve_preprocessing(entry, config("resnet50.a1_in1k"), None)
    assert resolved == Preprocessing((40, 40), 1, "nearest", (0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", 0),
        ("size", "224"),
        ("size", [1, 2, 3]),
        ("size", True),
        ("crop", 0),
        ("crop", 1.5),
        ("crop", "all"),
        ("interpolation", "lanczos"),
        ("mean", 0.5),
        ("mean", [0.5, 0.5]),
        ("mean", [0.5, 0.5, float("nan")]),
        ("std", [0.5, 0.5, 0]),
        ("colour", "grey"),
    ],
)
def test_bad_overrides_are_named(key, value):
    with pytest.raises(SidekickError, match=rf"^input\.{key}: .*(expected|allowed)"):
        resolve_preprocessing({"input": {key: value}}, config("resnet50.a1_in1k"), None)


def test_a_crop_above_one_is_the_whole_image():
    cfg = config("volo_d4_448.sail_in1k")
    assert resolve_preprocessing({"pretrained": True}, cfg, None).crop == 1.0


FAMILIES = [
    {"architecture": "test_vit"},
    {"architecture": "test_convnext"},
    {"architecture": "test_resnet"},
    {"architecture": "test_efficientnet"},
    {"architecture": "mobilenetv3_small_050", "input": {"size": 64}},
    {"architecture": "efficientnet_b0", "input": {"size": 64}},
    {
        "architecture": "swin_tiny_patch4_window7_224",
        "options": {"img_size": 64, "window_size": 4, "depths": [1, 1], "embed_dim": 24,
                    "num_heads": [2, 4]},
        "input": {"size": 64},
    },
    {
        "architecture": "vit_tiny_patch16_224",
        "options": {"img_size": 64, "depth": 2},
        "input": {"size": 64},
    },
]  # fmt: skip


@pytest.mark.parametrize("entry", FAMILIES, ids=[entry["architecture"] for entry in FAMILIES])
def test_families_read_what_they_get(entry):
    model = create_model(entry, 5).eval()
    preprocessing = resolve_preprocessing(entry, model.pretrained_cfg, None)
    require_image_shape(model, entry, preprocessing.input_shape)
    to_input = ToInput(preprocessing, CPU)
    files = [load_image(encode(random_image(90, 70), "JPEG"), preprocessing, "a")] * 2
    small = as_tensor(random_image(32, 32)[None], CPU)
    with torch.no_grad():
        large = model(to_input(to_unit(as_tensor(np.stack(files), CPU))))
        assert large.shape == (2, 5)
        assert model(to_input(to_unit(small))).isfinite().all()
