"""The information of all rows at a fitted model: whether it has an inverse, and whether the model is the maximum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dpotri, dpstrf

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector, IntVector
from gpu_logreg.errors import DataError
from gpu_logreg.mathematics.whitening import LEAST_ROWS, keeps_digits
from gpu_logreg.passes.choice import row_products
from gpu_logreg.passes.reference.information import InformationSums, Point, information_sums, sampled_information
from gpu_logreg.passes.reference.information_rows import SAMPLED_ROWS
from gpu_logreg.passes.sums import Groups, ProductsOfRows
from gpu_logreg.rows.streamed import Dataset

__all__ = ["LARGEST_INFORMATION", "Information", "SingularError", "information_at", "refuse_wide"]

LARGEST_INFORMATION = 5000
"""Most parameters of which the information is inverted: 200 MB, of which every thread holds a few."""

COLLINEAR = 1e-11
"""Share of its information that a column must have beside all others: less is rounding, of the columns or the sums."""

INVOLVED = 1e-6
"""Least multiple of another standardised column that counts in a collinear one."""

LARGEST_INFLATION = 4.0
"""Largest variance inflation by other columns with which sums are taken of products in float32.

It multiplies their errors, which are below 1e-8 where those of the rows differ in sign, and at most about 6e-8 where
they do not, as in rows that are all alike. A sample tells first, and then all rows, which may have half as much more.
"""

LARGEST_LEVERAGE = 0.5
"""Largest leverage by an information in float32: `Correction` divides by ``1 - h``, whose errors are those of ``h``."""


class SingularError(DataError):
    """An information matrix without an inverse."""


@dataclass(frozen=True)
class Information:
    """The information at a point, and its inverse, in the coordinates of the point.

    Attributes
    ----------
    point : Point
    sums : InformationSums
    inverse : ndarray of shape (P, P)
    kept : ndarray of shape (3, n) or None
        Residual, curvature and size of every row, where they were asked for.
    n_reads : int
        2 where sums of products in float32 were taken, and were not enough.
    """

    point: Point
    sums: InformationSums
    inverse: Float64Matrix
    kept: Float64Matrix | None = None
    n_reads: int = 1

    def step(self) -> Float64Vector:
        """Newton's step from the point, by the parameters in its coordinates: 0 at the maximum."""
        return np.asarray(self.inverse @ self.sums.grad_sum)

    def by_params(self, covariance: Float64Matrix) -> Float64Matrix:
        """The covariance of the packed ``[w_k, b_k]``, from one in the coordinates."""
        L, p = self.point.Phi.shape
        half = self.point.coordinates.to_params(covariance.reshape(-1, L, p)).reshape(L * p, L * p)
        whole = self.point.coordinates.to_params(half.T.reshape(-1, L, p)).reshape(L * p, L * p)
        return np.asarray(0.5 * (whole + whole.T))


def information_at(
    data: Dataset,
    point: Point,
    names: Callable[[int], str],
    with_outer: bool = False,
    groups: Groups | None = None,
    keep: bool = False,
    in_single: bool = False,
) -> Information:
    """The information of all rows at a point, with its inverse; one read.

    Parameters
    ----------
    data : Dataset
    point : Point
    names : function int -> str
        Name of a column of the coordinates, for messages.
    with_outer, groups
        As of `gpu_logreg.passes.reference.information.information_sums`.
    keep : bool
        Whether residuals and curvatures of the rows of two classes are kept for a second walk: 24 bytes a row.
    in_single : bool
        Whether the sums of very many rows may be of products in float32, if the columns are far from collinear. It
        takes another read where they prove not to be.

    Raises
    ------
    DataError
        Rows that are not finite.
    SingularError
        An information without an inverse: the message names the columns.
    """
    kept = np.empty((3, data.n_rows)) if keep and len(point.Phi) == 1 and data.on_host else None
    products = row_products(data, point.n_params)
    scale = _single_scale(data, point, products) if in_single else None
    if scale is not None:
        sums = information_sums(data, point, with_outer, groups, products.in_single(scale), kept)
        outer = sums.outer if with_outer else None
        found = _inverse_of_far_columns(sums.information, point, 1.5 * LARGEST_INFLATION, outer)
        if found is not None and (kept is None or _largest_leverage(found, point, scale, kept) <= LARGEST_LEVERAGE):
            return Information(point, sums, found, kept)
        groups = None  # they have been summed, in float64
    sums = information_sums(data, point, with_outer, groups, products, kept)
    if not (np.isfinite(sums.information).all() and np.isfinite(sums.grad_sum).all()):
        data.refuse_not_finite()
    n_reads = 1 if scale is None else 2
    return Information(point, sums, inverted(sums.information, point, names), kept, n_reads)


