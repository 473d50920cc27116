"""Products of the rows of a block for their information, compiled: in tiles that stay in registers; in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_logreg.arrays.compiled import Loop
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector, HostArray
from gpu_logreg.passes.cpu.loops.sizes import AT_ONCE, REGISTER_BYTES
from gpu_logreg.passes.sums import Groups

__all__ = ["CompiledProducts", "supports_products"]

_add_grams = Loop("gpu_logreg.passes.cpu.loops.grams", "add_grams")
_sum_squares = Loop("gpu_logreg.passes.cpu.loops.grams", "sum_squares")
_add_to_groups = Loop("gpu_logreg.passes.cpu.loops.grams", "add_to_groups")

VECTOR = (0,) * (REGISTER_BYTES // 8)

LARGEST = 256
"""Most parameters: with more, the sums of a block leave the cache, and BLAS gains."""


def supports_products(n_params: int) -> bool:
    """Whether the compiled products are faster than BLAS: with AVX-512, as `tiles.fits_tiles` tells."""
    return AT_ONCE == 8 and n_params <= LARGEST


def _width(p: int) -> int:
    """Columns of a copy: whole tiles, and an odd number of cache lines, so that rows do not share their places."""
    tile = 2 * len(VECTOR)
    return -(-p // tile) * tile + 64 // 8


class CompiledProducts:
    """The methods of `gpu_logreg.passes.reference.row_products.RowProducts` on the host."""

    def grams(self, X: HostArray, factors: list[Float64Vector], ones: bool) -> list[Float64Matrix]:
        """``sum_i f_i u_i u_i.T`` for each array of factors ``f``; its lower triangle."""
        p = X.shape[1] + ones
        sums = np.zeros((len(factors), _width(p), _width(p)))
        _add_grams(VECTOR, np.ascontiguousarray(X), np.ascontiguousarray(np.stack(factors)), ones, sums)
        return list(sums[:, :p, :p])

    def squares(self, X: HostArray, root: Float64Matrix, ones: bool) -> Float64Vector:
        """``|root.T u|**2`` of every row, with a lower triangle ``root``."""
        p, out = X.shape[1] + ones, np.empty(len(X))
        padded = np.zeros((_width(p), _width(p)))
        padded[:p, :p] = root
        _sum_squares(VECTOR, np.ascontiguousarray(X), ones, padded, out)
        return out

    def by_group(self, codes: HostArray, X: HostArray, residuals: HostArray, s: HostArray, ones: bool) -> Any:
        """The rows of a block, for `add_to_groups`."""
        return codes, np.ascontiguousarray(X), np.ascontiguousarray(residuals), s, ones

    def add_to_groups(self, groups: Groups, part: Any) -> None:
        """Add the rows that `by_group` has returned to the sums of their groups, one after another."""
        _add_to_groups(*part, groups.grad_sums, groups.weights)
