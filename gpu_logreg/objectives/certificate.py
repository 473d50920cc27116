"""What tells that a fit is at the optimum: the exact (sub)gradient in standardised columns, whoever found the point.

A solver stops by what its model of the curvature leaves to gain, and a bad model sees nothing left anywhere. The
gradient itself is of no model. By ``phi`` (see `gpu_logreg.rows.coordinates.Coordinates`) let ``v`` be the
subgradient of least norm and ``h_j`` a bound of the curvature along coordinate j; then ``v_j**2 / (2 h_j)`` is to be
gained along this coordinate alone. With ``p (1 - p) <= row_loss`` the curvature of the loss along a standardised column
is about the value at most, and ``h_j = min(1/4, 4 value) + l2 / scale_j**2`` bounds it but for columns that hang on few
rows of great loss. The residual ``max_j |v_j| / sqrt(h_j)`` is small at an optimum and large elsewhere.

Source: S. Boyd and L. Vandenberghe, "Convex Optimization" (2004), sections 5.5.3 and 9.1.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.mathematics.penalty import l1_by_parameter, l1_penalty, l2_penalty, subgradient
from gpu_logreg.objectives.exact_value import value_about_the_centre
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.solvers import SolverResult
from gpu_logreg.solvers.criteria import DECREASE_PER_TOL, VALUE_ROUNDING

__all__ = [
    "Again",
    "Certificate",
    "certificate",
    "coef_dtype",
    "finished",
    "gradient_noise",
    "gradient_rounding",
    "l1_strengths",
    "with_exact_value",
]

MARGIN = 3.0
"""A residual may be so many times what the least decrease of a solver amounts to."""

LEAST_DECREASE = 1e-14
"""What is left to gain, relatively, that no ``tol`` asks to fall below."""

NOISE = 4.0
"""Multiple of the rounding of a row by which a gradient may be off."""


class Certificate(NamedTuple):
    """How far a point is from the optimum by its gradient, and how far it may be.

    Attributes
    ----------
    residual : float
        ``max_j |v_j| / sqrt(h_j)``, less rounding.
    limit : float
        ``3 sqrt(2 decrease |value|)`` with ``decrease`` what a solver may leave to gain, ``1e-3 tol``.
    """

    residual: float
    limit: float

    @property
    def holds(self) -> bool:
        """Whether the point is an optimum as far as the gradient tells."""
        return self.residual <= self.limit


def l1_strengths(objective: Objective) -> Float64Vector:
    """The strength of the L1 penalty on every parameter."""
    K = objective.n_logits
    return np.tile(l1_by_parameter(objective.l1, objective.dataset.n_columns, objective.n_params // K), K)


@np.errstate(over="ignore", invalid="ignore")
def certificate(
    objective: Objective, params: Float64Vector, value: float, grad: Float64Vector, tol: float
) -> Certificate:
    """The certificate of a point.

    Parameters
    ----------
    objective : Objective
        With ``centre`` and ``spread`` known.
    params : ndarray of shape (p,)
    value : float
        With all penalties.
    grad : ndarray of shape (p,)
        Of the smooth part of the value.
    tol : float
    """
    K, columns = objective.n_logits, objective.standard_columns
    limit = MARGIN * math.sqrt(2.0 * max(DECREASE_PER_TOL * tol, LEAST_DECREASE) * abs(value))

    def by_class(packed: Float64Vector) -> Float64Vector:
        return packed.reshape(K, -1)

    strengths = by_class(l1_strengths(objective)) / np.append(columns.scale, np.ones(int(columns.fit_intercept)))
    v = np.abs(subgradient(by_class(params), columns.grad_to_phi(by_class(grad)), strengths))
    ridge = objective.l2 / columns.scale / columns.scale
    h = min(0.25, 4.0 * abs(value)) + (np.append(ridge, 0.0) if columns.fit_intercept else ridge)
    residual = float((np.maximum(v - gradient_noise(objective, value), 0.0) / np.sqrt(h)).max(initial=0.0))
    return Certificate(residual if residual == residual else math.inf, limit)


def gradient_noise(objective: Objective, value: float) -> Float64Vector:
    """By how much rounding may move the gradient along every standardised column, and the intercept.

    By Cauchy and Schwarz it is at most the precision times ``sqrt(2 value)``, since ``dz**2 <= 2 row_loss``, and more
    for columns far from zero.
    """
    columns = objective.standard_columns
    noise = 1.0 + np.abs(columns.mean) / columns.scale
    if columns.fit_intercept:
        noise = np.append(noise, 1.0)
    noise *= gradient_rounding(value, objective.precision)
    return np.asarray(noise)


def gradient_rounding(value: float, precision: float = float(np.finfo(np.float64).eps)) -> float:
    """The same by rows in standardised columns."""
    return NOISE * precision * math.sqrt(2.0 * abs(value))


Again = Callable[[SolverResult, float, int], SolverResult]
"""From where a fit has ended, a smaller ``tol`` and the iterations that are left to a better end."""

ATTEMPTS = 3
"""Times a fit goes on after an end without a certificate."""

PREDICTED = 2e-9
"""Share of the value that a model may have predicted: it errs by a fraction of it."""


def finished(
    objective: Objective,
    result: SolverResult,
    tol: float,
    max_iter: int,
    again: Again,
    decrement: Callable[[Float64Vector, Float64Vector, float], float] | None = None,
    where_stuck: Callable[[Float64Vector, Float64Vector, float], float] | None = None,
) -> SolverResult:
    """The end of a fit, its value exact; converged only with a certificate.

    Where there is none the fit goes on, ``ATTEMPTS`` times; where it cannot, it has not converged.

    Parameters
    ----------
    objective : Objective
    result : SolverResult
        Where a solver has ended.
    tol : float
    max_iter : int
    again : Again
        Another way on than the one that has ended here.
    decrement : function (params, grad, value) -> float, optional
        Where a Hessian of all rows costs little: see `gpu_logreg.objectives.decrement`.
    where_stuck : function (params, grad, value) -> float, optional
        The same for an end where no lower value was found: where rounding hides it, this tells what is left to gain.
    """
    was_stuck = False
    for attempt in range(ATTEMPTS + 1):
        if objective.centre is None or objective.spread is None:
            objective.column_moments()
        result = with_exact_value(objective, _without_shift(objective, result))
        if not (result.converged or (result.stuck and where_stuck is not None)):
            return result
        was_stuck = was_stuck or result.stuck
        left_at = where_stuck if was_stuck else decrement
        grad = result.grad if result.smooth_grad is None else result.smooth_grad
        proof = certificate(objective, result.params, result.value, grad, tol)
        measure = "subgradient by standardised columns"
        if proof.holds and left_at is not None:
            left = left_at(result.params, grad, result.value) / max(abs(result.value), 1e-300)
            measure = "root of the Newton decrement over the value"
            proof = Certificate(math.sqrt(left), MARGIN * math.sqrt(max(DECREASE_PER_TOL * tol, LEAST_DECREASE)))
        if proof.holds:
            return replace(result, converged=True)
        if attempt == ATTEMPTS or result.n_iter >= max_iter:
            break
        result = _joined(result, again(result, 0.1 ** (attempt + 1) * tol, max_iter - result.n_iter))
    message = f"the {measure} is {proof.residual:.2g}, and at most {proof.limit:.2g} at an optimum"
    return replace(result, converged=False, message=message)


def with_exact_value(objective: Objective, result: SolverResult) -> SolverResult:
    """The same end with its value and gradient by passes in float64, where they are not known well enough."""
    rounded = objective.rounding > VALUE_ROUNDING
    if not rounded and objective.rounding_about_the_centre(result.params, result.value) > 0.1 * VALUE_ROUNDING:
        value = value_about_the_centre(objective, result.params) + l1_penalty(result.params, l1_strengths(objective))
        result = replace(result, value=value, loss_curve=[*result.loss_curve[:-1], value], predicted=0.0)
    if not math.isfinite(result.value) or not (rounded or result.predicted > PREDICTED * abs(result.value)):
        return result
    objective.widen()
    value, grad = objective(result.params)
    if objective.rounding > VALUE_ROUNDING:
        value = value_about_the_centre(objective, result.params)
    l1 = l1_strengths(objective)
    value += l1_penalty(result.params, l1)
    curve = [*result.loss_curve[:-1], value]
    of_least_norm = subgradient(result.params, grad, l1)
    return replace(result, value=value, grad=of_least_norm, smooth_grad=grad, loss_curve=curve, predicted=0.0)


def _without_shift(objective: Objective, result: SolverResult) -> SolverResult:
    """The same end where no constant could be added to the weights of all classes to make the penalty less.

    Such a constant changes no probability. With L1 alone it is the median that is to be 0, and with a ridge something
    near the mean, which is the mean to all digits where the ridge is not next to nothing.
    """
    K = objective.n_logits
    if K == 1 or not result.params.any():
        return result
    by_class = result.params.reshape(K, -1).copy()
    w = by_class[:, : objective.dataset.n_columns]
    before, shift = _penalties(objective, w), _least_shift(w, objective.l1, objective.l2)
    w -= shift
    if objective.fit_intercept:
        by_class[:, -1] -= by_class[:, -1].mean()
    value = result.value + _penalties(objective, w) - before
    of_shift = np.zeros_like(by_class)
    of_shift[:, : len(shift)] = objective.l2 * shift
    grad = (result.grad if result.smooth_grad is None else result.smooth_grad) - of_shift.ravel()
    params = by_class.ravel()
    of_least_norm = subgradient(params, grad, l1_strengths(objective))
    curve = [*result.loss_curve[:-1], value]
    return replace(result, params=params, value=value, grad=of_least_norm, smooth_grad=grad, loss_curve=curve)


def _penalties(objective: Objective, w: Float64Vector) -> float:
    return l2_penalty(w, objective.l2)[0] + objective.l1 * float(np.abs(w).sum())


def _least_shift(w: Any, l1: float, l2: float) -> Any:
    """The constants ``c`` of shape (d,) that minimise ``sum_k l1 |w_k - c| + l2 (w_k - c)**2 / 2``.

    The slope rises by ``2 l1`` at every ``w_k`` and by ``K l2`` between them: between two of them, sorted, it vanishes
    at the mean plus ``l1 / l2`` times the difference of how many lie above and below, over K, or it is at one of them.
    """
    K = len(w)
    if l1 == 0.0:
        return w.mean(axis=0)
    ordered = np.sort(w, axis=0)
    if l2 == 0.0:
        middle = ordered[[(K - 1) // 2, K // 2]]
        return np.clip(0.0, middle[0], middle[1])
    below = np.arange(K + 1)[:, None]
    between = w.mean(axis=0) + l1 / l2 * (K - 2 * below) / K
    low = np.vstack([np.full(w.shape[1], -np.inf), ordered])
    high = np.vstack([ordered, np.full(w.shape[1], np.inf)])
    at = np.clip(between, low, high)
    cost = np.abs(at[None] - w[:, None]).sum(axis=0) * l1 + 0.5 * l2 * ((at[None] - w[:, None]) ** 2).sum(axis=0)
    best = at[cost.argmin(axis=0), np.arange(w.shape[1])]
    zero = np.abs(w).sum(axis=0) * l1 + 0.5 * l2 * (w * w).sum(axis=0)
    return np.where(cost.min(axis=0) < zero * (1.0 - 1e-12), best, 0.0)


def _joined(first: SolverResult, then: SolverResult) -> SolverResult:
    """One result of two solvers, the second of which began where the first had ended."""
    curve = [*first.loss_curve, *then.loss_curve[1:]]
    return replace(then, n_iter=first.n_iter + then.n_iter, loss_curve=curve)


COEF_ROUNDING = 1e-10
"""What rounding the weights may add to the value, relatively, by an estimate that is right within a factor of ten."""


def coef_dtype(objective: Objective, result: SolverResult, wanted: Any) -> Any:
    """float32 for the weights where it is wanted and holds the optimum, else float64.

    Rounding ``w`` by ``r`` moves the logits by ``u @ r`` and the value by ``grad @ r`` and about
    ``sum_j r_j**2 (scale_j**2 / 8 + l2 / 2)``: the ``r_j`` are of random sign, so columns may be correlated or not.
    Weights that nearly cancel, of collinear columns, lose more digits of the value than the dtype has.
    """
    if wanted == np.float64 or objective.spread is None:
        return wanted
    if bool(((objective.spread == 1.0) & np.atleast_2d(objective.unpack(result.params)[0]).any(axis=0)).any()):
        objective.column_moments()  # of columns that a sample held for constant, and that have weights all the same
    w, gradient = (objective.unpack(packed)[0] for packed in (result.params, result.grad))
    with np.errstate(over="ignore", invalid="ignore"):
        r = w - w.astype(wanted)
        added = (r * r * (0.125 * objective.standard_columns.scale**2 + 0.5 * objective.l2)).sum()
        added += np.abs(gradient * r).sum()
    return wanted if added <= COEF_ROUNDING * abs(result.value) else np.float64
