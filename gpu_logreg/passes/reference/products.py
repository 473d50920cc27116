"""Products with the Hessian of the loss over all rows, and its diagonal: two products of matrices around a formula.

See `gpu_logreg.passes.row_curvature` for the equations. Blocks of rows are walked as for a gradient. The numbers that
are kept of every row take the place of its label in a block, as neither sum needs labels.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from gpu_logreg.arrays.block_sizes import GRADIENT
from gpu_logreg.arrays.blocks import map_in_order, sum_in_order
from gpu_logreg.arrays.csr import in_order
from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Array, Float64Matrix, Float64Vector
from gpu_logreg.mathematics import softmax
from gpu_logreg.mathematics.loss_protocols import Loss
from gpu_logreg.mathematics.losses import Binary
from gpu_logreg.passes import walk
from gpu_logreg.passes.reference.classes import reference_multinomial_pass
from gpu_logreg.passes.reference.gradient import reference_pass
from gpu_logreg.passes.reference.sparse import sparse_blocks
from gpu_logreg.passes.row_curvature import Product, RowCurvature, keeps_probabilities
from gpu_logreg.passes.sums import Moments, Sums, add_in_place
from gpu_logreg.rows.block import Rows, consecutive_rows
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["diagonal_sums", "gradient_and_curvature", "moments_by_curvature", "product_sums", "row_curvature"]

T = TypeVar("T")


def row_curvature(loss: Loss, data: ResidentDataset, w: Float64Vector, b: Any) -> RowCurvature:
    """What products at the point need; one read of ``X``, or none where nothing is kept."""
    if not _keeps(loss, data):
        return RowCurvature(w, b, None)

    def of_block(rows: Rows) -> Array:
        return _curvature_of_rows(loss, rows, _logits(rows.X, w, b))

    return RowCurvature(w, b, _joined(_map_blocks(of_block, data, np.size(w)), b))


def gradient_and_curvature(loss: Loss, data: ResidentDataset, w: Float64Vector, b: Any) -> tuple[Sums, RowCurvature]:
    """Loss and gradient sums of dense rows, and from the same logits what products at the point need; one read."""
    keeps = _keeps(loss, data)
    pass_: Callable[..., Sums] = reference_pass if isinstance(loss, Binary) else reference_multinomial_pass

    def of_block(rows: Rows) -> tuple[Sums, list[Array]]:
        kept: list[Array] = []

        def loss_and_dz(z: Array, y: Array) -> tuple[Array, Array]:
            if keeps:
                kept.append(_curvature_of_rows(loss, rows, z))
            return loss.loss_and_dz(z, y)

        return pass_(rows, w, b, loss_and_dz=loss_and_dz), kept

    parts = walk.map_blocks(of_block, data, GRADIENT)
    sums = walk.add_all([sums for sums, _ in parts], w, b)
    kept = _joined([array for _, arrays in parts for array in arrays], b) if keeps else None
    return sums, RowCurvature(w, b, kept)


def product_sums(loss: Loss, data: ResidentDataset, at: RowCurvature, v: Float64Vector, c: Any) -> Product:
    """Product of the Hessian of the loss sum with the direction ``v, c``: ``E.T @ X`` and ``sum_i e_i``; one read.

    Parameters
    ----------
    loss : Loss
    data : ResidentDataset
    at : RowCurvature
        The point, of the same rows.
    v, c : ndarray of shape (d,) and float, or (K, d) and (K,)
    """

    def of_block(rows: Rows) -> Product:
        X, s = rows.X, rows.sample_weight
        kept, t = _kept(loss, rows, at), _logits(X, v, c)
        if kept.ndim == 1:
            return _sums_over_rows(X, kept * t)
        e = softmax.curvature_product(kept, t)
        return _sums_over_rows(X, e if s is None else e * s[:, None])

    return _sum_blocks(of_block, data, at, v, c)


def diagonal_sums(loss: Loss, data: ResidentDataset, at: RowCurvature) -> Product:
    """Diagonal of the Hessian of the loss sum: ``sum_i s_i p_ik (1 - p_ik) x_ij**2``, and without ``x``; one read."""

    def of_block(rows: Rows) -> Product:
        X, s, kept = rows.X, rows.sample_weight, _kept(loss, rows, at)
        if kept.ndim == 1:
            return _sums_over_rows(X * X, kept)
        h = softmax.curvature_diagonal(kept)
        return _sums_over_rows(X * X, h if s is None else h * s[:, None])

    return _sum_blocks(of_block, data, at, at.w, at.b)


def moments_by_curvature(
    loss: Loss, data: ResidentDataset, W: Float64Matrix, b: Float64Vector
) -> tuple[Float64Vector, Moments]:
    """``sum_i h_ik``, ``sum_i h_ik x_ij`` and ``sum_i h_ik x_ij**2`` with ``h_ik = s_i p_ik (1 - p_ik)``; one read.

    For sparse rows of K classes; the sums are of shapes (K,) and (K, d).
    """

    def of_block(part: slice) -> Sums:
        rows = _in_float64(data.rows, part)
        X, s = in_order(rows.X), rows.sample_weight  # an element that is stored in parts has one square
        h = softmax.curvature_diagonal(_curvature_of_rows(loss, rows, _logits(X, W, b)))
        h = h if s is None else h * s[:, None]
        (first, h_sum), (second, _) = _sums_over_rows(X, h), _sums_over_rows(X * X, h)
        return Sums(0.0, np.stack([first, second]), h_sum)

    _, (x_sum, xx_sum), h_sum = sum_in_order(add_in_place, of_block, sparse_blocks(data.rows.X, 2 * W.size))
    return h_sum, Moments(x_sum, xx_sum)


def _keeps(loss: Loss, data: ResidentDataset) -> bool:
    itemsize = 8 if data.is_sparse else data.compute_dtype.itemsize
    return isinstance(loss, Binary) or keeps_probabilities(data, loss.n_logits, itemsize)


def _curvature_of_rows(loss: Loss, rows: Rows, z: Array) -> Array:
    """What is kept of a block of rows with the logits ``z``, in their dtype: see `RowCurvature`."""
    if not isinstance(loss, Binary):
        return softmax.softmax(loss.logits_and_labels(z, rows.y)[0] if loss.has_offset else z)
    h, s = loss.curvature(z, rows.y), rows.sample_weight
    return (h if s is None else h * s).astype(z.dtype, copy=False)


def _kept(loss: Loss, rows: Rows, at: RowCurvature) -> Array:
    """What is kept of a block of rows, which is in the place of its labels; computed again where it was not kept."""
    return _curvature_of_rows(loss, rows, _logits(rows.X, at.w, at.b)) if at.kept is None else rows.y


def _logits(X: Array, w: Float64Vector, b: Any) -> Array:
    """``X @ w + b``, or ``X @ W.T + b``, with ``b`` added in float64, in the dtype of ``X``."""
    xp = array_namespace(X)
    z = (X @ xp.asarray(w.T, dtype=X.dtype)).astype(xp.float64) + xp.asarray(b)
    return z.astype(X.dtype, copy=False)


def _sums_over_rows(X: Array, e: Array) -> Product:
    """``E.T @ X`` and the sum of ``E`` over a block of rows."""
    xp = array_namespace(X)
    db = e.sum(axis=0, dtype=xp.float64)
    e = e.astype(X.dtype, copy=False)
    dw = to_numpy((X.T @ e).T).astype(np.float64, order="C")
    return Product(dw, float(db) if e.ndim == 1 else to_numpy(db))


def _sum_blocks(
    function: Callable[[Rows], Product], data: ResidentDataset, at: RowCurvature, w: Float64Vector, b: Any
) -> Product:
    """The sums of all blocks in their order; zeros of the shapes of ``w`` and ``b`` where there are no rows."""
    if at.kept is not None:
        data = replace(data, rows=data.rows._replace(y=at.kept[:, : len(b)] if np.ndim(b) else at.kept))
    if data.is_sparse:
        blocks = sparse_blocks(data.rows.X, np.size(w))
        total: Product = sum_in_order(operator.add, lambda part: function(_in_float64(data.rows, part)), blocks)
        return total
    parts = walk.map_blocks(function, data, GRADIENT)
    return functools.reduce(operator.add, parts) if parts else Product(np.zeros(np.shape(w)), 0.0 * b)


def _map_blocks(function: Callable[[Rows], T], data: ResidentDataset, n_sums: int) -> list[T]:
    """``function`` of every block of rows, dense or sparse, in order."""
    if not data.is_sparse:
        return walk.map_blocks(function, data, GRADIENT)
    return map_in_order(lambda part: function(_in_float64(data.rows, part)), sparse_blocks(data.rows.X, n_sums))


def _in_float64(rows: Rows, part: slice) -> Rows:
    """A block of sparse rows; SciPy's products would convert its elements each."""
    block = consecutive_rows(rows, part)
    return block._replace(X=block.X.astype(np.float64, copy=False))


def _joined(parts: list[Array], b: Any) -> Array:
    """What is kept of all rows; on the host, of the shape of no rows, where there are no blocks."""
    return array_namespace(parts[0]).concatenate(parts) if parts else np.zeros((0, *np.shape(b)))
