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
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.block_sizes import INFORMATION
from gpu_logreg.arrays.blocks import row_blocks, sum_in_order
from gpu_logreg.arrays.csr import rows_at
from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Array, Float64Matrix, Float64Vector, HostArray
from gpu_logreg.passes.reference.leverage import Correction, Leverage, corrected_residuals
from gpu_logreg.passes.reference.logits import at_contrasts
from gpu_logreg.passes.reference.row_products import (
    PLAIN,
    in_coordinates,
    outer_products,
    weighted_products,
    whole,
)
from gpu_logreg.passes.sums import Groups, ProductsOfRows
from gpu_logreg.rows.coordinates import Coordinates
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.rows.streamed import Dataset

__all__ = ["InformationSums", "Point", "determinant_gradient", "information_sums", "outer_sums", "sampled_information"]

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


class _Block(NamedTuple):
    """A block of rows, and what all sums need of it; ``X`` is in the coordinates, without a column of the intercept."""

    X: Array
    row_loss: Array
    residual: Array
    curvature: Array
    s: Array
    c: Array


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
        X, row_loss, r, V, s, c = _computed(rows, part, point)
        a = s * c
        residuals = r * a[:, None]
        grad = to_numpy(residuals.T @ X)
        if ones:
            grad = np.column_stack([grad, to_numpy(residuals.sum(axis=0))])
        here = None
        if groups is not None:
            codes = groups.codes[first + part.start : first + part.stop]
            here = products.by_group(codes, to_numpy(X), to_numpy(residuals), to_numpy(s), ones)
        if kept is not None:
            kept[:, first + part.start : first + part.stop] = r[:, 0], V[:, 0, 0], products.sizes(X, ones)
        if r.shape[1] == 1:
            factors = [a * V[:, 0, 0], a * c * r[:, 0] ** 2]
            matrices = products.grams(X, factors if with_outer else factors[:1], ones)
        else:
            matrices = [weighted_products(X, V, a, ones)]
            matrices += [outer_products(X, r, a * c, ones)] if with_outer else []
        information, *outer = (np.asarray(to_numpy(matrix)) for matrix in matrices)
        sums = -float(a @ row_loss), float(s.sum()), grad.ravel(), information
        return InformationSums(*sums, outer[0] if outer else np.zeros((0, 0))), here

    def add(total: Any, part: Any) -> Any:
        for _, of_groups in (total, part):
            if groups is not None and of_groups is not None:
                products.add_to_groups(groups, of_groups)
        return _add(total[0], part[0]), None

    found: Any = None
    for rows in data.blocks():
        here = _of_rows(add, of_block, rows, point)
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
        X, _, r, V, s, c = _computed(rows, part, point, known)
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
        found += _of_rows(_add_matrix, of_block, rows, point)
        first += rows.n_rows
    return whole(found) if white is None else white.to_products(whole(found))


def sampled_information(data: Dataset, point: Point) -> Float64Matrix:
    """The information of about `SAMPLED_ROWS` rows of the first block, of two classes."""
    rows = next(iter(data.blocks()))
    X, _, _, V, s, c = _computed(rows, slice(None, None, max(1, rows.n_rows // SAMPLED_ROWS)), point)
    return whole(to_numpy(PLAIN.grams(X, [s * c * V[:, 0, 0]], point.coordinates.fit_intercept)[0]))


def determinant_gradient(data: Dataset, point: Point, inverse: Float64Matrix) -> Float64Vector:
    """Gradient of ``log det(information) / 2`` of two classes by ``Phi``: ``sum_i h_i (1/2 - p_i) u_i``; one read.

    ``h_i = s_i V_i u_i.T B u_i`` with the inverse ``B`` of the information: the leverage of a row of weight ``s``.
    """
    ones, leverage = point.coordinates.fit_intercept, Leverage(inverse, 1)

    def of_block(rows: ResidentDataset, part: slice) -> Float64Vector:
        X, _, r, V, s, _ = _computed(rows, part, point)
        t = s * V[:, 0, 0] * leverage.of(X, ones)[:, 0, 0] * (0.5 - rows.rows.y[part] + r[:, 0])  # p = y - r
        return np.append(to_numpy(t @ X), float(t.sum())) if ones else np.asarray(to_numpy(t @ X))

    blocks = (_of_rows(_add_matrix, of_block, rows, point) for rows in data.blocks())
    return functools.reduce(_add_matrix, blocks)


def _computed(rows: ResidentDataset, part: slice, point: Point, known: HostArray | None = None) -> _Block:
    """A block of rows at the point; with ``known``, residuals and curvatures, without logits and losses."""
    X, y, sample_weight = rows.rows
    X, y = in_coordinates(rows_at(X, part, np.float64), point.coordinates), y[part]
    xp, offset = array_namespace(X), None
    if y.ndim == 2:  # offsets stand beside the labels
        offset, y = y[:, 1:], y[:, 0].astype(np.int32)
    if known is None:
        row_loss, r, V = at_contrasts(_contrasts(X, point, offset), y)
    else:
        row_loss, r, V = known[0], known[0][:, None], known[1][:, None, None]
    s = xp.ones(len(X)) if sample_weight is None else sample_weight[part].astype(xp.float64)
    c = xp.ones(len(X)) if point.class_weights is None else xp.asarray(point.class_weights)[y.astype(np.intp)]
    return _Block(X, row_loss, r, V, s, c)


def _contrasts(X: Array, point: Point, offset: Array | None) -> Array:
    """Logits of every row, of the classes from the second on."""
    xp, Phi, d = array_namespace(X), point.Phi, X.shape[1]
    Z = X @ xp.asarray(np.ascontiguousarray(Phi[:, :d].T))
    if point.coordinates.fit_intercept:
        Z += xp.asarray(Phi[:, d])
    if offset is not None:
        Z += offset if offset.shape[1] == 1 else offset[:, 1:] - offset[:, :1]
    return Z


def _of_rows(
    add: Callable[..., Any], of_block: Callable[[ResidentDataset, slice], Any], rows: ResidentDataset, point: Point
) -> Any:
    """The sum over rows in memory: of several blocks at once on the host, one after the other on a device."""
    P = point.n_params
    parts = row_blocks(rows.n_rows, 8 * max(1, P), rows.block_bytes(INFORMATION), least_rows=2 * P) or [slice(0, 0)]
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
