"""Products of the rows of a block for their information, compiled: in tiles that stay in registers."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.compiled import Loop
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector, HostArray, IntVector
from gpu_logreg.mathematics.whitening import Whitening
from gpu_logreg.passes.cpu.loops.sizes import AT_ONCE, REGISTER_BYTES
from gpu_logreg.passes.sums import Groups, RowsAtPoint

__all__ = ["CompiledProducts", "supports_products"]

_add_grams = Loop("gpu_logreg.passes.cpu.loops.grams", "add_grams")
_add_information = Loop("gpu_logreg.passes.cpu.loops.information", "add_information")
_sum_squares = Loop("gpu_logreg.passes.cpu.loops.grams", "sum_squares")
_add_whitened_gram = Loop("gpu_logreg.passes.cpu.loops.grams", "add_whitened_gram")
_sum_squares_of_columns = Loop("gpu_logreg.passes.cpu.loops.grams", "sum_squares_of_columns")
_add_to_groups = Loop("gpu_logreg.passes.cpu.loops.grams", "add_to_groups")

VECTOR, SINGLE = (0,) * (REGISTER_BYTES // 8), (0,) * (REGISTER_BYTES // 4)
"""Vectors of a register, of float64 and of float32."""

LARGEST = 256
"""Most parameters: with more, the sums of a block leave the cache, and BLAS gains."""


def supports_products(n_params: int) -> bool:
    """Whether the compiled products are faster than BLAS: with AVX-512, as `tiles.fits_tiles` tells."""
    return AT_ONCE == 8 and n_params <= LARGEST


LARGEST_LEVERAGE = 0.1
"""Largest leverage of a row that is taken in float32: ``1 / (1 - h)`` then has the errors of ``h``, or less."""


def _width(p: int, vector: tuple[int, ...] = VECTOR) -> int:
    """Columns of a copy: whole vectors, and an odd number of cache lines, so that rows do not share their places."""
    line = len(vector) * 64 // REGISTER_BYTES
    return (-(-p // line) | 1) * line


class CompiledProducts:
    """The methods of `gpu_logreg.passes.reference.row_products.RowProducts` on the host."""

    whitens = True

    def __init__(self, scale: Float64Vector | None = None) -> None:
        self._scale = scale

    def in_single(self, scale: Float64Vector) -> CompiledProducts:
        """These with `grams` of products in float32, of columns times ``scale``: powers of two."""
        return CompiledProducts(scale)

    def grams(self, X: HostArray, factors: list[Float64Vector], ones: bool) -> list[Float64Matrix]:
        """``sum_i f_i u_i u_i.T`` for each array of factors ``f``; its lower triangle."""
        of_rows = np.stack(factors)
        p, scale, vector, like = self._how(X.shape[1] + ones)
        largest = np.ones(len(of_rows))
        if self._scale is not None:  # the factors may be too large for float32
            largest = of_rows.max(axis=1, initial=0.0)
            largest[~(largest > 0.0)] = 1.0
            of_rows /= largest[:, None]
        sums = np.zeros((len(of_rows), _width(p, vector), _width(p, vector)))
        _add_grams(vector, np.ascontiguousarray(X), scale, of_rows, ones, like, sums)
        if self._scale is None:
            return list(sums[:, :p, :p])
        return list(sums[:, :p, :p] * (largest[:, None, None] / np.outer(scale, scale)))

    def at_point(
        self,
        X: HostArray,
        y: HostArray,
        weights: tuple[Float64Vector, Float64Vector],
        phi: Float64Vector,
        ones: bool,
        with_outer: bool,
    ) -> RowsAtPoint | None:
        """All sums of the rows of two classes, of weights ``a`` and class weights ``c``, in one read."""
        a, c = weights
        p, scale, vector, like = self._how(X.shape[1] + ones)
        largest = np.array([a.max(initial=0.0), (a * c).max(initial=0.0)])
        largest[~(largest > 0.0)] = 1.0  # the factors may be too large for float32
        kept, grad, n, width = np.empty((3, len(X))), np.zeros(p), 1 + with_outer, _width(p, vector)
        sums = np.zeros((n, width, width))
        loss = _add_information(
            vector, np.ascontiguousarray(X), y.astype(np.uint8, copy=False), a, c, phi, scale, ones, largest, like,
            kept, grad, sums,
        )  # fmt: skip
        units = largest[:n, None, None] / np.outer(scale, scale)
        return RowsAtPoint(float(loss), kept, grad, list(sums[:, :p, :p] * units))

    def _how(self, p: int) -> tuple[int, Float64Vector, tuple[int, ...], HostArray]:
        """Parameters, what columns are multiplied by, the vector, and an array of the dtype of products."""
        if self._scale is None:
            return p, np.ones(p), VECTOR, np.empty(0)
        return p, self._scale, SINGLE, np.empty(0, np.float32)

    def squares(self, X: HostArray, root: Float64Matrix, ones: bool) -> Float64Vector:
        """``|root.T u|**2`` of every row, with a lower triangle ``root``."""
        p, out = X.shape[1] + ones, np.empty(len(X))
        padded = np.zeros((_width(p), _width(p)))
        padded[:p, :p] = root
        _sum_squares(VECTOR, np.ascontiguousarray(X), np.ones(p), ones, padded, out)
        return out

    def sizes(self, X: HostArray, ones: bool) -> Float64Vector:
        """``|scale u|**2`` of every row; zeros where products are in float64."""
        out = np.zeros(len(X))
        if self._scale is not None:
            _sum_squares_of_columns(np.ascontiguousarray(X), self._scale, ones, out)
        return out

    def whitened_gram(
        self,
        X: HostArray,
        white: Whitening,
        curvature: Float64Vector,
        factors: Float64Vector,
        is_half: bool,
        ones: bool,
    ) -> tuple[Float64Matrix, IntVector]:
        """``sum_i f_i / (1 - h_i)**(2 a) t_i t_i.T``, in float32; its lower triangle. Rows of a large ``h`` are left

        out, and their numbers are returned.
        """
        p, leverages, largest = X.shape[1] + ones, np.empty(len(X)), float(factors.max(initial=0.0))
        width = _width(p, SINGLE)
        root, sums = np.zeros((width, width), np.float32), np.zeros((width, width))
        root[:p, :p] = white.root
        shares = factors / largest if largest > 0.0 else factors  # the factors of rows may be too large for float32
        _add_whitened_gram(
            SINGLE, np.ascontiguousarray(X), white.scale, ones, root, curvature / white.total, shares, is_half,
            LARGEST_LEVERAGE, leverages, sums,
        )  # fmt: skip
        return sums[:p, :p] * (largest or 1.0), np.flatnonzero(~(leverages <= LARGEST_LEVERAGE))

    def by_group(self, codes: HostArray, X: HostArray, residuals: HostArray, s: HostArray, ones: bool) -> Any:
        """The rows of a block, for `add_to_groups`."""
        return codes, np.ascontiguousarray(X), np.ascontiguousarray(residuals), s, ones

    def add_to_groups(self, groups: Groups, part: Any) -> None:
        """Add the rows that `by_group` has returned to the sums of their groups, one after another."""
        _add_to_groups(*part, groups.grad_sums, groups.weights)
