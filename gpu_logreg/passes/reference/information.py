"""What standard errors are made of: the information of the rows, their gradients multiplied by themselves; in float64.

The logits are those of contrasts with the first class, so that K classes have ``K - 1`` and the information has no
direction without curvature. With ``u`` a row in standardised columns (and 1 for the intercept), its probabilities
``p``, residuals ``r_k = (y == k) - p_k`` and curvature ``V = diag(p) - p p.T``, all of the classes 1 to ``K - 1``, the
weight ``s`` of the row and ``c`` of its class::

    information = sum_i s_i c_i V_i kron u_i u_i.T
    grad_sum    = sum_i s_i c_i r_i kron u_i                      of the log-likelihood
    outer       = sum_i s_i c_i**2 (e_i kron u_i) (e_i kron u_i).T

A row of weight ``s`` is ``s`` rows, which is why ``s`` is not squared; ``c`` multiplies the gradient of each of them.
``e`` is ``r``, or ``r`` corrected by the leverage of the row: see `gpu_logreg.passes.reference.leverage.Correction`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from gpu_logreg.arrays.block_sizes import INFORMATION, READ_ONCE, BlockSize
from gpu_logreg.arrays.blocks import row_blocks, sum_in_order
from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector, HostArray
from gpu_logreg.passes.reference.information_rows import (
    SAMPLED_ROWS,
    InformationSums,
    Point,
    block_sums,
    rows_at_point,
)
from gpu_logreg.passes.reference.leverage import Correction, Leverage, corrected_residuals
from gpu_logreg.passes.reference.row_products import PLAIN, outer_products, whole
from gpu_logreg.passes.sums import Groups, ProductsOfRows
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.rows.streamed import Dataset

__all__ = ["InformationSums", "Point", "determinant_gradient", "information_sums", "outer_sums", "sampled_information"]


def information_sums(
    data: Dataset,
    point: Point,
    with_outer: bool = False,
    groups: Groups | None = None,
    products: ProductsOfRows = PLAIN,
    kept: HostArray | None = None,
) -> InformationSums:
    """All sums of the module, of residuals that are not corrected; one read.

    Parameters
    ----------
    data : Dataset
    point : Point
    with_outer : bool
        Whether ``outer`` is summed too.
    groups : Groups or None
        Whose sums are added to.
    products : ProductsOfRows
        What multiplies the rows of a block.
    kept : ndarray of shape (3, n) or None
        Gets residual, curvature and size of every row, of two classes on the host, for `outer_sums`.
    """
    first, ones = 0, point.coordinates.fit_intercept

    def of_block(rows: ResidentDataset, part: slice) -> tuple[InformationSums, Any]:
        at = slice(first + part.start, first + part.stop)
        of_part = None if kept is None else kept[:, at]
        X, residuals, s, sums = block_sums(rows, part, point, with_outer, products, of_part)
        here = None
        if groups is not None:
            by_row = to_numpy(X), to_numpy(residuals), to_numpy(s)
            here = products.by_group(groups.codes[at], *by_row, ones)
        return sums, here

    def add(total: Any, part: Any) -> Any:
        for _, of_groups in (total, part):
            if groups is not None and of_groups is not None:
                products.add_to_groups(groups, of_groups)
        return _add(total[0], part[0]), None

    found: Any = None
    for rows in data.blocks():
        here = _of_rows(add, of_block, rows, point, _size_of_blocks(point, products))
        nothing = InformationSums(0.0, 0.0, *(np.zeros_like(sums) for sums in here[0][2:])), None
        found = add(nothing if found is None else found, here)
        first += rows.n_rows
    sums: InformationSums = found[0]
    return sums._replace(information=whole(sums.information), outer=whole(sums.outer))


def outer_sums(
    data: Dataset,
    point: Point,
    correction: Correction,
    products: ProductsOfRows = PLAIN,
    kept: HostArray | None = None,
) -> Float64Matrix:
    """``outer`` with residuals corrected by leverage; one read, without logits where `information_sums` has kept."""
    first, ones = 0, point.coordinates.fit_intercept
    leverage = Leverage(correction.inverse, point.Phi.shape[0], products)
    white = correction.whitening if products.whitens else None

    def of_block(rows: ResidentDataset, part: slice) -> Float64Matrix:
        known = None if kept is None else kept[:, first + part.start : first + part.stop]
        X, _, r, V, s, c = rows_at_point(rows, part, point, known)
        weights = s * c * c
        if white is not None:
            factors = weights * r[:, 0] ** 2
            found, rest = products.whitened_gram(X, white, c * V[:, 0, 0], factors, correction.root, ones)
            if not len(rest):
                return found
            X, r, V, c, weights = X[rest], r[rest], V[rest], c[rest], weights[rest]
        c = array_namespace(c).where(weights > 0.0, c, 0.0)  # a row without a weight is corrected by nothing
        e = corrected_residuals(leverage.of(X, ones), r, V, c, correction.root)
        if e.shape[1] == 1:
            gram = np.asarray(to_numpy(products.grams(X, [weights * e[:, 0] ** 2], ones)[0]))
            return gram if white is None else found + white.of_products(whole(gram))
        return np.asarray(to_numpy(outer_products(X, e, weights, ones)))

    found = np.zeros((point.n_params, point.n_params))
    for rows in data.blocks():
        found += _of_rows(_add_matrix, of_block, rows, point, _size_of_blocks(point, products))
        first += rows.n_rows
    return whole(found) if white is None else white.to_products(whole(found))


def sampled_information(data: Dataset, point: Point) -> Float64Matrix:
    """The information of about `SAMPLED_ROWS` rows of the first block, of two classes."""
    rows = next(iter(data.blocks()))
    X, _, _, V, s, c = rows_at_point(rows, slice(None, None, max(1, rows.n_rows // SAMPLED_ROWS)), point)
    return whole(to_numpy(PLAIN.grams(X, [s * c * V[:, 0, 0]], point.coordinates.fit_intercept)[0]))


def determinant_gradient(data: Dataset, point: Point, inverse: Float64Matrix) -> Float64Vector:
    """Gradient of ``log det(information) / 2`` of two classes by ``Phi``: ``sum_i h_i (1/2 - p_i) u_i``; one read.

    ``h_i = s_i V_i u_i.T B u_i`` with the inverse ``B`` of the information: the leverage of a row of weight ``s``.
    """
    ones, leverage = point.coordinates.fit_intercept, Leverage(inverse, 1)

    def of_block(rows: ResidentDataset, part: slice) -> Float64Vector:
        X, _, r, V, s, _ = rows_at_point(rows, part, point)
        t = s * V[:, 0, 0] * leverage.of(X, ones)[:, 0, 0] * (0.5 - rows.rows.y[part] + r[:, 0])  # p = y - r
        return np.append(to_numpy(t @ X), float(t.sum())) if ones else np.asarray(to_numpy(t @ X))

    blocks = (_of_rows(_add_matrix, of_block, rows, point, INFORMATION) for rows in data.blocks())
    return functools.reduce(_add_matrix, blocks)


def _size_of_blocks(point: Point, products: ProductsOfRows) -> BlockSize:
    """Larger blocks where compiled code reads every row once, and no block is copied into other coordinates."""
    mean, scale = point.coordinates.mean, point.coordinates.scale
    is_read_once = products.whitens and len(point.Phi) == 1 and not mean.any() and bool((scale == 1.0).all())
    return READ_ONCE if is_read_once else INFORMATION


def _of_rows(
    add: Callable[..., Any],
    of_block: Callable[[ResidentDataset, slice], Any],
    rows: ResidentDataset,
    point: Point,
    size: BlockSize,
) -> Any:
    """The sum over rows in memory: of several blocks at once on the host, one after the other on a device."""
    P = point.n_params
    parts = row_blocks(rows.n_rows, 8 * max(1, P), rows.block_bytes(size), least_rows=2 * P) or [slice(0, 0)]
    function = functools.partial(of_block, rows)
    return sum_in_order(add, function, parts) if rows.on_host else functools.reduce(add, map(function, parts))


def _add(total: InformationSums, part: InformationSums) -> InformationSums:
    """The sums over the rows of both, in the memory of the first."""
    for sums, more in zip(total[2:], part[2:], strict=True):
        sums += more
    return InformationSums(total[0] + part[0], total[1] + part[1], *total[2:])


def _add_matrix(total: Float64Matrix, part: Float64Matrix) -> Float64Matrix:
    total += part
    return total
