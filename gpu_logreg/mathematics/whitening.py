"""Rows in coordinates where their information is the identity, so that float32 is enough for sums of their products."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpotrf

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector

__all__ = ["LEAST_ROWS", "Whitening", "keeps_digits"]

LARGEST_GROWTH = 8.0
"""Times by which rounding errors of rows may grow in `Whitening`: in float32 they are then at most about 5e-7 of ``t``,
and so of a standard error where every row has the same, as rows that are all alike."""

LEAST_ROWS = 2**17
"""Rows from which sums are taken of products in float32: the errors of so many, which differ in sign, leave 1e-8."""

LEAST_SHARE = 0.05
"""Least ratio of a robust variance to that of the model, over the mean ratio: below it, others' errors count."""


class Whitening(NamedTuple):
    """``t = root.T (scale u)``, with ``sum_i a_i V_i t_i t_i.T = total I`` for the weights ``a`` and curvatures ``V``.

    With the inverse ``B`` of the information, ``diag(scale) root root.T diag(scale) = total B``; so the leverage of a
    row is ``c V |t|**2 / total``. Where gradients are as large as the model says, the sum of their products is about
    the identity too: a rounding error of one of its elements changes no variance by more than its own share, however
    close to collinear the columns are. The rounding of the rows themselves grows where terms of ``t`` cancel.

    Attributes
    ----------
    scale : ndarray of shape (p,)
        About the standard errors times the root of ``total``.
    root : ndarray of shape (p, p)
        Lower triangle.
    total : float
        The weight of all rows, so that ``t`` is of about the size of a standardised row.
    """

    scale: Float64Vector
    root: Float64Matrix
    total: float

    @classmethod
    def of(cls, inverse: Float64Matrix, information: Float64Matrix, total: float, n_rows: int) -> Whitening | None:
        """That of an information matrix and its inverse.

        None for fewer rows than `LEAST_ROWS`, and where rounding errors grow more than `LARGEST_GROWTH`.

        They grow by about the ratio of ``|root|.T |scale u|`` to ``|t|``, as root mean squares over the rows. The first
        is at most ``|root|.T v`` with ``v_j**2 = B_jj I_jj``, the variance inflation of column j, the second 1.
        """
        if n_rows < LEAST_ROWS:
            return None
        # Powers of two: a column of few values, as that of the intercept, would be rounded to one side in every row.
        scale = np.exp2(np.rint(0.5 * np.log2(total * inverse.diagonal())))
        root, fault = dpotrf(total * inverse / np.outer(scale, scale), lower=1, clean=1)
        growth = np.abs(root).T @ (scale * np.sqrt(information.diagonal() / total))
        if fault or not np.sqrt((growth**2).mean()) <= LARGEST_GROWTH:
            return None
        # Rounded here, the root is another, nearly the same one, and has no error.
        return cls(scale, root.astype(np.float32).astype(np.float64), total)

    def of_products(self, sums: Float64Matrix) -> Float64Matrix:
        """``sum_i f_i t_i t_i.T`` of ``sum_i f_i u_i u_i.T``."""
        return np.asarray(self.root.T @ (sums * np.outer(self.scale, self.scale)) @ self.root)

    def to_products(self, sums: Float64Matrix) -> Float64Matrix:
        """``sum_i f_i u_i u_i.T`` of ``sum_i f_i t_i t_i.T``."""
        half = solve_triangular(self.root, sums, trans=1, lower=True)
        return np.asarray(solve_triangular(self.root, half.T, trans=1, lower=True) / np.outer(self.scale, self.scale))


def keeps_digits(inverse: Float64Matrix, outer: Float64Matrix) -> bool:
    """Whether float32 will do for ``outer``: no variance of the sandwich is small beside that of ``inverse``."""
    half = inverse @ outer
    variances = np.einsum("ij,ji->i", half, inverse)
    return bool((variances >= LEAST_SHARE * half.trace() / len(half) * inverse.diagonal()).all())
