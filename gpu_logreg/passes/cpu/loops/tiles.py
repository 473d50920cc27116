"""Products of dense matrices with a hundred columns or so, a tile of the result at a time in vector registers.

BLAS first copies both matrices into an order that suits it, which pays where they are used many times. Here one matrix
is read where it is: 64 of its rows fit into the first-level cache while they are wanted for all tiles.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.elementary import smaller
from gpu_logreg.passes.cpu.loops.sizes import AT_ONCE
from gpu_logreg.passes.cpu.loops.vector_code import I64, VectorCode, operation

__all__ = ["HIGH_LINES", "HIGH_VECTORS", "fits_tiles", "high_tile", "multiply_in_tiles"]

_OPTIONS: dict[str, Any] = {"fastmath": LIBERTIES | {"reassoc", "arcp"}, "counts": True}

LINES, VECTORS = 4, 4
"""Lines of a tile, and vectors of each. Their sums take 16 registers, of 32 with AVX-512."""

HIGH_LINES, HIGH_VECTORS = 8, 3
"""The same of tiles for half of a symmetric product: their sums take 24 registers, of 32."""

_TERMS = 64
"""Products that are added before the sum is added to the result; they decide the order of additions, and so the bits.

So many rows of two tiles are 32 KB.
"""


def _tile(n_lines: int, n_vectors: int = VECTORS) -> Any:
    def generate(code: VectorCode) -> None:
        _, n_terms, _, x_at, line_step, term_step, _, source_at, stride, _, target_at, is_first = code.arguments
        builder, element = code.builder, code.element_type(2)
        places = [I64(v * code.length) for v in range(n_vectors)]
        sums = [[cgutils.alloca_once(builder, code.vector(element)) for _ in places] for _ in range(n_lines)]
        for one in (one for of_line in sums for one in of_line):
            builder.store(code.constant(element, 0.0), one)
        x, source = code.pointer(2, x_at), code.pointer(6, source_at)
        steps = [builder.mul(I64(r), line_step) for r in range(n_lines)]
        with cgutils.for_range(builder, n_terms) as loop:
            row = builder.gep(source, [builder.mul(loop.index, stride)])
            at = builder.mul(loop.index, term_step)
            values = [code.load(builder.gep(row, [place]), element) for place in places]
            for step, of_line in zip(steps, sums, strict=True):
                factor = code.spread(builder.load(builder.gep(x, [builder.add(at, step)])))
                for value, one in zip(values, of_line, strict=True):
                    builder.store(code.multiply_add(factor, value, builder.load(one)), one)
        target, wider = code.pointer(9, target_at), code.element_type(9)
        where = [
            (one, builder.gep(target, [builder.add(builder.mul(I64(r), stride), place)]))
            for r, of_line in enumerate(sums)
            for one, place in zip(of_line, places, strict=True)
        ]
        with builder.if_else(builder.icmp_signed("!=", is_first, I64(0))) as (new, old):
            with new:
                for one, pointer in where if wider == element else ():
                    code.store(builder.load(one), pointer)
            with old:
                for one, pointer in where:
                    found = builder.load(one)
                    if wider != element:
                        found = builder.fpext(found, code.vector(wider))
                    code.store(builder.fadd(code.load(pointer, wider), found), pointer)

    return operation(types.void, generate, 11)


# (vector, n_terms, X, x_at, line_step, term_step, source, source_at, stride, target, target_at, is_first): of each line
# of a tile the sum of X[x_at + line line_step + term term_step] times the row ``term`` of ``source``, added to a row of
# ``target``, or in its place where it ``is_first``. Rows of both are ``stride`` apart. A sum in float32 may be added to
# one in float64, and is then never the first.
_tile_of_one, _tile_of_many = _tile(1), _tile(LINES)
_high_tile_of_one, _high_tile_of_two, _high_tile_of_three = (_tile(HIGH_LINES, n) for n in (1, 2, HIGH_VECTORS))


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def high_tile(
    vector: Any, n_vectors: Any, n_terms: Any, X: Any, x_at: Any, line_step: Any, term_step: Any, source: Any,
    source_at: Any, stride: Any, target: Any, target_at: Any, is_first: Any,
) -> None:  # fmt: skip
    """A tile of `HIGH_LINES` lines and up to `HIGH_VECTORS` vectors; the arguments after these are those above."""
    if n_vectors >= HIGH_VECTORS:
        _high_tile_of_three(
            vector, n_terms, X, x_at, line_step, term_step, source, source_at, stride, target, target_at, is_first
        )
    elif n_vectors == 2:
        _high_tile_of_two(
            vector, n_terms, X, x_at, line_step, term_step, source, source_at, stride, target, target_at, is_first
        )
    else:
        _high_tile_of_one(
            vector, n_terms, X, x_at, line_step, term_step, source, source_at, stride, target, target_at, is_first
        )


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def fits_tiles(vector: Any, h: Any) -> Any:
    """Whether products with ``h`` columns are faster in tiles than by BLAS: one or two whole ones, with AVX-512.

    Measured against OpenBLAS on one thread; from four tiles on they are not, and with fewer registers nothing was.
    """
    tile = VECTORS * len(vector)
    return AT_ONCE == 8 and (h == tile or h == 2 * tile)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def multiply_in_tiles(
    vector: Any, n_lines: Any, n_terms: Any, h: Any, X: Any, x_at: Any, line_step: Any, term_step: Any, source: Any,
    source_at: Any, target: Any, target_at: Any,
) -> None:  # fmt: skip
    """``A @ B`` (n_lines, h) into ``target``: ``B`` (n_terms, h) is in ``source``, ``A`` in ``X`` with two strides."""
    for first in range(0, n_terms, _TERMS):
        n = smaller(_TERMS, n_terms - first)
        for k in range(0, h, VECTORS * len(vector)):
            x, row, column = x_at + first * term_step, source_at + first * h + k, target_at + k
            line = 0
            while line + LINES <= n_lines:
                _tile_of_many(
                    vector, n, X, x + line * line_step, line_step, term_step, source, row, h, target,
                    column + line * h, first == 0,
                )  # fmt: skip
                line += LINES
            while line < n_lines:
                _tile_of_one(
                    vector, n, X, x + line * line_step, line_step, term_step, source, row, h, target,
                    column + line * h, first == 0,
                )  # fmt: skip
                line += 1
