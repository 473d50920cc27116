"""Operations on the vector registers of the processor, for compiled loops over rows of K logits.

Such a loop keeps the logits of a row next to each other, and is fast where they stay in registers while it works on the
row; the compiler by itself would keep them in memory. The operations here work on vectors of ``len(vector)`` elements,
which the compiler splits or joins into the registers that the processor has. ``vector`` is a tuple of that length, 4, 8
or 16, of which only the type is used. Arrays are flat and addressed by the number of an element. No number is compared
with the length of its array: a wrong one reads or writes outside.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from gpu_logreg.passes.cpu.loops.sizes import AT_ONCE
from gpu_logreg.passes.cpu.loops.vector_code import I64, VectorCode, operation

__all__ = [
    "add_outer_product",
    "add_outer_products",
    "add_rows",
    "add_vector",
    "converted_into",
    "dot_of",
    "largest_of",
    "logits_of_row",
    "logits_of_rows",
    "logits_of_short_rows",
    "multiple_into",
    "multiply_into",
    "number_of_ones",
    "prefetch_behind",
    "scale",
    "squares_of",
    "subtract",
    "sum_of_smaller",
    "weigh",
]


def _logits(n_rows: int) -> Any:
    def generate(code: VectorCode) -> None:
        _, _, x_at, d, _, w_at, _, b_at, _, z_at, z_stride = code.arguments
        builder, element, double = code.builder, code.element_type(4), ir.DoubleType()
        rows = [code.pointer(1, builder.add(x_at, builder.mul(I64(r), d))) for r in range(n_rows)]
        sums = [cgutils.alloca_once(builder, code.vector(element)) for _ in range(n_rows)]
        for one in sums:
            builder.store(code.constant(element, 0.0), one)
        with cgutils.for_range(builder, d) as loop:
            weights = code.load(code.pointer(4, builder.add(w_at, builder.mul(loop.index, I64(code.length)))), element)
            for row, one in zip(rows, sums, strict=True):
                x = code.spread(code.converted(builder.load(builder.gep(row, [loop.index])), 1, element))
                builder.store(code.multiply_add(x, weights, builder.load(one)), one)
        b = code.load(code.pointer(6, b_at), double)
        for r, one in enumerate(sums):
            z = builder.load(one)
            if isinstance(element, ir.FloatType):
                z = builder.fptrunc(builder.fadd(builder.fpext(z, code.vector(double)), b), code.vector(element))
            else:
                z = builder.fadd(z, b)
            code.store(z, code.pointer(8, builder.add(z_at, builder.mul(I64(r), z_stride))))

    return operation(types.void, generate, 10)


# (vector, X, x_at, d, W, w_at, b, b_at, Z, z_at, z_stride): of successive rows of X, which has d columns, the logits
# z = x @ W + b, with W of shape (d, length) and b float64, added as such: both may be large and nearly cancel.
logits_of_row = _logits(1)
logits_of_rows = _logits(AT_ONCE)


def _outer(n_columns: int) -> Any:
    def generate(code: VectorCode) -> None:
        _, _, x_at, d, m, _, z_at, z_stride, _, sum_at = code.arguments
        builder, element = code.builder, code.element_type(5)
        places = [code.pointer(8, builder.add(sum_at, I64(j * code.length))) for j in range(n_columns)]
        sums = [cgutils.alloca_once(builder, code.vector(element)) for _ in range(n_columns)]
        for place, one in zip(places, sums, strict=True):
            builder.store(code.load(place, element), one)
        with cgutils.for_range(builder, m) as loop:
            dz = code.load(code.pointer(5, builder.add(z_at, builder.mul(loop.index, z_stride))), element)
            row = code.pointer(1, builder.add(x_at, builder.mul(loop.index, d)))
            for j, one in enumerate(sums):
                x = code.spread(code.converted(builder.load(builder.gep(row, [I64(j)])), 1, element))
                builder.store(code.multiply_add(x, dz, builder.load(one)), one)
        for place, one in zip(places, sums, strict=True):
            code.store(builder.load(one), place)

    return operation(types.void, generate, 9)


# (vector, X, x_at, d, m, dZ, z_at, z_stride, sums, sum_at): over m successive rows, add x_j dz for one column j, or for
# AT_ONCE successive ones.
add_outer_product = _outer(1)
add_outer_products = _outer(AT_ONCE)


def _short_logits(code: VectorCode) -> None:
    _, _, x_at, d, _, padded, b, _, z_at = code.arguments
    builder, element, L, double = code.builder, code.element_type(1), code.length, ir.DoubleType()
    rows = [code.pointer(1, builder.add(x_at, builder.mul(I64(r), d))) for r in range(L)]
    sums = [cgutils.alloca_once(builder, code.vector(element)) for _ in range(L)]
    for one in sums:
        builder.store(code.constant(element, 0.0), one)
    with cgutils.for_range(builder, builder.udiv(padded, I64(L))) as loop:
        at = builder.mul(loop.index, I64(L))
        weights = code.load(code.pointer(4, at), element)
        for row, one in zip(rows, sums, strict=True):
            x = code.load(builder.gep(row, [at]), element)
            builder.store(code.multiply_add(x, weights, builder.load(one)), one)
    z = _crosswise(code, [builder.load(one) for one in sums])
    if isinstance(element, ir.FloatType):
        wide = builder.fadd(builder.fpext(z, code.vector(double)), code.spread(b))
        z = builder.fptrunc(wide, code.vector(element))
    else:
        z = builder.fadd(z, code.spread(b))
    code.store(z, code.pointer(7, z_at))


def _crosswise(code: VectorCode, vectors: list[Any]) -> Any:
    """Add up the elements of each of L vectors of length L; the sums, in the order of the vectors, in one vector.

    Rows r and r + n / 2 share a vector after the first step, a half each; then r and r + n / 4 a quarter each, ...
    """
    L, block = code.length, code.length
    while len(vectors) > 1:
        half, n = block // 2, len(vectors) // 2
        low = [k + base + (L if second else 0) for base in range(0, L, block) for second in (0, 1) for k in range(half)]
        joined = []
        for a, b in zip(vectors[:n], vectors[n:], strict=True):
            parts = [
                code.builder.shuffle_vector(
                    a, b, ir.Constant(ir.VectorType(ir.IntType(32), L), [ir.IntType(32)(k + by) for k in low])
                )
                for by in (0, half)
            ]
            joined.append(code.builder.fadd(*parts))
        vectors, block = joined, half
    return vectors[0]


# (vector, X, x_at, d, w, padded, b, z, z_at): of as many successive rows of X, of d columns, as a vector has elements,
# the logits z = x @ w + b. ``w`` is padded with zeros to ``padded`` elements, whole vectors; ``b`` is float64.
logits_of_short_rows = operation(types.void, _short_logits, 8)


def _add_rows(code: VectorCode) -> None:
    _, _, x_at, d, m, _, _, sum_at = code.arguments
    builder, element = code.builder, code.element_type(1)
    place = code.pointer(6, sum_at)
    # Four sums, because an addition takes four clocks, for which the next one to the same sum would wait.
    sums = [cgutils.alloca_once(builder, code.vector(element)) for _ in range(4)]
    for one in sums:
        builder.store(code.constant(element, 0.0), one)
    with cgutils.for_range(builder, builder.udiv(m, I64(len(sums)))) as loop:
        first = builder.mul(loop.index, I64(len(sums)))
        for r, one in enumerate(sums):
            row = builder.add(first, I64(r))
            dz = code.spread(builder.load(code.pointer(5, row)))
            x = code.load(code.pointer(1, builder.add(x_at, builder.mul(row, d))), element)
            builder.store(code.multiply_add(x, dz, builder.load(one)), one)
    a, b, c, d_ = (builder.load(one) for one in sums)
    total = builder.fadd(builder.fadd(a, b), builder.fadd(c, d_))
    code.store(builder.fadd(code.load(place, element), total), place)


# (vector, X, x_at, d, m, dz, sums, sum_at): add dz x of m successive rows, a multiple of 4, to one vector of sums.
add_rows = operation(types.void, _add_rows, 7)


def _largest(code: VectorCode) -> Any:
    element = code.element_type(1)
    z = code.load(code.pointer(1, code.arguments[2]), element)
    builder = code.builder
    return code.fold(z, lambda a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))


def _subtract(code: VectorCode) -> None:
    place, element = code.pointer(1, code.arguments[2]), code.element_type(1)
    code.store(code.builder.fsub(code.load(place, element), code.spread(code.arguments[3])), place)


def _is_one(code: VectorCode) -> tuple[Any, Any]:
    element = code.element_type(1)
    e = code.load(code.pointer(1, code.arguments[2]), element)
    return e, code.builder.fcmp_ordered("==", e, code.constant(element, 1.0))


def _sum_of_smaller(code: VectorCode) -> Any:
    e, is_one = _is_one(code)
    builder = code.builder
    return code.fold(builder.select(is_one, code.constant(code.element_type(1), 0.0), e), builder.fadd)


def _number_of_ones(code: VectorCode) -> Any:
    bits = code.builder.bitcast(_is_one(code)[1], ir.IntType(code.length))
    return code.builder.zext(code.builder.ctpop(bits), I64)


def _scale(code: VectorCode) -> None:
    place, element, builder = code.pointer(1, code.arguments[2]), code.element_type(1), code.builder
    e = code.load(place, element)
    least = code.constant(element, 1e-30 if isinstance(element, ir.FloatType) else 1e-290)
    scaled = builder.fmul(e, code.spread(code.arguments[3]))
    code.store(builder.select(builder.fcmp_ordered("<", e, least), code.constant(element, 0.0), scaled), place)


def _product(code: VectorCode) -> None:
    _, _, at, by, _, out_at = code.arguments
    factor = code.spread(code.builder.load(code.pointer(1, by)))
    product = code.builder.fmul(code.load(code.pointer(1, at), code.element_type(1)), factor)
    code.store(product, code.pointer(4, out_at))


def _multiple(code: VectorCode) -> None:
    _, _, at, factor, _, out_at = code.arguments
    row = code.load(code.pointer(1, at), code.element_type(1))
    code.store(code.builder.fmul(row, code.spread(factor)), code.pointer(4, out_at))


def _convert(code: VectorCode) -> None:
    _, _, at, _, by, _, out_at = code.arguments
    builder, given, element = code.builder, code.element_type(1), code.element_type(5)
    row = builder.fmul(code.load(code.pointer(1, at), given), code.load(code.pointer(3, by), given))
    code.store(row if given == element else builder.fptrunc(row, code.vector(element)), code.pointer(5, out_at))


def _prefetch(code: VectorCode) -> None:
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, *[ir.IntType(32)] * 3])
    function = cgutils.get_or_insert_function(code.builder.module, kind, "llvm.prefetch.p0")
    place = code.builder.bitcast(code.pointer(1, code.arguments[2]), byte)
    code.builder.call(function, [place, *(ir.IntType(32)(k) for k in (0, 2, 1))])  # to read, second level, data


def _add(code: VectorCode) -> None:
    place, double = code.pointer(1, code.arguments[2]), ir.DoubleType()
    value = code.load(code.pointer(3, code.arguments[4]), code.element_type(3))
    if isinstance(code.element_type(3), ir.FloatType):
        value = code.builder.fpext(value, code.vector(double))
    code.store(code.builder.fadd(code.load(place, double), value), place)


def _dot(code: VectorCode) -> Any:
    _, _, a_at, _, b_at = code.arguments
    a, b = (
        code.load(code.pointer(1, a_at), code.element_type(1)),
        code.load(code.pointer(3, b_at), code.element_type(3)),
    )
    return code.fold(code.builder.fmul(a, b), code.builder.fadd)


def _squares(code: VectorCode) -> Any:
    _, _, at, n_vectors = code.arguments
    total, element = code.constant(code.element_type(1), 0.0), code.element_type(1)
    kept = cgutils.alloca_once_value(code.builder, total)
    with cgutils.for_range(code.builder, n_vectors) as loop:
        place = code.builder.add(at, code.builder.mul(loop.index, I64(code.length)))
        row = code.load(code.pointer(1, place), element)
        code.builder.store(code.multiply_add(row, row, code.builder.load(kept)), kept)
    return code.fold(code.builder.load(kept), code.builder.fadd)


def _weigh(code: VectorCode) -> None:
    _, _, t_at, _, p_at, factor = code.arguments
    place = code.pointer(1, t_at)
    p = code.builder.fmul(code.load(code.pointer(3, p_at), code.element_type(3)), code.spread(factor))
    code.store(code.builder.fmul(code.load(place, code.element_type(1)), p), place)


# (vector, Z, at): the largest element.
largest_of = operation(None, _largest, 2)
# (vector, Z, at, value): subtract ``value`` from every element.
subtract = operation(types.void, _subtract, 3)
# (vector, E, at): the sum of the elements that are not 1, and the number of those that are.
sum_of_smaller = operation(None, _sum_of_smaller, 2)
number_of_ones = operation(types.int64, _number_of_ones, 2)
# (vector, E, at, factor): multiply. Elements below 1e-30 in float32, 1e-290 in float64, become zero: their products
# could be subnormal numbers, with which processors compute many times slower.
scale = operation(types.void, _scale, 3)
# (vector, X, at, by, out, out_at): a vector of X times the element ``by`` of X.
multiply_into = operation(types.void, _product, 5)
# (vector, X, at, factor, out, out_at): a vector of X times a factor of its dtype.
multiple_into = operation(types.void, _multiple, 5)
# (vector, X, at, scale, by, out, out_at): a vector of X times one of ``scale``, in the dtype of ``out``.
converted_into = operation(types.void, _convert, 6)
# (vector, X, at): ask for the cache line of an element, which may be beyond the array, into the second-level cache.
prefetch_behind = operation(types.void, _prefetch, 2)
# (vector, sums, sum_at, Z, at): add a vector to float64 sums.
add_vector = operation(types.void, _add, 4)
# (vector, A, a_at, B, b_at): the sum of the products of their elements.
dot_of = operation(None, _dot, 4)
# (vector, A, at, n_vectors): the sum of the squares of their elements.
squares_of = operation(None, _squares, 3)
# (vector, T, t_at, P, p_at, factor): multiply every element of T by that of P and by ``factor``.
weigh = operation(types.void, _weigh, 5)
