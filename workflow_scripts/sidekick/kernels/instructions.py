"""Instructions that numba has no Python spelling for, written as LLVM code.

Each works on one number, and on a whole SIMD register where the loop around it is vectorised.
"""

import math

from numba import types
from numba.core.cgutils import ir
from numba.core.errors import TypingError
from numba.extending import intrinsic

# Logits times this are exponents of two.
LOG2_E = 1.4426950408889634
# 2^r = 1 + r (c_1 + r (c_2 + ...)) for |r| <= 1/2: relative error 1.6e-8.
_SINGLE = (
    1.0,
    0.6931471824645996,
    0.24022647738456726,
    0.055503323674201965,
    0.00961843691766262,
    0.0013398875016719103,
    0.00015353361959569156,
)
# Taylor's: relative error below 1e-17.
_DOUBLE = tuple(math.log(2.0) ** k / math.factorial(k) for k in range(14))


@intrinsic
def power_of_two(_, x):
    """Give 2^x of a float32 or float64 x <= 0; exactly 1 of 0.

    The relative error is below 1.2e-7 for float32 and 4e-16 for float64. Of anything below -126 or
    -1022, where 2^x is about to underflow, it is the power of that.
    """
    if x == types.float32:
        return x(x), _generate_power(types.int32, 23, -126.0, _SINGLE)
    if x == types.float64:
        return x(x), _generate_power(types.int64, 52, -1022.0, _DOUBLE)
    raise TypingError(f"no power of two of {x}")


@intrinsic
def larger(_, a, b):
    """Give the larger of two floats that are not NaN.

    Unlike `max` and `if`, a loop of these is turned into SIMD instructions.
    """
    return a(a, a), lambda _, builder, __, arguments: _choose_larger(builder, *arguments)


def _choose_larger(builder, first, second):
    flags = ("nnan", "nsz")
    above = builder.fcmp_ordered(">", first, second, flags=flags)
    return builder.select(above, first, second, flags=flags)


@intrinsic
def as_float(_, x):
    """Give a float as it is, and the float32 of a float16, whose bits come as uint16.

    Numba itself knows no float16.
    """

    def from_half(context, builder, _, arguments):
        single = context.get_value_type(types.float32)
        if "+f16c" in context.codegen().magic_tuple()[2].split(","):
            return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), single)
        # Without an instruction for it, the parts of the number are moved to their places in a
        # float32, whose exponent is then 112 too small.
        wide = context.get_value_type(types.uint32)
        bits = builder.zext(arguments[0], wide)
        magnitude = builder.shl(builder.and_(bits, wide(0x7FFF)), wide(13))
        finite = builder.fmul(builder.bitcast(magnitude, single), single(2.0**112))
        not_finite = builder.or_(magnitude, wide(0x7F800000))
        is_finite = builder.icmp_unsigned("<", magnitude, wide(0x7C00 << 13))
        chosen = builder.select(is_finite, builder.bitcast(finite, wide), not_finite)
        sign = builder.shl(builder.and_(bits, wide(0x8000)), wide(16))
        return builder.bitcast(builder.or_(chosen, sign), single)

    if x == types.uint16:
        return types.float32(x), from_half
    return x(x), lambda _, __, ___, arguments: arguments[0]


def _generate_power(integer, digits, lowest, coefficients):
    """Generate 2^x for floats with so many binary digits."""

    def generate(context, builder, _, arguments):
        (x,) = arguments
        # Cheaper than to put a 0 in place of results.
        x = _choose_larger(builder, x, x.type(lowest))
        # A large number added and taken off again rounds, too, but not if sums are reordered.
        round_it = builder.module.declare_intrinsic("llvm.rint", [x.type])
        whole = builder.call(round_it, [x])
        part = builder.fsub(x, whole)
        result = x.type(coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            result = builder.fma(result, part, x.type(coefficient))
        bits = context.get_value_type(integer)
        exponent = builder.shl(builder.fptosi(whole, bits), bits(digits))
        return builder.bitcast(builder.add(builder.bitcast(result, bits), exponent), x.type)

    return generate
