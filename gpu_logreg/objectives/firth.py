"""Firth's penalised likelihood of two classes: the likelihood times the root of the determinant of the information.

With the information ``I(w) = sum_i s_i p_i (1 - p_i) u_i u_i.T`` and the leverages ``h_i`` of the rows::

    l*(w) = l(w) + log det I(w) / 2
    dl*   = sum_i (s_i (y_i - p_i) + h_i (1/2 - p_i)) u_i

It takes the first order of the bias from the coefficients, and has a maximum where classes are separated, as the
determinant falls to zero along every direction that goes to infinity (D. Firth, "Bias reduction of maximum likelihood
estimates", 1993; G. Heinze and M. Schemper, "A solution to the problem of separation in logistic regression", 2002).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.objectives.information import Information, information_at
from gpu_logreg.passes.reference.information import Point, determinant_gradient
from gpu_logreg.rows.streamed import Dataset

__all__ = ["FirthAt", "FirthLikelihood"]


@dataclass(frozen=True)
class FirthAt:
    """``l*`` at a point.

    Attributes
    ----------
    value : float
    phi : ndarray of shape (p,)
    information : Information
    """

    value: float
    phi: Float64Vector
    information: Information

    @property
    def inverse(self) -> Float64Matrix:
        """Of the information, in the coordinates."""
        return self.information.inverse


class FirthLikelihood:
    """``l*`` of rows, as a function of ``phi``, the parameters in the coordinates of a point.

    Parameters
    ----------
    data : Dataset
        Of two classes.
    point : Point
        For its coordinates.
    names : function int -> str
        Names of columns, for messages.

    Attributes
    ----------
    reads : int
        Walks over the rows so far.
    """

    def __init__(self, data: Dataset, point: Point, names: Callable[[int], str]) -> None:
        self.coordinates = point.coordinates
        self.weight_total = float(data.weight_total)
        self.reads = 0
        self._data = data
        self._point = point
        self._names = names
        # The determinant is that of the information by [w, b], whatever the coordinates are.
        self._scales = float(np.log(point.coordinates.scale).sum())

    def standardised(self, step: Float64Vector) -> Float64Vector:
        """A step by about standardised columns."""
        return self._point.standard.from_params(step)

    def at(self, phi: Float64Vector) -> FirthAt:
        """``l*`` at ``phi``; one read."""
        self.reads += 1
        found = information_at(self._data, replace(self._point, Phi=phi[None]), self._names)
        scale = np.sqrt(found.sums.information.diagonal())
        correlation = found.sums.information / np.outer(scale, scale)
        log_det = float(np.linalg.slogdet(correlation)[1]) + 2.0 * float(np.log(scale).sum()) + 2.0 * self._scales
        value = found.sums.log_likelihood + 0.5 * log_det
        return FirthAt(value if math.isfinite(value) else -math.inf, phi, found)

    def gradient(self, at: FirthAt) -> Float64Vector:
        """Of ``l*`` by ``phi``; one read."""
        self.reads += 1
        return at.information.sums.grad_sum + determinant_gradient(self._data, at.information.point, at.inverse)
