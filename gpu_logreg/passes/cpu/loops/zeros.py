"""Products with dense rows many of whose elements are zero: pixels, counts, columns of zeros and ones.

The elements that are not zero are marked by bits, 64 to a word: for ``X @ W`` the elements of a row, for ``X.T @ dz``
those of a column. For every bit of a word both products add the multiple of a row of ``W`` or of ``dz`` to a row of the
result, which stays in vector registers meanwhile. The 64 rows that a word may need stay in the first-level cache, while
the same word of all rows, or of all columns, is worked on.

Layout of ``bits`` (int64) for m rows of d columns: word g of row i at ``g m + i`` holds columns 64 g to 64 g + 63;
behind these, word g of column j at ``g stride + j`` holds rows 64 g to 64 g + 63. ``stride`` is d up to whole vectors.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.elementary import smaller
from gpu_logreg.passes.cpu.loops.vector_code import I64, VectorCode, operation

__all__ = ["MARGIN_BYTES", "TILE", "bits_length", "columns_times_dz", "mark_nonzeros", "rows_times_weights"]

_OPTIONS: dict[str, Any] = {"fastmath": LIBERTIES | {"reassoc", "arcp"}, "counts": True}

_WORD = 64
TILE = 8
"""Vectors of a row of the result that are in registers at once: additions to fewer would wait for each other."""

MARGIN_BYTES = TILE * 64
"""Bytes behind an array that are read, and not used, where its rows are no whole number of tiles."""


def bits_length(m: int, d: int) -> int:
    """Length of ``bits`` for m rows of d columns."""
    return -(-d // _WORD) * m + -(-m // _WORD) * (d + 15)


def _nonzero_bits(code: VectorCode) -> Any:
    _, _, x_at = code.arguments
    builder, element = code.builder, code.element_type(1)
    word = I64(0)
    for first in range(0, _WORD, code.length):
        x = code.load(code.pointer(1, builder.add(x_at, I64(first))), element)
        some = builder.fcmp_unordered("!=", x, code.constant(element, 0.0))
        part = builder.zext(builder.bitcast(some, ir.IntType(code.length)), I64(0).type)
        word = builder.or_(word, builder.shl(part, I64(first)))
    return word


# (vector, X, x_at): bits of 64 successive elements, which are set where the element is not zero (NaN is not).
_bits_of_row = operation(types.int64, _nonzero_bits, 2)


def _column_bits(code: VectorCode) -> None:
    _, _, x_at, d, m, _, at = code.arguments
    builder, element = code.builder, code.element_type(1)
    words = ir.VectorType(ir.IntType(64), code.length)
    none = ir.Constant(words, [I64(0)] * code.length)
    sums = cgutils.alloca_once_value(builder, none)
    with cgutils.for_range(builder, m) as loop:
        x = code.load(code.pointer(1, builder.add(x_at, builder.mul(loop.index, d))), element)
        some = builder.fcmp_unordered("!=", x, code.constant(element, 0.0))
        bit = builder.select(some, code.spread(builder.shl(I64(1), loop.index)), none)
        builder.store(builder.or_(builder.load(sums), bit), sums)
    target = builder.bitcast(code.pointer(5, at), words.as_pointer())
    builder.store(builder.load(sums), target).align = 8


# (vector, X, x_at, d, m, bits, at): a word for each of as many columns as a vector has elements, of m <= 64 rows.
_bits_of_columns = operation(types.void, _column_bits, 6)


def _stored(code: VectorCode, k: int, place: Any, sums: list[Any], width: Any) -> None:
    """Store so many elements of the sums as the row has."""
    builder, element = code.builder, code.element_type(k)
    numbers = ir.VectorType(ir.IntType(64), code.length)
    name = f"llvm.masked.store.v{code.length}f{32 if isinstance(element, ir.FloatType) else 64}.p0"
    for v, one in enumerate(sums):
        value, target = builder.load(one), builder.gep(place, [I64(v * code.length)])
        with builder.if_else(builder.icmp_signed(">=", width, I64((v + 1) * code.length))) as (whole, part):
            with whole:
                code.store(value, target)
            with part, builder.if_then(builder.icmp_signed(">", width, I64(v * code.length))):
                target = builder.bitcast(target, value.type.as_pointer())
                here = ir.Constant(numbers, [I64(v * code.length + e) for e in range(code.length)])
                inside = builder.icmp_signed("<", here, code.spread(width))
                kinds = [value.type, target.type, ir.IntType(32), inside.type]
                store = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), kinds), name)
                builder.call(store, [value, target, ir.IntType(32)(4), inside])


def _products(n_vectors: int) -> Any:
    def generate(code: VectorCode) -> None:
        _, word, _, x_at, x_step, _, source_at, stride, _, target_at, width, is_first = code.arguments
        builder, element = code.builder, code.element_type(2)
        places = [I64(v * code.length) for v in range(n_vectors)]
        target = code.pointer(8, target_at)
        sums = [cgutils.alloca_once(builder, code.vector(element)) for _ in places]
        with builder.if_else(builder.icmp_signed("!=", is_first, I64(0))) as (new, old):
            with new:
                for one in sums:
                    builder.store(code.constant(element, 0.0), one)
            with old:
                for one, place in zip(sums, places, strict=True):
                    builder.store(code.load(builder.gep(target, [place]), element), one)
        x, source = code.pointer(2, x_at), code.pointer(5, source_at)
        left = cgutils.alloca_once_value(builder, word)
        body, done = builder.append_basic_block("bit"), builder.append_basic_block("done")
        builder.cbranch(builder.icmp_signed("!=", word, I64(0)), body, done)
        builder.position_at_end(body)
        bits = builder.load(left)
        number = builder.cttz(bits, ir.IntType(1)(1))
        factor = code.spread(builder.load(builder.gep(x, [builder.mul(number, x_step)])))
        row = builder.gep(source, [builder.mul(number, stride)])
        for one, place in zip(sums, places, strict=True):
            value = code.load(builder.gep(row, [place]), element)
            builder.store(code.multiply_add(factor, value, builder.load(one)), one)
        bits = builder.and_(bits, builder.sub(bits, I64(1)))
        builder.store(bits, left)
        builder.cbranch(builder.icmp_signed("!=", bits, I64(0)), body, done)
        builder.position_at_end(done)
        _stored(code, 8, target, sums, width)

    return operation(types.void, generate, 11)


# (vector, word, X, x_at, x_step, source, source_at, stride, target, target_at, width, is_first): for every bit b of
# ``word``, add X[x_at + b x_step] times the row at source_at + b stride of ``source`` to that at ``target_at`` of
# ``target``, or to zeros where it ``is_first``. A row has ``width`` elements, of which a tile is computed.
_add_products = _products(TILE)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def mark_nonzeros(vector: Any, m: Any, d: Any, work: Any, bits: Any) -> None:
    """Fill ``bits`` for the rows that ``work`` begins with."""
    n_words = (d + 63) // 64
    last = (1 << (d - 64 * (n_words - 1))) - 1 if d % 64 else -1  # without the bits behind the last column
    for i in range(m):
        for g in range(n_words):
            word = _bits_of_row(vector, work, i * d + 64 * g)
            bits[g * m + i] = word & last if g == n_words - 1 else word
    length = len(vector)
    stride = (d + length - 1) // length * length
    for first in range(0, m, 64):
        for j in range(0, d, length):
            at = n_words * m + first // 64 * stride + j
            _bits_of_columns(vector, work, first * d + j, d, smaller(64, m - first), bits, at)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _add_lines(
    vector: Any, bits: Any, words_at: Any, n_lines: Any, work: Any, x_at: Any, line_step: Any, x_step: Any,
    source: Any, source_at: Any, h: Any, target: Any, target_at: Any, is_first: Any,
) -> None:  # fmt: skip
    """One word of each of ``n_lines`` lines, which are rows or columns."""
    tile = TILE * len(vector)
    for k in range(0, h, tile):
        for i in range(n_lines):
            word = bits[words_at + i]
            if word != 0 or is_first != 0:
                _add_products(
                    vector, word, work, x_at + i * line_step, x_step, source, source_at + k, h, target,
                    target_at + i * h + k, h - k, is_first,
                )  # fmt: skip


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def rows_times_weights(vector: Any, m: Any, d: Any, h: Any, work: Any, bits: Any, params: Any, out_at: Any) -> None:
    """``X @ W`` into ``work`` from ``out_at`` on: ``work`` begins with ``X``, and ``params`` with ``W`` (d, h)."""
    for g in range((d + 63) // 64):
        _add_lines(vector, bits, g * m, m, work, 64 * g, d, 1, params, 64 * g * h, h, work, out_at, g == 0)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def columns_times_dz(vector: Any, m: Any, d: Any, h: Any, work: Any, bits: Any, dz_at: Any, grad: Any) -> None:
    """``X.T @ dz`` into the beginning of ``grad``: ``work`` begins with ``X``, and has ``dz`` (m, h) at ``dz_at``."""
    length = len(vector)
    stride = (d + length - 1) // length * length
    words_at = (d + 63) // 64 * m
    for g in range((m + 63) // 64):
        x_at, source_at = 64 * g * d, dz_at + 64 * g * h
        _add_lines(vector, bits, words_at + g * stride, d, work, x_at, 1, d, work, source_at, h, grad, 0, g == 0)
