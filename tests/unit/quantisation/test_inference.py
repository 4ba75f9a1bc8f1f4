import json
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import helper

from sidekick.errors import SidekickError
from sidekick.quantisation.inference import load_network
from sidekick.quantisation.storage import write_network


@pytest.mark.parametrize("name", ["float_file", "int8_file"])
def test_a_process_without_torch_gives_the_same(written, images, name, tmp_path):
    """Nor is there onnx, nor anything else but onnxruntime and numpy."""
    np.save(tmp_path / "images.npy", images)
    code = """
import sys
for blocked in ("torch", "torchvision", "timm", "onnx", "scipy", "safetensors"):
    sys.modules[blocked] = None
import numpy as np
from sidekick.quantisation.inference import load_network
network = load_network(sys.argv[1], threads=1)
images = np.load(sys.argv[2])
features, logits = map(np.concatenate, zip(*network.stream(np.array_split(images, 7))))
np.savez(sys.argv[3], features=features, logits=logits)
"""
    arguments = [str(written[name]), str(tmp_path / "images.npy"), str(tmp_path / "found.npz")]
    subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )
    features, logits = load_network(written[name]).run(images)
    with np.load(tmp_path / "found.npz") as found:
        np.testing.assert_allclose(found["features"], features, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found["logits"], logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["float_file", "int8_file"])
def test_threads_change_rounding_at_most(written, images, name):
    one, two = (load_network(written[name], threads).run(images)[1] for threads in (1, 2))
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def test_batches_stream(written, images):
    network = load_network(written["int8_file"])
    seen = []

    def batches():
        for first in range(0, 60, 20):
            seen.append(first)
            yield images[first : first + 20]

    stream = network.stream(batches())
    assert seen == []
    features, logits = next(stream)
    assert seen == [0]
    assert (features.shape, logits.shape) == ((20, 64), (20, 3))


def test_no_images_are_no_problem(written):
    features, logits = load_network(written["float_file"]).run(np.empty((0, 32, 32, 3), np.uint8))
    assert (features.shape, logits.shape) == ((0, 64), (0, 3))


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 32, 32, 3), np.float32),
        np.zeros((1, 3, 32, 32), np.uint8),
        np.zeros((1, 16, 32, 3), np.uint8),
        np.zeros((32, 32, 3), np.uint8),
    ],
    ids=["float", "channels first", "other size", "one image"],
)
def test_images_of_another_kind_are_refused(written, pixels):
    with pytest.raises(SidekickError, match=r"it reads \(32, 32, 3\) of uint8"):
        load_network(written["int8_file"]).run(pixels)


def test_every_flipped_bit_is_noticed(written, tmp_path):
    content = written["int8_file"].read_bytes()
    path = tmp_path / "int8.onnx"
    rng = np.random.default_rng(0)
    for position in [0, len(content) - 1, *rng.integers(0, len(content), 30)]:
        damaged = bytearray(content)
        damaged[position] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(SidekickError, match=r"int8\.onnx: not an ONNX file of Sidekick"):
            load_network(path)


@pytest.mark.parametrize("length", [0, 10, 64, 1000])
def test_truncated_files_are_refused(written, tmp_path, length):
    path = tmp_path / "int8.onnx"
    path.write_bytes(written["int8_file"].read_bytes()[:length])
    with pytest.raises(SidekickError, match=r"int8\.onnx"):
        load_network(path)


def test_missing_files_are_refused(tmp_path):
    with pytest.raises(SidekickError, match="no such file"):
        load_network(tmp_path / "int8.onnx")


def graph(inputs="pixels", logits="logits", classes=3, weight=1.0):
    """Logits are a constant times the mean of the image."""
    nodes = [
        helper.make_node("Cast", [inputs], ["float"], to=onnx.TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["features"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["features", "weight"], [logits]),
    ]
    value = helper.make_tensor(
        "weight", onnx.TensorProto.FLOAT, [3, classes], [weight] * 3 * classes
    )
    pixels = helper.make_tensor_value_info(inputs, onnx.TensorProto.UINT8, ["n", 4, 4, 3])
    outputs = [
        helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["n", 3]),
        helper.make_tensor_value_info(logits, onnx.TensorProto.FLOAT, ["n", classes]),
    ]
    whole = helper.make_graph(nodes, "graph", [pixels], outputs, [value])
    opset = helper.make_opsetid("", 13)
    return helper.make_model(whole, opset_imports=[opset], ir_version=8).SerializeToString()


def test_metadata_behind_the_graph_is_the_graphs(tmp_path):
    """Of any length: lengths of fields take one byte or more."""
    for text in ("", "a" * 100, "é" * 5000):
        path = tmp_path / "some.onnx"
        size = write_network(path, graph(), {"classes": 3, "text": text})
        assert size == path.stat().st_size
        onnx.checker.check_model(str(path))
        assert load_network(path).facts == {"classes": 3, "text": text}


@pytest.mark.parametrize(
    ("content", "facts", "message"),
    [
        (graph(inputs="images"), {"classes": 3}, "not a network from `pixels`"),
        (graph(logits="other"), {"classes": 3}, "not a network from `pixels`"),
        (graph(), {"classes": 4}, "4 `logits`"),
        (graph(), {}, "not a network of Sidekick"),
        (b"", {"classes": 3}, "not a network of Sidekick"),
    ],
)
def test_networks_of_others_are_refused(tmp_path, content, facts, message):
    path = tmp_path / "some.onnx"
    write_network(path, content, facts)
    with pytest.raises(SidekickError, match=message) as caught:
        load_network(path)
    assert "some.onnx" in str(caught.value)


def test_onnx_files_without_our_seal_are_refused(tmp_path):
    path = tmp_path / "some.onnx"
    path.write_bytes(graph())
    with pytest.raises(SidekickError, match="not an ONNX file of Sidekick"):
        load_network(path)


def test_outputs_that_are_not_finite_are_refused(tmp_path):
    path = tmp_path / "some.onnx"
    write_network(path, graph(weight=3e38), {"classes": 3})
    pixels = np.zeros((4, 4, 4, 3), np.uint8)
    pixels[2] = 200
    with pytest.raises(SidekickError, match="image 2 of a batch is not finite"):
        load_network(path).run(pixels)


def test_facts_are_json(written):
    json.dumps(load_network(written["int8_file"]).facts)
