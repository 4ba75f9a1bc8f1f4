"""Which layers lose what by quantisation: signal-to-noise ratios of activations and weights."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
from onnx import numpy_helper

from sidekick.artifacts import write_table
from sidekick.quantisation.inference import session_options

_WEIGHTED = ("Conv", "Gemm", "MatMul")
_FEATURES = "features"
# What ONNX Runtime calls an output of the graph before it is rounded.
_OUTPUT_SUFFIX = "_QuantizeLinear_Input"


@dataclass(frozen=True)
class LayerError:
    """What one layer's output loses. Ratios are 10·log10(Σx² / Σ(x − x̂)²), in dB.

    Attributes
    ----------
    position
        Of the layer in the graph.
    layer
        Its output's name, which tells the path through the network.
    operator
        Of ONNX, as in `Conv`; `depthwise` if each channel has a filter of its own.
    output_sqnr
        Of the int8 network's activation against the float network's: own and inherited errors.
    rounding_sqnr
        Of the float network's activation rounded to this layer's 256 levels: the layer's own
        error. It is low where few values use the range; NaN for features left in float.
    weight_sqnr
        Of the weights; NaN without any.
    worst_channel_sqnr
        Of the weights of the output channel that loses most; NaN without any.
    range_over_rms
        Width of the activation's range by its root mean square: the cause of a low
        `rounding_sqnr`, which is about 10·log10(12·255²) − 20·log10(range_over_rms).
    channel_spread
        Largest by median root mean square of the channels. Where one channel sets the range of
        all, as depthwise layers have it, the others are left with few levels.
    """

    position: int
    layer: str
    operator: str
    depthwise: bool
    output_sqnr: float
    rounding_sqnr: float
    weight_sqnr: float
    worst_channel_sqnr: float
    range_over_rms: float
    channel_spread: float

    def as_dict(self) -> dict[str, Any]:
        """Give the attributes, NaN as None."""
        return {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in asdict(self).items()
        }


def layer_errors(
    as_float: onnx.ModelProto,
    as_int8: onnx.ModelProto,
    batches: Iterable[np.ndarray],
    threads: int,
) -> list[LayerError]:
    """Compare the activations of two graphs, layer by layer.

    Parameters
    ----------
    as_float, as_int8
        The graph before and after quantisation; tensors have the same names.
    batches
        Images (n, H, W, 3) uint8. Memory holds the activations of one batch.
    threads
        For both networks.

    Returns
    -------
    list of LayerError
        For every quantised activation, in the order of the graph, and for `features`.

    Notes
    -----
    An activation that is looked at cannot be fused with its neighbours, so the int8 network runs
    here as its definition says: rounded, computed in float32 and rounded again.
    """
    layers = _layers(as_float, as_int8)
    exact_names = [layer.exact for layer in layers]
    rough_names = [layer.rough for layer in layers]
    float_session = _watched(as_float, exact_names, threads)
    int8_session = _watched(as_int8, rough_names, threads)
    sums = [_Sums() for _ in layers]
    for pixels in batches:
        exact = float_session.run(exact_names, {"pixels": pixels})
        rough = int8_session.run(rough_names, {"pixels": pixels})
        for layer, own, x, y in zip(layers, sums, exact, rough, strict=True):
            own.add(x, y, layer)
    return [
        _report(position, layer, own)
        for position, (layer, own) in enumerate(zip(layers, sums, strict=True))
    ]


def worst(rows: Sequence[LayerError], count: int = 5) -> list[LayerError]:
    """Give the layers whose own rounding loses most."""
    rounded = [row for row in rows if not math.isnan(row.rounding_sqnr)]
    return sorted(rounded, key=lambda row: row.rounding_sqnr)[:count]


def write_layer_errors(
    rows: Sequence[LayerError], path: str | Path, facts: Mapping[str, object]
) -> None:
    """Write the table (Parquet), a row per layer, columns as the attributes of `LayerError`."""
    write_table(pa.Table.from_pylist([asdict(row) for row in rows]), path, facts)


@dataclass(frozen=True, eq=False)
class _Layer:
    """An activation: its names in the two graphs, its producer, its grid if any, its weights."""

    exact: str
    rough: str
    operator: str
    depthwise: bool
    grid: tuple[float, int] | None
    weights: tuple[np.ndarray, np.ndarray] | None = None

    def rounded(self, x: np.ndarray) -> np.ndarray:
        if self.grid is None:
            return np.full_like(x, np.nan)
        scale, zero_point = self.grid
        return (np.clip(np.rint(x / scale) + zero_point, 0, 255) - zero_point) * scale


class _Sums:
    """Sums over batches, in double precision."""

    def __init__(self) -> None:
        self.signal = self.inherited = self.own = 0.0
        self.count = 0
        self.low, self.high = math.inf, -math.inf
        self.channels: np.ndarray | float = 0.0

    def add(self, x: np.ndarray, y: np.ndarray, layer: _Layer) -> None:
        x = x.astype(np.float64)
        square = x * x
        self.signal += square.sum()
        self.inherited += ((x - y) ** 2).sum()
        self.own += ((x - layer.rounded(x)) ** 2).sum()
        self.count += x.size
        self.low, self.high = min(self.low, x.min()), max(self.high, x.max())
        # Of images the second axis; of tokens (n, tokens, width), the last.
        axis = 1 if x.ndim in (2, 4) else x.ndim - 1
        self.channels = self.channels + square.sum(axis=tuple(set(range(x.ndim)) - {axis}))


def _report(position: int, layer: _Layer, sums: _Sums) -> LayerError:
    rms = math.sqrt(sums.signal / sums.count) if sums.count else math.nan
    typical = np.median(np.sqrt(sums.channels))
    weight, worst_channel = math.nan, math.nan
    if layer.weights is not None:
        exact, rough = layer.weights
        noise = (exact - rough) ** 2
        weight = _decibels((exact**2).sum(), noise.sum())
        channels = zip((exact**2).sum(axis=1), noise.sum(axis=1), strict=True)
        worst_channel = min(_decibels(*channel) for channel in channels)
    return LayerError(
        position=position,
        layer=layer.exact,
        operator=layer.operator,
        depthwise=layer.depthwise,
        output_sqnr=_decibels(sums.signal, sums.inherited),
        rounding_sqnr=_decibels(sums.signal, sums.own),
        weight_sqnr=weight,
        worst_channel_sqnr=worst_channel,
        range_over_rms=float(sums.high - sums.low) / rms if rms else math.nan,
        channel_spread=float(np.sqrt(sums.channels).max() / typical) if typical else math.nan,
    )


def _decibels(signal: float, noise: float) -> float:
    """Give a ratio in dB; infinite without noise, NaN without either."""
    if math.isnan(noise):
        return math.nan
    if noise == 0:
        return math.inf if signal else math.nan
    return 10 * math.log10(signal / noise) if signal else -math.inf


def _layers(as_float: onnx.ModelProto, as_int8: onnx.ModelProto) -> list[_Layer]:
    """Find the quantised activations, in the order of the graph."""
    constants = {value.name: value for value in as_int8.graph.initializer}
    exact_constants = {value.name: value for value in as_float.graph.initializer}
    exact_nodes = {node.name: node for node in as_float.graph.node}
    known = {output for node in as_float.graph.node for output in node.output}
    nodes = list(as_int8.graph.node)
    producers = {output: node for node in nodes for output in node.output}
    dequantised = {node.input[0]: node for node in nodes if node.op_type == "DequantizeLinear"}
    layers = []
    for node in nodes:
        if node.op_type != "QuantizeLinear":
            continue
        producer = producers[node.input[0]]
        exact = node.input[0].removesuffix(_OUTPUT_SUFFIX)
        if exact not in known:
            continue
        scale, zero_point = (
            numpy_helper.to_array(constants[name]).item() for name in node.input[1:]
        )
        weights = None
        if producer.op_type in _WEIGHTED:
            weight = exact_constants.get(exact_nodes[producer.name].input[1])
            # Products of two activations have none.
            if weight is not None:
                source = producers[producer.input[1]]
                weights = _weights(numpy_helper.to_array(weight), source, constants)
        layers.append(
            _Layer(
                exact=exact,
                rough=dequantised[node.output[0]].output[0],
                operator=producer.op_type,
                depthwise=_is_depthwise(producer, weights),
                grid=(scale, zero_point),
                weights=weights,
            )
        )
    if all(layer.exact != _FEATURES for layer in layers):
        operator = producers[_FEATURES].op_type
        layers.append(_Layer(_FEATURES, _FEATURES, operator, depthwise=False, grid=None))
    return layers


def _weights(
    exact: np.ndarray, source: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]
) -> tuple[np.ndarray, np.ndarray]:
    """Give weights and what is left of them, one row per output channel, in double precision."""
    values, scales, zero_points = (
        numpy_helper.to_array(constants[name]).astype(np.float64) for name in source.input
    )
    axis = next((value.i for value in source.attribute if value.name == "axis"), 0)
    axis = axis % exact.ndim
    shape = [1] * exact.ndim
    shape[axis] = -1
    rough = (values - zero_points.reshape(shape)) * scales.reshape(shape)
    exact, rough = (np.moveaxis(w, axis, 0).reshape(w.shape[axis], -1) for w in (exact, rough))
    return exact.astype(np.float64), rough


def _is_depthwise(node: onnx.NodeProto, weights: tuple[np.ndarray, np.ndarray] | None) -> bool:
    groups = next((value.i for value in node.attribute if value.name == "group"), 1)
    return weights is not None and groups > 1 and groups == len(weights[0])


def _watched(
    graph: onnx.ModelProto, names: Sequence[str], threads: int
) -> onnxruntime.InferenceSession:
    """Load a graph with some of its tensors as outputs."""
    whole = onnx.ModelProto()
    whole.CopyFrom(graph)
    del whole.graph.output[:]
    whole.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return onnxruntime.InferenceSession(
        whole.SerializeToString(), session_options(threads), providers=["CPUExecutionProvider"]
    )
