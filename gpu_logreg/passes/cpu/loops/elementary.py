"""Exponential, logarithm and hyperbolic tangent that compile to vector instructions.

The functions of the mathematical library are called for one element at a time. Those here are straight-line
arithmetic, which the compiler turns into vector instructions for four to sixteen elements. The hyperbolic tangent in
float64 is that of the library.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from gpu_logreg.arrays.compiled import njit

__all__ = ["exp_of_negative", "larger", "log1p_up_to_one", "row_terms", "smaller", "tanh"]

# Without "reassoc": numbers are rounded by adding a large number and subtracting it again, and a compiler that may
# reorder additions would remove both.
_EXACT: dict[str, Any] = {"fastmath": {"contract"}}


class _Arithmetic:
    """Instructions on floating-point numbers: sums and products that may be fused, and no other liberty.

    Numbers are rounded by adding a large number and subtracting it again, and a compiler that may reorder additions
    would remove both. The functions below are generated, and not written in Python, for compilation to be short: nearly
    every loop has one of them, and each took Numba a fifth of a second.
    """

    def __init__(self, builder: Any, kind: Any) -> None:
        self.builder = builder
        self.kind = ir.FloatType() if kind == types.float32 else ir.DoubleType()

    def number(self, value: float) -> Any:
        """A constant, rounded to the kind."""
        return ir.Constant(self.kind, float(np.float32(value)) if isinstance(self.kind, ir.FloatType) else value)

    def add(self, a: Any, b: Any) -> Any:
        """``a + b``."""
        return self.builder.fadd(a, b, flags=("contract",))

    def subtract(self, a: Any, b: Any) -> Any:
        """``a - b``."""
        return self.builder.fsub(a, b, flags=("contract",))

    def multiply(self, a: Any, b: Any) -> Any:
        """``a b``."""
        return self.builder.fmul(a, b, flags=("contract",))

    def polynomial(self, x: Any, coefficients: list[float]) -> Any:
        """By Horner's rule, from the highest degree down."""
        value = self.number(coefficients[0])
        for coefficient in coefficients[1:]:
            value = self.add(self.multiply(value, x), self.number(coefficient))
        return value


@intrinsic  # type: ignore[untyped-decorator]
def exp_of_negative(typing_context: Any, x: Any) -> Any:
    """``exp(x)`` for ``x <= 0``: ``2**n exp(r)`` with ``x = n log 2 + r``, ``|r| <= log(2) / 2``.

    ``exp(r)`` by Taylor's polynomial, of degree 7 in float32, with an error of 6e-9, and of degree 13 in float64, with
    one of 4e-18. NaN stays NaN. Below -87 and -708 the result would become subnormal, for which the exponent cannot be
    written into the bits as here, and it is zero.
    """
    del typing_context

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code, short = _Arithmetic(builder, x), x == types.float32
        least = code.number(-87.0 if short else -708.0)
        tiny = builder.fcmp_ordered("<", args[0], least)
        value = builder.select(tiny, least, args[0])
        large = code.number(12582912.0 if short else 6755399441055744.0)  # 1.5 times 2**23 and 2**52
        shifted = code.add(code.multiply(value, code.number(1.4426950408889634)), large)  # its last bits are n
        n = code.subtract(shifted, large)
        # log 2 in two parts, of which the first times n is exact
        parts = (0.693145752, 1.42860677e-06) if short else (0.693147180369123816490, 1.90821492927058770002e-10)
        for part in parts:
            value = code.subtract(value, code.multiply(n, code.number(part)))
        p = code.polynomial(value, [1.0 / math.factorial(k) for k in range(7 if short else 13, -1, -1)])
        whole = ir.IntType(32 if short else 64)
        bits = builder.bitcast(shifted, whole)
        exponent = builder.add(bits, whole(127 - 0x4B400000 if short else 1023 - 0x4338000000000000))
        power = builder.bitcast(builder.shl(exponent, whole(23 if short else 52)), code.kind)
        return builder.select(tiny, code.number(0.0), code.multiply(p, power))

    return x(x), codegen


@intrinsic  # type: ignore[untyped-decorator]
def log1p_up_to_one(typing_context: Any, x: Any) -> Any:
    """``log(1 + x)`` for ``0 <= x <= 1``: ``2 artanh(t)`` with ``t = x / (2 + x) <= 1/3``, by its series."""
    del typing_context

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = _Arithmetic(builder, x)
        t = builder.fdiv(args[0], code.add(code.number(2.0), args[0]), flags=("contract",))
        highest = 15 if x == types.float32 else 33
        p = code.polynomial(code.multiply(t, t), [2.0 / k for k in range(highest, 0, -2)])
        return code.multiply(p, t)

    return x(x), codegen


def _choice(sign: str) -> Any:
    def typed(typing_context: Any, a: Any, b: Any) -> Any:
        kind = typing_context.unify_types(a, b)
        kind = types.int64 if isinstance(kind, types.Integer) else kind

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            compare = builder.icmp_signed if kind == types.int64 else builder.fcmp_ordered
            return builder.select(compare(sign, args[1], args[0]), args[1], args[0])

        return kind(kind, kind), codegen

    return intrinsic(typed)


# (a, b): as Python's, which Numba compiles anew for each pair of types. A number is not larger than NaN, and neither is
# NaN larger than a number: the first of the two is taken.
larger, smaller = _choice(">"), _choice("<")


@njit(**_EXACT)  # type: ignore[untyped-decorator]
def _tanh_float32(x: Any) -> Any:
    """``tanh(x)`` in float32, one division.

    Up to 0.6 Lambert's continued fraction ``x / (1 + x**2 / (3 + x**2 / (5 + ...)))`` cut after 9, whose error is below
    1e-9; beyond, ``(1 - e) / (1 + e)`` with ``e = exp(-2 |x|)``.
    """
    t = abs(x)
    q = x * x
    e = exp_of_negative(np.float32(-2.0) * t)
    small = t < np.float32(0.6)
    top = t * (np.float32(945.0) + q * (np.float32(105.0) + q)) if small else np.float32(1.0) - e
    bottom = np.float32(945.0) + q * (np.float32(420.0) + q * np.float32(15.0)) if small else np.float32(1.0) + e
    return math.copysign(top / bottom, x)


def tanh(x: Any) -> Any:
    """``tanh(x)``."""
    return math.tanh(x)


# Numba compares the names and annotations of these with those of the functions they return, so they have none.
@overload(tanh)
def _tanh(x):  # type: ignore[no-untyped-def]
    if x == types.float32:
        return lambda x: _tanh_float32(x)
    return lambda x: math.tanh(x)


@njit(inline="always")  # type: ignore[untyped-decorator]
def row_terms(z: Any, y: Any) -> Any:
    """``(e, dz, linear)`` of one row of two classes, with ``row_loss = linear + log(1 + e)``.

    ``e = exp(-|z|)``; ``linear = max(z, 0) - y z``; ``q = e / (1 + e)``; ``dz = z >= 0 ? (1 - y) - q : q - y``.
    """
    one, zero = type(z)(1), type(z)(0)
    e = exp_of_negative(-abs(z))
    q = e / (one + e)
    return e, ((one - y) - q if z >= zero else q - y), larger(z, zero) - y * z
