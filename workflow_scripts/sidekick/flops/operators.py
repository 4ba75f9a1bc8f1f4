"""What each traced operator costs, where fvcore does not say."""

from collections.abc import Callable
from math import prod
from typing import Any

from fvcore.nn.jit_handles import (
    conv_flop_count,
    get_shape,
    norm_flop_counter,
)

Handler = Callable[[list[Any], list[Any]], int]
"""Maps the inputs and outputs of a node of a torch.jit trace to multiply-adds."""


def attention_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """Count softmax(q kᵀ) v: B·H·Lq·Lk·(d_q + d_v) multiply-adds.

    A causal mask is not taken off: kernels may or may not skip what it hides.
    """
    query, key, value = (get_shape(tensor) for tensor in inputs[:3])
    # All but the last two axes of the query are batch and heads.
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def named_padding_convolution_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """Count a convolution whose padding is given by name ("same")."""
    image, weight, result = get_shape(inputs[0]), get_shape(inputs[1]), get_shape(outputs[0])
    return conv_flop_count(image, weight, result)


HANDLERS: dict[str, Handler] = {
    "aten::scaled_dot_product_attention": attention_macs,
    "aten::_convolution_mode": named_padding_convolution_macs,
    # As fvcore counts layer_norm, its closest kin.
    "aten::rms_norm": norm_flop_counter(2),
}

_ELEMENTWISE = """
    abs add add_ addcmul addcmul_ clamp_min clamp_min_ cos div div_ dropout_ elu elu_ exp gelu
    gelu_ hardsigmoid hardsigmoid_ hardswish hardswish_ hardtanh hardtanh_ leaky_relu leaky_relu_
    log logical_not lt le ne mish mish_ mul mul_ neg pow prelu reciprocal relu6 relu6_ rsqrt rsub
    sigmoid sigmoid_ silu silu_ sin softplus sqrt square sub sub_ tanh tanh_ where ceil
"""
_REDUCTION = """
    amax amin argmax argmin cumsum linalg_vector_norm log_softmax logsumexp mean min norm softmax
    std std_mean sum var var_mean
"""
_POOLING = """
    adaptive_avg_pool1d adaptive_max_pool2d avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d
    max_pool3d
"""
# Of position tables, as a rule; fvcore counts the bilinear and nearest kinds itself.
_INTERPOLATION = """
    upsample_bicubic2d _upsample_bicubic2d_aa _upsample_bilinear2d_aa
"""
_REARRANGEMENT = """
    alias broadcast_to clone col2im diff embedding expand_as feature_dropout flip im2col
    index_select mT meshgrid movedim new_ones numel ones_like pad pixel_shuffle pixel_unshuffle
    repeat repeat_interleave reshape_as scatter swapaxes tensor_split tile tril triu unflatten
    unfold view_as
"""

UNCOUNTED: dict[str, str] = {
    f"aten::{operator}": kind
    for kind, operators in (
        ("elementwise", _ELEMENTWISE),
        ("reduction", _REDUCTION),
        ("pooling", _POOLING),
        ("interpolation", _INTERPOLATION),
        ("rearrangement", _REARRANGEMENT),
    )
    for operator in operators.split()
}
"""Operators that fvcore does not know and that carry no matrix product or convolution.

Their work is linear in the size of one tensor, so it is left out, as is usual; softmax counts as a
reduction. Whatever is neither here nor known to fvcore is refused, because silence would make a
network look cheap.
"""
