"""A block of rows at a point: logits, residuals, curvatures, and the sums of the information over the block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.csr import rows_at
from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Array, Float64Matrix, Float64Vector, HostArray
from gpu_logreg.passes.reference.logits import at_contrasts
from gpu_logreg.passes.reference.row_products import in_coordinates, outer_products, weighted_products
from gpu_logreg.passes.sums import ProductsOfRows
from gpu_logreg.rows.coordinates import Coordinates
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.rows.streamed import Dataset

__all__ = ["SAMPLED_ROWS", "InformationSums", "Point", "block_sums", "rows_at_point"]

SAMPLED_ROWS = 2048
"""About the number of rows that means and deviations of columns are taken from: any will do, near the true ones."""

FAR, OF_USE = 30.0, 1e50
"""Deviations that a mean may be from 0, and bounds of the deviations, for columns that are taken as they are: sums lose
``FAR**2`` roundings."""


@dataclass(frozen=True)
class Point:
    """A linear model as a walk over rows takes it.

    Attributes
    ----------
    Phi : ndarray of shape (K - 1, p)
        Parameters of the contrasts with the first class, in the coordinates.
    coordinates : Coordinates
    standard : Coordinates
        Those of about standardised columns, from these, by which a step is long or short.
    class_weights : ndarray of shape (K,) or None
        ``c``; None where all are 1.
    """

    Phi: Float64Matrix
    coordinates: Coordinates
    standard: Coordinates
    class_weights: Float64Vector | None = None

    @property
    def n_params(self) -> int:
        """``P = (K - 1) p``."""
        return int(self.Phi.size)

    @classmethod
    def of(
        cls, data: Dataset, W: Float64Matrix, b: Float64Vector, fit_intercept: bool, class_weights: Any = None
    ) -> Point:
        """The point of weights ``W``, of shape (K - 1, d), and intercepts; columns by a sample of the first block."""
        block = next(iter(data.blocks()))
        step = max(1, block.n_rows // SAMPLED_ROWS)
        some = to_numpy(rows_at(block.rows.X, slice(None, None, step), np.float64))
        mean = some.mean(axis=0) if fit_intercept else np.zeros(some.shape[1])
        scale = np.sqrt(((some - mean) ** 2).mean(axis=0))
        constant = ~(scale > 4.0 * np.finfo(np.float64).eps * np.abs(mean))
        scale[constant] = 1.0
        standard = Coordinates(mean, scale, fit_intercept)
        coordinates = Coordinates(np.zeros_like(mean), np.ones_like(scale), fit_intercept)
        if not ((np.abs(mean) < FAR * scale) & (scale > 1.0 / OF_USE) & (scale < OF_USE)).all():
            coordinates, standard = standard, coordinates  # else a copy of the rows less, in every walk
        params = np.column_stack([W, b]) if fit_intercept else W
        return cls(coordinates.from_params(params), coordinates, standard, class_weights)


class InformationSums(NamedTuple):
    """Sums over all rows, on the host: see the module.

    Attributes
    ----------
    log_likelihood : float
    weight_sum : float
        ``sum_i s_i``.
    grad_sum : ndarray of shape (P,)
    information : ndarray of shape (P, P)
    outer : ndarray of shape (P, P), or (0, 0) where it is not asked for
    """

    log_likelihood: float
    weight_sum: float
    grad_sum: Float64Vector
    information: Float64Matrix
    outer: Float64Matrix


class Block(NamedTuple):
    """A block of rows, and what all sums need of it; ``X`` is in the coordinates, without a column of the intercept."""

    X: Array
    row_loss: Array
    residual: Array
    curvature: Array
    s: Array
    c: Array


def block_sums(
    rows: ResidentDataset,
    part: slice,
    point: Point,
    with_outer: bool,
    products: ProductsOfRows,
    kept: HostArray | None,
) -> tuple[Array, Array, Array, InformationSums]:
    """The rows of a block in the coordinates, their residuals times weights, their weights, and their sums.

    Parameters
    ----------
    rows, part
        The block.
    point, with_outer, products
        As of `gpu_logreg.passes.reference.information.information_sums`.
    kept : ndarray of shape (3, m) or None
        Gets residual, curvature and size of every row.
    """
    ones = point.coordinates.fit_intercept
    found = _in_one_read(rows, part, point, with_outer, products, kept)
    if found is not None:
        return found
    X, row_loss, r, V, s, c = rows_at_point(rows, part, point)
    a = s * c
    residuals = r * a[:, None]
    grad = to_numpy(residuals.T @ X)
    if ones:
        grad = np.column_stack([grad, to_numpy(residuals.sum(axis=0))])
    if kept is not None:
        kept[:] = r[:, 0], V[:, 0, 0], products.sizes(X, ones)
    if r.shape[1] == 1:
        factors = [a * V[:, 0, 0], a * c * r[:, 0] ** 2]
        matrices = products.grams(X, factors if with_outer else factors[:1], ones)
    else:
        matrices = [weighted_products(X, V, a, ones)]
        matrices += [outer_products(X, r, a * c, ones)] if with_outer else []
    information, *outer = (np.asarray(to_numpy(matrix)) for matrix in matrices)
    sums = -float(a @ row_loss), float(s.sum()), grad.ravel(), information
    return X, residuals, s, InformationSums(*sums, outer[0] if outer else np.zeros((0, 0)))


def _in_one_read(
    rows: ResidentDataset,
    part: slice,
    point: Point,
    with_outer: bool,
    products: ProductsOfRows,
    kept: HostArray | None,
) -> tuple[Array, Array, Array, InformationSums] | None:
    """`block_sums` of two classes without offsets, where the products have code for it."""
    labels = rows.rows.y
    if not products.whitens or len(point.Phi) > 1 or labels.ndim > 1 or labels.dtype.kind not in "iu":
        return None
    X, y, _, s, c = _weighted(rows, part, point)
    found = products.at_point(X, y, (s * c, c), point.Phi[0], point.coordinates.fit_intercept, with_outer)
    if found is None:
        return None
    if kept is not None:
        kept[:] = found.kept
    residuals = (s * c * found.kept[0])[:, None]
    outer = found.matrices[1] if with_outer else np.zeros((0, 0))
    return X, residuals, s, InformationSums(-found.loss, float(s.sum()), found.grad, found.matrices[0], outer)


def rows_at_point(rows: ResidentDataset, part: slice, point: Point, known: HostArray | None = None) -> Block:
    """A block of rows at the point; with ``known``, residuals and curvatures, without logits and losses."""
    X, y, offset, s, c = _weighted(rows, part, point)
    if known is None:
        row_loss, r, V = at_contrasts(_contrasts(X, point, offset), y)
    else:
        row_loss, r, V = known[0], known[0][:, None], known[1][:, None, None]
    return Block(X, row_loss, r, V, s, c)


def _weighted(rows: ResidentDataset, part: slice, point: Point) -> tuple[Array, Array, Array | None, Array, Array]:
    """A block in the coordinates, labels, offsets, weights of rows and those of their classes."""
    X, y, sample_weight = rows.rows
    X, y = in_coordinates(rows_at(X, part, np.float64), point.coordinates), y[part]
    xp, offset = array_namespace(X), None
    if y.ndim == 2:  # offsets stand beside the labels
        offset, y = y[:, 1:], y[:, 0].astype(np.int32)
    s = xp.ones(len(X)) if sample_weight is None else sample_weight[part].astype(xp.float64)
    c = xp.ones(len(X)) if point.class_weights is None else xp.asarray(point.class_weights)[y.astype(np.intp)]
    return X, y, offset, s, c


def _contrasts(X: Array, point: Point, offset: Array | None) -> Array:
    """Logits of every row, of the classes from the second on."""
    xp, Phi, d = array_namespace(X), point.Phi, X.shape[1]
    Z = X @ xp.asarray(np.ascontiguousarray(Phi[:, :d].T))
    if point.coordinates.fit_intercept:
        Z += xp.asarray(Phi[:, d])
    if offset is not None:
        Z += offset if offset.shape[1] == 1 else offset[:, 1:] - offset[:, :1]
    return Z
