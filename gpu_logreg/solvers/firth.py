"""Newton's method on Firth's penalised likelihood: to its maximum, along a constraint, and to the ends of a profile.

The steps are those of the information ``I``, which is the Hessian but for the second derivative of the penalty, so that
they converge by a factor that falls with the number of rows. Constraints are on linear functionals ``a`` of the
parameters, such as a coefficient by the columns as they are.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.solvers import Iteration, Observer, SolverResult

__all__ = ["PenalisedLikelihood", "firth_newton", "largest_where", "profile_end"]

LARGEST_MOVE = 5.0
"""Most that a step changes a parameter of a standardised column by."""

MAX_HALVINGS = 25
"""Halvings of a step before the maximum is taken for reached as far as rounding shows."""

LEFT_PER_TOL = 1e-6
"""Remaining increase of the penalised likelihood, by its model, at the end for each ``tol``: an error of the
coefficients of a millionth of their standard errors for the default."""

LEFT_PER_TOL_BY_ROUNDING = 1e-4
"""The same where rounding shows no higher likelihood: an error of a hundred-thousandth of their standard errors."""

PROFILE_STEPS, PROFILE_DIGITS = 60, 1e-9
"""Times that the bracket of an end of a profile is widened, and how exactly the end is found, in standard errors."""


class _At(Protocol):
    @property
    def value(self) -> float:
        """``l*``."""

    @property
    def phi(self) -> Float64Vector:
        """Where."""

    @property
    def inverse(self) -> Float64Matrix:
        """Of the information."""


class PenalisedLikelihood(Protocol):
    """What is maximised: see `gpu_logreg.objectives.firth.FirthLikelihood`."""

    coordinates: Any
    weight_total: float

    def at(self, phi: Float64Vector, /) -> Any:
        """``l*`` and the inverse of the information at ``phi``."""

    def gradient(self, at: Any, /) -> Float64Vector:
        """Of ``l*`` there."""

    def standardised(self, step: Float64Vector, /) -> Float64Vector:
        """A step by ``phi``, as one by about standardised columns."""


def firth_newton(
    likelihood: PenalisedLikelihood, phi: Float64Vector, *, tol: float, max_iter: int, observer: Observer | None = None
) -> SolverResult:
    """Maximise ``l*`` by Newton's method with halved steps.

    It stops where ``max |grad|`` of the mean is at most ``tol`` and the model leaves an increase of ``l*`` of at most
    `LEFT_PER_TOL` of it, or one below rounding.

    Parameters
    ----------
    likelihood : PenalisedLikelihood
    phi : ndarray of shape (p,)
        Where to start.
    tol : float
    max_iter : int
    observer : Observer, optional
        Called after every iteration, with the parameters and the mean of ``-l*``.

    Returns
    -------
    SolverResult
        Of the parameters and of the mean of ``-l*``.
    """
    total = likelihood.weight_total
    at = likelihood.at(phi)
    curve = [-at.value / total]
    n_iter, converged = 0, False
    while True:
        grad = likelihood.gradient(at)
        params_grad = likelihood.coordinates.grad_to_params(grad) / total
        grad_max, left = float(np.abs(params_grad).max(initial=0.0)), 0.5 * float(grad @ at.inverse @ grad)
        rounding = 8.0 * float(np.finfo(np.float64).eps) * abs(at.value)
        if (grad_max <= tol and left <= LEFT_PER_TOL * tol) or left <= rounding:
            converged = True
            message = f"max |grad| = {grad_max:.2g}, and the remaining increase of the likelihood {left:.2g}"
            break
        if n_iter >= max_iter:
            message = f"max_iter = {max_iter} iterations are over, and max |grad| = {grad_max:.2g} > tol = {tol:g}"
            break
        step = _limited(likelihood, at.inverse @ grad)
        found, multiple = _uphill(likelihood, at, step)
        if found is None:
            converged = grad_max <= tol or left <= LEFT_PER_TOL_BY_ROUNDING * tol
            message = (
                f"no higher likelihood is found; max |grad| = {grad_max:.2g}, tol = {tol:g}, "
                f"and the remaining increase {left:.2g}"
            )
            break
        at = found
        n_iter += 1
        curve.append(-at.value / total)
        if observer is not None:
            params = likelihood.coordinates.to_params(at.phi)
            if observer(Iteration(n_iter, params, curve[-1], grad_max, multiple, False, left / total)):
                message = "stopped by a callback"
                break
    params = likelihood.coordinates.to_params(at.phi)
    return SolverResult(params, curve[-1], -params_grad, n_iter, converged, message, curve)


def largest_where(
    likelihood: PenalisedLikelihood, at: Any, A: Float64Matrix, values: Float64Vector, *, max_iter: int = 200
) -> Any:
    """The largest ``l*`` where linear functionals of ``phi`` have given values: ``A phi = values``.

    With ``B`` the inverse of the information, the steps ``B g - B A.T inv(A B A.T) A B g`` keep the functionals.

    Parameters
    ----------
    likelihood : PenalisedLikelihood
    at : FirthAt
        Where to start, whether it meets the constraints or not: from there along the least change in the metric ``I``.
    A : ndarray of shape (q, p)
    values : ndarray of shape (q,)
    max_iter : int

    Returns
    -------
    FirthAt
    """
    BA = at.inverse @ A.T
    at = likelihood.at(at.phi + BA @ np.linalg.solve(A @ BA, values - A @ at.phi))
    for _ in range(max_iter):
        grad = likelihood.gradient(at)
        BA = at.inverse @ A.T
        step = at.inverse @ grad - BA @ np.linalg.solve(A @ BA, BA.T @ grad)
        if 0.5 * float(grad @ step) <= max(1e-12, 8.0 * float(np.finfo(np.float64).eps) * abs(at.value)):
            return at
        found, _ = _uphill(likelihood, at, _limited(likelihood, step))
        if found is None:
            return at
        at = found
    return at


def profile_end(likelihood: PenalisedLikelihood, top: Any, a: Float64Vector, fall: float, sign: float) -> float:
    """The end of a profile interval: ``a @ phi`` where the largest ``l*`` with that ``a @ phi`` has fallen by ``fall``.

    It is the root of ``sqrt(2 (l*_max - l*(t))) - sqrt(2 fall)``, nearly a straight line in ``t``, between the maximum
    and the first of points that go outward by one and a half of the last distance.

    Parameters
    ----------
    likelihood : PenalisedLikelihood
    top : FirthAt
        The maximum.
    a : ndarray of shape (p,)
    fall : float
    sign : float
        1 for the upper end, -1 for the lower.

    Returns
    -------
    float
        NaN where the likelihood does not fall as far.
    """
    from scipy.optimize import brentq

    centre, error = float(a @ top.phi), math.sqrt(float(a @ top.inverse @ a))
    last = [top]  # each search begins where the last has ended

    def excess(distance: float) -> float:
        last[0] = largest_where(likelihood, last[0], a[None], np.array([centre + sign * error * distance]))
        return math.sqrt(2.0 * max(0.0, top.value - last[0].value)) - root

    root = math.sqrt(2.0 * fall)
    inner, outer = 0.0, root
    for _ in range(PROFILE_STEPS):
        if excess(outer) > 0.0:
            found = float(brentq(excess, inner, outer, xtol=PROFILE_DIGITS, rtol=1e-14))
            return centre + sign * error * found
        inner, outer = outer, 1.5 * outer
    return math.nan


def _limited(likelihood: PenalisedLikelihood, step: Float64Vector) -> Float64Vector:
    largest = float(np.abs(likelihood.standardised(step)).max(initial=0.0))
    return np.asarray(step * min(1.0, LARGEST_MOVE / max(largest, 1e-300)))


def _uphill(likelihood: PenalisedLikelihood, at: _At, step: Float64Vector) -> tuple[Any, float]:
    """The first of the halved steps that raises ``l*``, and its multiple; None where none does."""
    multiple = 1.0
    for _ in range(MAX_HALVINGS):
        found = likelihood.at(at.phi + multiple * step)
        if found.value > at.value:
            return found, multiple
        multiple *= 0.5
    return None, 0.0
