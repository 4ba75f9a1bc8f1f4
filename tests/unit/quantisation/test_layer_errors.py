import math

import numpy as np
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from sidekick.models.preprocessing import Preprocessing
from sidekick.quantisation.graph import export_backbone
from sidekick.quantisation.layer_errors import layer_errors, worst
from sidekick.quantisation.quantise import quantise_backbone
from unit.quantisation.test_graph import build, decibels, random_pixels, run

PLAIN = Preprocessing((16, 16), 1.0, "bicubic", (0.5,) * 3, (0.25,) * 3)


class Depthwise(nn.Module):
    """A convolution, one of whose channels is `factor` times as strong, and a depthwise one."""

    def __init__(self, factor):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3)
        self.second = nn.Conv2d(8, 8, 3, groups=8)
        with torch.no_grad():
            self.first.weight[0] *= factor
            self.second.weight[0] /= factor

    def forward_features(self, x):
        return self.second(self.first(x))

    def forward_head(self, x, pre_logits=False):
        return x.mean((2, 3))


def errors_of(factor):
    graph = export_backbone(Depthwise(factor).eval(), PLAIN)
    pixels = random_pixels(16, 12)
    quantised = quantise_backbone(graph, [pixels])
    return graph, quantised, pixels, layer_errors(graph, quantised, [pixels[:5], pixels[5:]], 1)


def test_a_channel_that_sets_the_range_of_all_is_found():
    """What makes depthwise networks quantise badly: the strong channel is right, others are lost.

    By itself no ratio of the layer shows it, since the strong channel is the signal; the spread of
    channels does, and so does the error of what comes next.
    """
    even, uneven = errors_of(1.0)[-1], errors_of(300.0)[-1]
    assert [row.operator for row in even][:3] == ["Div", "Conv", "Conv"]
    assert [row.depthwise for row in even][:3] == [False, False, True]
    assert uneven[1].channel_spread > 50 * even[1].channel_spread
    assert uneven[2].output_sqnr < even[2].output_sqnr - 10
    assert uneven[1].rounding_sqnr > 30


def test_the_errors_are_those_of_the_activations_themselves():
    graph, quantised, pixels, rows = errors_of(1.0)
    features = run(graph, pixels)
    last = rows[-1]
    assert last.layer == "features"
    assert last.output_sqnr == pytest.approx(decibels(features, run(quantised, pixels)), abs=0.1)
    # Of what enters, the inherited error is its own.
    assert rows[0].output_sqnr == pytest.approx(rows[0].rounding_sqnr, abs=0.01)


def test_rounding_follows_from_the_range():
    """256 levels over a range: noise of a step's width squared by 12.

    Of values that fall anywhere between levels, as those of a convolution do and pixels do not.
    """
    row = errors_of(1.0)[-1][1]
    expected = 10 * math.log10(12 * 255**2) - 20 * math.log10(row.range_over_rms)
    assert row.rounding_sqnr == pytest.approx(expected, abs=0.3)


def test_weights_are_compared_channel_by_channel():
    graph, _, _, rows = errors_of(1.0)
    convolution = next(node for node in graph.graph.node if node.op_type == "Conv")
    weight = next(
        numpy_helper.to_array(value)
        for value in graph.graph.initializer
        if value.name == convolution.input[1]
    ).reshape(8, -1).astype(float)  # fmt: skip
    scale = np.abs(weight).max(axis=1, keepdims=True) / 127
    rounded = np.rint(weight / scale) * scale
    assert rows[1].weight_sqnr == pytest.approx(decibels(weight, rounded), abs=0.3)
    ratios = [decibels(*pair) for pair in zip(weight, rounded, strict=True)]
    assert rows[1].worst_channel_sqnr == pytest.approx(min(ratios), abs=0.5)
    assert math.isnan(rows[0].weight_sqnr)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "mobilenetv3_small_100", "convnext_atto"])
def test_every_kind_of_network_has_a_report_that_ends_in_its_features(name):
    options = {"img_size": 32, "depth": 2} if name.startswith("vit") else {}
    model, preprocessing = build(name, options, 32)
    graph = export_backbone(model, preprocessing)
    pixels = random_pixels(32, 4)
    rows = layer_errors(graph, quantise_backbone(graph, [pixels]), [pixels], 1)
    assert [row.position for row in rows] == list(range(len(rows)))
    assert rows[-1].layer == "features"
    assert all(np.isfinite(row.output_sqnr) for row in rows if row.layer == "features")
    assert any(row.depthwise for row in rows) == (not name.startswith("vit"))
    found = worst(rows, 3)
    assert len(found) == 3
    assert found[0].rounding_sqnr <= found[1].rounding_sqnr <= found[2].rounding_sqnr