def _single_scale(data: Dataset, point: Point, products: ProductsOfRows) -> Float64Vector | None:
    """What to multiply columns by for products in float32.

    None where there are no such products, or where a sample of the rows tells that they would not do.
    """
    if not products.whitens or data.n_rows < LEAST_ROWS or len(point.Phi) > 1:
        return None
    information = sampled_information(data, point)
    if _inverse_of_far_columns(information, point, LARGEST_INFLATION) is None:
        return None
    return np.asarray(np.exp2(np.rint(-0.5 * np.log2(information.diagonal() / SAMPLED_ROWS))))


def _largest_leverage(inverse: Float64Matrix, point: Point, scale: Float64Vector, kept: Float64Matrix) -> float:
    """A bound of the leverages ``c V u.T B u``: by the largest eigenvalue, and the largest size of a row."""
    c = 1.0 if point.class_weights is None else float(point.class_weights.max())
    largest = float(np.linalg.eigvalsh(inverse / np.outer(scale, scale))[-1])
    return c * largest * float((kept[1] * kept[2]).max())


def _inverse_of_far_columns(
    information: Float64Matrix, point: Point, largest: float, outer: Float64Matrix | None = None
) -> Float64Matrix | None:
    """The inverse; None where a variance is inflated more, or a robust one small beside it."""
    if not np.isfinite(information).all():
        return None
    try:
        inverse = inverted(information, point, str)
    except SingularError:
        return None
    inflation = float((inverse.diagonal() * information.diagonal()).max())
    keeps = outer is None or keeps_digits(inverse, outer)
    return inverse if keeps and inflation <= largest else None


def refuse_wide(n_params: int) -> None:
    """Refuse more parameters than `LARGEST_INFORMATION`.

    Raises
    ------
    DataError
    """
    if n_params > LARGEST_INFORMATION:
        raise DataError(
            f"the covariance of {n_params:,} parameters is a matrix of {8e-9 * n_params**2:.1f} GB; "
            f"at most {LARGEST_INFORMATION:,} are taken: leave out columns"
        )


def inverted(information: Float64Matrix, point: Point, names: Callable[[int], str]) -> Float64Matrix:
    """The inverse of an information matrix, which is scaled to a unit diagonal first.

    Raises
    ------
    SingularError
        Where a column has no information of its own: the message names it and those it is collinear with.
    """
    p = point.Phi.shape[1]
    diagonal = information.diagonal().copy()
    empty = np.flatnonzero(~(diagonal > _rounding(diagonal, point)))
    if len(empty):
        raise SingularError(_singular(empty % p, point, names, constant=True))
    scale = 1.0 / np.sqrt(diagonal)
    R = information * np.outer(scale, scale)
    L, order, rank, _ = dpstrf(R, tol=COLLINEAR, lower=1)
    order = order - 1  # LAPACK counts from 1
    if rank < len(R):
        raise SingularError(_singular(_collinear(R, order, int(rank)) % p, point, names))
    inverse, _ = dpotri(np.tril(L), lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    found = np.empty_like(inverse)
    found[np.ix_(order, order)] = inverse
    return np.asarray(found * np.outer(scale, scale))


def _rounding(diagonal: Float64Vector, point: Point) -> Float64Vector:
    """What rounding may make of the information of a constant column, which is 0."""
    by_class = diagonal.reshape(point.Phi.shape)
    rounding = np.zeros_like(by_class)
    if point.coordinates.fit_intercept:
        eps = 8.0 * float(np.finfo(np.float64).eps)
        of_mean = eps * np.abs(point.coordinates.mean) / point.coordinates.scale
        rounding[:, :-1] = by_class[:, -1:] * of_mean**2
    return rounding.ravel()


def _collinear(R: Float64Matrix, order: IntVector, rank: int) -> IntVector:
    """Numbers of the first column that others explain, and of those that explain it."""
    kept, column = order[:rank], order[rank]
    multiples = np.linalg.solve(R[np.ix_(kept, kept)], R[kept, column])
    return np.append(kept[np.abs(multiples) > INVOLVED], column)


def _singular(columns: IntVector, point: Point, names: Callable[[int], str], constant: bool = False) -> str:
    """The message: of columns without information of their own, or of collinear ones."""
    at = [int(j) for j in np.unique(columns) if not (point.coordinates.fit_intercept and j == point.Phi.shape[1] - 1)]
    shown = ", ".join(map(names, at[:8])) + (f" and {len(at) - 8} more" if len(at) > 8 else "")
    start = "the information matrix is singular:"
    if constant or len(at) == 1:
        are = "is" if len(at) == 1 else "are"
        return f"{start} {shown} {are} constant, or in all rows that are not certain; leave it out"
    return f"{start} {shown} are collinear, by themselves or with the intercept; leave one out"
