import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn
from torch.nn import functional as F

from sidekick.flops.operators import HANDLERS, UNCOUNTED


class Apply(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def macs(function, *inputs):
    analysis = FlopCountAnalysis(Apply(function), inputs).set_op_handle(**HANDLERS)
    with torch.no_grad():
        total = analysis.total()
    assert set(analysis.unsupported_ops()) <= set(UNCOUNTED)
    return total


@pytest.mark.parametrize("options", [{}, {"is_causal": True}])
def test_attention(options):
    # Two images, three heads, five queries, seven keys, 4 wide, values 6 wide.
    query, key, value = torch.rand(2, 3, 5, 4), torch.rand(2, 3, 7, 4), torch.rand(2, 3, 7, 6)
    counted = macs(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **options), query, key, value
    )
    assert counted == 2 * 3 * 5 * 7 * (4 + 6)


def test_attention_equals_its_two_products():
    query, key, value = torch.rand(2, 3, 5, 4), torch.rand(2, 3, 7, 4), torch.rand(2, 3, 7, 6)
    products = macs(lambda q, k: q @ k.mT, query, key) + macs(
        lambda a, v: a @ v, torch.rand(2, 3, 5, 7), value
    )
    assert macs(F.scaled_dot_product_attention, query, key, value) == products


def test_attention_with_fewer_key_heads():
    query, key = torch.rand(1, 8, 5, 4), torch.rand(1, 2, 5, 4)
    counted = macs(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True), query, key, key
    )
    assert counted == 8 * 5 * 5 * (4 + 4)


def test_convolution_with_named_padding():
    convolution = nn.Conv2d(4, 6, 3, padding="same", groups=2)
    assert macs(convolution, torch.rand(1, 4, 8, 8)) == 8 * 8 * 6 * (4 // 2) * 9


def test_rms_norm_counts_as_layer_norm():
    x = torch.rand(1, 5, 8)
    assert macs(nn.RMSNorm(8), x) == macs(nn.LayerNorm(8), x)


def test_no_operator_is_both_counted_and_not():
    assert not set(HANDLERS) & set(UNCOUNTED)
