"""From a torch network to ONNX graphs: images to pooled features, and a head on top of them."""

import io
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn

from sidekick.errors import SidekickError
from sidekick.methods.mc_dropout import Head
from sidekick.models.create import pooled_features
from sidekick.models.mc_dropout_head import MCDropoutClassifier
from sidekick.models.preprocessing import Preprocessing
from sidekick.quantisation.rounding import round_rows

# The first with LayerNormalization as one operator.
_OPSET = 17


@dataclass(frozen=True, eq=False)
class Dense:
    """The last layer of a plain classifier: weight (C, F) and bias (C,)."""

    weight: np.ndarray
    bias: np.ndarray


def export_backbone(model: nn.Module, preprocessing: Preprocessing) -> onnx.ModelProto:
    """Export what comes before the last layer, normalisation included.

    Parameters
    ----------
    model
        A timm model, or an `MCDropoutClassifier`, on the CPU.
    preprocessing
        Its `size` is the graph's, its `mean` and `std` become part of the graph. Resizing and
        cropping stay outside.

    Returns
    -------
    onnx.ModelProto
        From `pixels`, (n, H, W, 3) uint8, to `features`, (n, F) float32, for any n; optimised as
        ONNX Runtime asks for before quantisation: shapes inferred, constants and batch norms
        folded.

    Raises
    ------
    SidekickError
        If an operator of the network cannot be exported.

    Notes
    -----
    torch's exporter by tracing is used: the newer one needs `onnxscript`. It is handed the
    network in evaluation mode, so that dropout is absent from the graph.
    """
    backbone = model.backbone if isinstance(model, MCDropoutClassifier) else model
    file = io.BytesIO()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # Of deprecation, and of shapes that tracing makes constant: they are.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _PixelsToFeatures(backbone, preprocessing).eval(),
                # Of two images, since tracing may take a size of 1 for one to broadcast.
                (torch.zeros((2, *preprocessing.input_shape), dtype=torch.uint8),),
                file,
                dynamo=False,
                opset_version=_OPSET,
                input_names=["pixels"],
                output_names=["features"],
                dynamic_axes={"pixels": {0: "n"}, "features": {0: "n"}},
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise SidekickError(
            f"architecture: {type(backbone).__name__} cannot be exported to ONNX ({reason})"
        ) from error
    return _preprocessed(file.getvalue())


class _PixelsToFeatures(nn.Module):
    def __init__(self, backbone: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self._backbone = backbone
        self.register_buffer("_mean", torch.tensor(preprocessing.mean).view(1, -1, 1, 1))
        self.register_buffer("_std", torch.tensor(preprocessing.std).view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        # The arithmetic of `to_unit` and `ToInput`, in their order.
        unit = pixels.permute(0, 3, 1, 2).float() / 255
        return pooled_features(self._backbone, (unit - self._mean) / self._std)


def _preprocessed(content: bytes) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        quant_pre_process(onnx.load_from_string(content), str(path))
        return onnx.load(path)


def last_layer(model: nn.Module) -> Dense:
    """Give the layer of a timm classifier that reads the pooled features.

    Raises
    ------
    SidekickError
        If it is not one dense layer.
    """
    layer = model.get_classifier()
    if not isinstance(layer, nn.Linear):
        raise SidekickError(
            f"architecture: the last layer of {type(model).__name__} is {type(layer).__name__}; "
            "only networks that end in one dense layer (Linear) can be quantised"
        )
    weight = layer.weight.detach().cpu().numpy()
    bias = np.zeros(len(weight), np.float32)
    if layer.bias is not None:
        bias = layer.bias.detach().cpu().numpy()
    return Dense(weight, bias)


def append_head(graph: onnx.ModelProto, head: Head | Dense, int8: bool) -> onnx.ModelProto:
    """Add the output `logits` (n, C) to a graph that ends in `features`; dropout is off.

    Parameters
    ----------
    graph
        As `export_backbone` makes it, quantised or not; it is left as it is.
    head
        Its batch norm, if any, becomes one multiplication and one addition.
    int8
        Whether weights are stored as int8, one scale per row. Activations stay float32, so that
        passes through the rounded head outside the graph (`sidekick.quantisation.rounding`) give
        the same numbers; the head is under 1 % of a ResNet-50's work.
    """
    whole = onnx.ModelProto()
    whole.CopyFrom(graph)
    add = _Adder(whole.graph, int8)
    if isinstance(head, Dense):
        add.dense("features", head.weight, head.bias, "logits")
    else:
        scaled = add.node("Mul", ["features", add.constant("head.scale", head.scale)])
        normalised = add.node("Add", [scaled, add.constant("head.shift", head.shift)])
        hidden = add.dense(normalised, head.hidden_weight, head.hidden_bias, "head.hidden")
        positive = add.node("Relu", [hidden])
        add.dense(positive, head.output_weight, head.output_bias, "logits")
    classes = len(head.bias if isinstance(head, Dense) else head.output_bias)
    output = helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["n", classes])
    whole.graph.output.append(output)
    onnx.checker.check_model(whole)
    return whole


class _Adder:
    """Append nodes and constants to a graph."""

    def __init__(self, graph: onnx.GraphProto, int8: bool) -> None:
        self._graph = graph
        self._int8 = int8

    def constant(self, name: str, value: np.ndarray) -> str:
        """Store an array, in single precision unless it is of integers."""
        if value.dtype != np.int8:
            value = value.astype(np.float32)
        self._graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def node(self, operator: str, inputs: list[str], output: str = "", **attributes: int) -> str:
        output = output or f"head.{operator.lower()}"
        node = helper.make_node(operator, inputs, [output], f"{output}.node", **attributes)
        self._graph.node.append(node)
        return output

    def dense(self, given: str, weight: np.ndarray, bias: np.ndarray, output: str) -> str:
        name = f"{output}.weight"
        if self._int8:
            values, scales = round_rows(weight)
            stored = [
                self.constant(f"{name}.int8", values),
                self.constant(f"{name}.scale", scales),
                self.constant(f"{name}.zero", np.zeros(len(scales), np.int8)),
            ]
            self.node("DequantizeLinear", stored, name, axis=0)
        else:
            self.constant(name, weight)
        inputs = [given, name, self.constant(f"{output}.bias", bias)]
        return self.node("Gemm", inputs, output, transB=1)
