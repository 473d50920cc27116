"""What follows from a maximum of a likelihood: covariances of its parameters, tests and criteria.

With the information ``I`` (minus the Hessian of the log-likelihood) at the maximum of the likelihood of ``n`` rows by
``P`` parameters, the covariance of the parameters is ``inv(I)`` where the model is right, and without that assumption
the sandwich ``inv(I) M inv(I)``, where ``M`` is the sum over the rows, or over groups of them, of their gradients
multiplied by themselves (P. J. Huber 1967; H. White, "Maximum likelihood estimation of misspecified models", 1982).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import chdtrc, ndtr, ndtri

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector

__all__ = [
    "COVARIANCES",
    "ChiSquareTest",
    "chi_square_test",
    "half_width",
    "log_likelihood_of_shares",
    "sandwich",
    "sandwich_of_groups",
    "two_sided_p",
    "wald_statistic",
]

COVARIANCES = ("nonrobust", "HC0", "HC1", "HC2", "HC3", "cluster")
"""Names of the covariances."""

SINGULAR = 1e-14
"""Least eigenvalue of a correlation, relative to the largest, that is more than rounding."""


class ChiSquareTest(NamedTuple):
    """A test whose statistic has, where the hypothesis is true, a chi-square distribution.

    Attributes
    ----------
    chi2 : float
    df : int
        Degrees of freedom: how many parameters the hypothesis sets.
    p : float
    """

    chi2: float
    df: int
    p: float


def chi_square_test(chi2: float, df: int) -> ChiSquareTest:
    """The probability of a larger statistic beside it; with no degree of freedom it is 1.

    Examples
    --------
    >>> round(chi_square_test(3.841459, 1).p, 6)
    0.05
    """
    chi2 = max(0.0, chi2)
    return ChiSquareTest(chi2, df, float(chdtrc(df, chi2)) if df > 0 else 1.0)


def two_sided_p(z: Float64Vector) -> Float64Vector:
    """``2 (1 - Phi(|z|))``, which keeps its digits where it is small."""
    return np.asarray(2.0 * ndtr(-np.abs(z)))


def half_width(level: float) -> float:
    """Standard errors to either side that an interval of that level reaches.

    Examples
    --------
    >>> round(half_width(0.95), 4)
    1.96
    """
    return float(ndtri(0.5 + 0.5 * level))


def sandwich(inverse: Float64Matrix, outer: Float64Matrix, kind: str, n: float) -> Float64Matrix:
    """``inv(I) M inv(I)``; HC1 is that of HC0 times ``n / (n - P)``.

    Parameters
    ----------
    inverse : ndarray of shape (P, P)
        Of the information.
    outer : ndarray of shape (P, P)
        ``M``, of residuals that HC2 and HC3 have corrected.
    kind : {"HC0", "HC1", "HC2", "HC3"}
    n : float
        Rows; a row of weight ``s`` is ``s`` rows.
    """
    covariance = inverse @ outer @ inverse
    return np.asarray(covariance * (n / (n - len(inverse))) if kind == "HC1" else covariance)


def sandwich_of_groups(inverse: Float64Matrix, sums: Float64Matrix, n: float) -> Float64Matrix:
    """The sandwich whose ``M`` is of groups: rows of one may depend on each other; K. Liang and S. Zeger (1986).

    It is multiplied by ``G / (G - 1) (n - 1) / (n - P)`` for G groups, as by Stata and statsmodels.

    Parameters
    ----------
    inverse : ndarray of shape (P, P)
    sums : ndarray of shape (G, P)
        The gradient of the log-likelihood of every group.
    n : float
    """
    G, P = sums.shape
    half = sums @ inverse
    return np.asarray(half.T @ half * (G / (G - 1.0) * (n - 1.0) / (n - P)))


def log_likelihood_of_shares(sums: Float64Vector) -> float:
    """Of an intercept alone: ``sum_k N_k log(N_k / N)`` for the weights ``N_k`` of the classes.

    Examples
    --------
    >>> round(log_likelihood_of_shares(np.array([1.0, 1.0])), 4)  # 2 log(1/2)
    -1.3863
    """
    held = sums[sums > 0.0]
    return float(held @ np.log(held / held.sum()))


def wald_statistic(coefficients: Float64Vector, covariance: Float64Matrix) -> float:
    """``w.T inv(V) w``, for the hypothesis that all of ``w`` are zero; infinite where ``V`` is singular to rounding."""
    scale = np.sqrt(covariance.diagonal())
    if not (scale > 0.0).all():
        return math.inf
    correlation, w = covariance / np.outer(scale, scale), coefficients / scale
    values, vectors = np.linalg.eigh(correlation)
    if not values[0] > SINGULAR * values[-1]:
        return math.inf
    return float(((vectors.T @ w) ** 2 / values).sum())
