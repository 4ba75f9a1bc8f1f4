import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from sidekick.errors import SidekickError
from sidekick.models.create import create_model, pooled_features
from sidekick.models.pixels import as_tensor, to_unit
from sidekick.models.preprocessing import Preprocessing, ToInput
from sidekick.quantisation.graph import append_head, export_backbone, last_layer
from sidekick.quantisation.quantise import quantise_backbone

CPU = torch.device("cpu")

# Architecture, options, side of the image, and the least signal-to-noise ratio of the int8
# features of random weights, in dB (measured: 5 dB more).
NETWORKS = {
    "test_resnet": ({}, 32, 20),
    "small_cnn": ({"width": 4}, 32, 25),
    "cifar_resnet18": ({}, 32, 25),
    "resnet18": ({}, 32, 25),
    "mobilenetv3_small_100": ({}, 32, 10),
    "efficientnet_b0": ({}, 32, 10),
    "vit_tiny_patch16_224": ({"img_size": 32, "depth": 3}, 32, 20),
    "convnext_atto": ({}, 32, 20),
}
SLOW = {"resnet50": ({}, 32, 25), "convnext_tiny": ({}, 32, 20)}


def build(name, options, side):
    torch.manual_seed(0)
    model = create_model({"architecture": name, "options": options}, 5)
    # Batch norms that are not the initial ones.
    model.train()(2 * torch.rand(8, 3, side, side) - 1)
    preprocessing = Preprocessing(
        (side, side), 1.0, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    )
    return model.eval(), preprocessing


def random_pixels(side, count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def run(graph, pixels, output="features"):
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run([output], {"pixels": pixels})[0]


def decibels(exact, rough):
    return 10 * np.log10((exact**2).sum() / ((exact - rough) ** 2).sum())


def check(name, options, side, least):
    model, preprocessing = build(name, options, side)
    pixels = random_pixels(side, 3)
    with torch.no_grad():
        inputs = ToInput(preprocessing, CPU)(to_unit(as_tensor(pixels, CPU)))
        expected = pooled_features(model, inputs).numpy()
    graph = export_backbone(model, preprocessing)
    assert "BatchNormalization" not in {node.op_type for node in graph.graph.node}
    found = run(graph, pixels)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    before = graph.SerializeToString()
    quantised = quantise_backbone(graph, [random_pixels(side, 4, 1), pixels])
    assert graph.SerializeToString() == before
    assert quantised.ByteSize() < 0.5 * graph.ByteSize()
    assert decibels(found, run(quantised, pixels)) > least


@pytest.mark.parametrize("name", NETWORKS)
def test_features_are_torchs_and_int8_features_are_near(name):
    check(name, *NETWORKS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_features_of_large_networks(name):
    check(name, *SLOW[name])


@pytest.fixture(scope="module")
def small():
    model, preprocessing = build("small_cnn", {"width": 4}, 32)
    graph = export_backbone(model, preprocessing)
    return model, graph, quantise_backbone(graph, [random_pixels(32, 8)])


def test_activations_are_unsigned_and_weights_signed_and_per_channel(small):
    _, _, quantised = small
    constants = {value.name: value for value in quantised.graph.initializer}
    producers = {output: node for node in quantised.graph.node for output in node.output}
    kinds = {"activation": 0, "weight": 0}
    for node in quantised.graph.node:
        if node.op_type == "QuantizeLinear":
            assert constants[node.input[2]].data_type == onnx.TensorProto.UINT8
            assert not constants[node.input[1]].dims
            kinds["activation"] += 1
        if node.op_type in ("Conv", "Gemm"):
            values, scale, _ = producers[node.input[1]].input
            weight = constants[values]
            assert weight.data_type == onnx.TensorProto.INT8
            # Of a Gemm whose weight is stored transposed, the second axis.
            assert constants[scale].dims[0] in weight.dims
            assert constants[scale].dims[0] > 1
            kinds["weight"] += 1
    assert kinds["activation"] >= 4
    assert kinds["weight"] == 3


def test_any_number_of_images_can_be_run(small):
    pixels = random_pixels(32, 7)
    for graph in small[1:]:
        whole = run(graph, pixels)
        parts = np.concatenate([run(graph, pixels[:1]), run(graph, pixels[1:])])
        np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5)


def test_a_plain_classifiers_logits_are_torchs(small):
    model, graph, _ = small
    pixels = random_pixels(32, 5)
    features = run(graph, pixels)
    layer = last_layer(model)
    found = run(append_head(graph, layer, int8=False), pixels, "logits")
    np.testing.assert_allclose(found, features @ layer.weight.T + layer.bias, atol=1e-5)
    rough = run(append_head(graph, layer, int8=True), pixels, "logits")
    assert 20 < decibels(found, rough) < 70


def test_a_last_layer_that_is_not_dense_is_refused():
    class Odd(nn.Module):
        def get_classifier(self):
            return nn.Conv2d(3, 4, 1)

    with pytest.raises(SidekickError, match="last layer of Odd is Conv2d"):
        last_layer(Odd())


def test_an_operator_without_export_is_refused():
    class Odd(nn.Module):
        def forward_features(self, x):
            return torch.linalg.svdvals(x)

        def forward_head(self, x, pre_logits=False):
            return x.flatten(1)

    preprocessing = Preprocessing((8, 8), 1.0, "bicubic", (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(SidekickError, match="Odd cannot be exported to ONNX"):
        export_backbone(Odd(), preprocessing)
