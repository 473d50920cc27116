"""The certificate of optimality: the size of the exact (sub)gradient, whichever solver found the point.

A solver stops where its estimate of the remaining decrease of the value is small. The estimate rests on a model of the
curvature (the metric of L-BFGS, the Hessian of a sample); with a bad model it can be small far from the optimum. The
certificate needs the exact gradient and a bound of the curvature, and no model.

In the coordinates ``phi`` of standardised columns (`gpu_logreg.rows.coordinates.Coordinates`) let ``v`` be the
subgradient of least norm, and ``h_j`` an upper bound of the second derivative of the value along coordinate j. A step
along this coordinate alone lowers the value by at least ``v_j**2 / (2 h_j)``. So a point from which no more than
``decrease`` can be gained has a residual ``max_j |v_j| / sqrt(h_j)`` of at most ``sqrt(2 decrease)``. The converse does
not hold: a direction of many columns may gain more than any column alone; see `gpu_logreg.objectives.decrement`.

The bound: a standardised column has a mean square of 1, and the second derivative of a row's loss by its logit is
``p (1 - p) <= min(1/4, row_loss)``. So ``h_j = min(1/4, 4 value) + l2 / scale_j**2``, where the factor 4 allows for
columns whose mean square comes from rows with a larger loss than the mean.

Source: S. Boyd and L. Vandenberghe, "Convex Optimization" (2004), sections 5.5.3 and 9.1.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.mathematics.penalty import l1_penalty, subgradient
from gpu_logreg.objectives.exact_value import value_about_the_centre
from gpu_logreg.objectives.free_directions import without_shift
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.value_rounding import rounding_about_the_centre
from gpu_logreg.rows.coordinates import Coordinates
from gpu_logreg.solvers import SolverResult
from gpu_logreg.solvers.criteria import DECREASE_PER_TOL, VALUE_ROUNDING

__all__ = [
    "Certificate",
    "RemainingDecrease",
    "Restart",
    "certificate",
    "certify",
    "coef_dtype",
    "gradient_noise",
    "gradient_rounding",
    "with_exact_value",
]

MARGIN = 3.0
"""Factor by which the residual may exceed ``sqrt(2 decrease)``: the estimates by which solvers stop are rough.

A choice: 3 in the residual is 9 in the remaining decrease."""

LEAST_DECREASE = 1e-14
"""Relative remaining decrease below which no ``tol`` goes: about 50 roundings of a float64 value."""

NOISE = 4.0
"""Rounding error of a gradient, as a multiple of the rounding error of one row: a safety factor, not measured."""


RemainingDecrease = Callable[[Float64Vector, Float64Vector, float], float]
"""From parameters, the gradient of the smooth part and the value there to an estimate of the remaining decrease."""


class Certificate(NamedTuple):
    """The residual of a point and the largest residual of an optimum.

    Attributes
    ----------
    residual : float
        ``max_j |v_j| / sqrt(h_j)``, after the rounding error of ``v`` is subtracted.
    limit : float
        ``3 sqrt(2 decrease |value|)`` with the relative decrease ``1e-3 tol`` at which solvers stop.
    """

    residual: float
    limit: float

    @property
    def holds(self) -> bool:
        """Whether the gradient is as small as at an optimum."""
        return self.residual <= self.limit


@np.errstate(over="ignore", invalid="ignore")
def certificate(
    objective: Objective,
    params: Float64Vector,
    value: float,
    grad: Float64Vector,
    tol: float,
    subgradient_by_phi: Callable[[Float64Vector, Float64Vector], Float64Vector] | None = None,
) -> Certificate:
    """The certificate of a point.

    Parameters
    ----------
    objective : Objective
        Its ``centre`` and ``spread`` are known.
    params : ndarray of shape (p,)
    value : float
        Mean loss and all penalties at ``params``.
    grad : ndarray of shape (p,)
        Gradient of the smooth part of the value: without the L1 penalty.
    tol : float
        That of the solver.
    subgradient_by_phi : function (gradient, scale) -> subgradient, optional
        Of least norm, within bounds too, from the gradient by standardised columns, of shape (n_logits, p); ``scale``
        is theirs, of shape (p,).
    """
    columns, by_class = objective.standard_columns, (objective.n_logits, -1)
    limit = MARGIN * math.sqrt(2.0 * max(DECREASE_PER_TOL * tol, LEAST_DECREASE) * abs(value))

    v = columns.grad_to_phi(grad.reshape(by_class))
    scale = np.append(columns.scale, np.ones(int(columns.fit_intercept)))
    if subgradient_by_phi is not None:
        v = subgradient_by_phi(v, scale)
    elif objective.l1 > 0.0:
        v = subgradient(params.reshape(by_class), v, objective.l1_strengths.reshape(by_class) / scale)
    v = np.abs(v)
    ridge = objective.l2 / columns.scale / columns.scale
    h = min(0.25, 4.0 * abs(value)) + (np.append(ridge, 0.0) if columns.fit_intercept else ridge)
    noise = gradient_noise(columns, value, objective.precision)
    beyond = np.maximum(v - noise, 0.0)
    h = np.broadcast_to(h, beyond.shape)
    with np.errstate(divide="ignore"):  # a loss of 0 has no curvature, and no subgradient by which to tell its minimum
        residual = float(np.divide(beyond, np.sqrt(h), out=np.zeros_like(beyond), where=beyond != 0.0).max(initial=0.0))
    return Certificate(residual if residual == residual else math.inf, limit)


def gradient_noise(columns: Coordinates, value: float, precision: float) -> Float64Vector:
    """Bound of the rounding error of the gradient along every standardised column, and along the intercept.

    The gradient is ``mean(dz_i u_ij)`` with ``mean(u_ij**2) = 1``. By Cauchy and Schwarz its rounding error is at most
    the precision times ``sqrt(mean(dz**2)) <= sqrt(2 value)``, since ``dz**2 <= 2 row_loss``. A column far from zero
    has ``1 + |mean_j| / scale_j`` times that, as the pass sums the columns before they are centred.

    Parameters
    ----------
    columns : Coordinates
        Of the standardised columns.
    value : float
    precision : float
        Machine epsilon of the dtype that the gradient is summed in.
    """
    noise = 1.0 + np.abs(columns.mean) / columns.scale
    if columns.fit_intercept:
        noise = np.append(noise, 1.0)
    noise *= gradient_rounding(value, precision)
    return np.asarray(noise)


def gradient_rounding(value: float, precision: float = float(np.finfo(np.float64).eps)) -> float:
    """Bound of the rounding error of a gradient that is summed over rows in standardised columns."""
    return NOISE * precision * math.sqrt(2.0 * abs(value))


Restart = Callable[[SolverResult, float, int], SolverResult]
"""A solver that goes on from a result, with a smaller ``tol`` and a number of iterations."""

MAX_RESTARTS = 3
"""Times a solver is restarted from an end without a certificate, each time with a tenth of ``tol``. A choice."""

LARGEST_PREDICTION = 2e-9
"""Share of the value up to which a final decrease may be predicted by the model of the curvature instead of evaluated.

The prediction errs by a fraction of itself. As large as the rounding at which a value counts as exact."""


def certify(
    objective: Objective,
    result: SolverResult,
    tol: float,
    max_iter: int,
    restart: Restart,
    decrement: RemainingDecrease | None = None,
    where_stuck: RemainingDecrease | None = None,
) -> SolverResult:
    """The result of a fit with its exact value, converged only if the certificate holds.

    While it does not hold, another solver goes on from the result, up to `MAX_RESTARTS` times. A result that still has
    no certificate has not converged, and its message gives the residual.

    Parameters
    ----------
    objective : Objective
    result : SolverResult
        End of a solver.
    tol : float
    max_iter : int
    restart : Restart
        Goes on from a result by another model of the curvature, or another solver, than the one that ended there.
    decrement : RemainingDecrease, optional
        A second test, of the Newton decrement, where a Hessian of all rows costs little: see
        `gpu_logreg.objectives.decrement`.
    where_stuck : RemainingDecrease, optional
        The same test for a solver that found no lower value: rounding may hide the remaining decrease, and then only
        this estimate shows whether the point is an optimum.
    """
    was_stuck = False
    for attempt in range(MAX_RESTARTS + 1):
        if objective.centre is None or objective.spread is None:
            objective.column_moments()
        result = with_exact_value(objective, without_shift(objective, result, objective.l1_strengths))
        if not (result.converged or (result.stuck and where_stuck is not None)):
            return result
        was_stuck = was_stuck or result.stuck
        remaining_decrease = where_stuck if was_stuck else decrement
        grad = result.grad if result.smooth_grad is None else result.smooth_grad
        proof = certificate(objective, result.params, result.value, grad, tol)
        measure = "subgradient by standardised columns"
        if proof.holds and remaining_decrease is not None:
            left = remaining_decrease(result.params, grad, result.value) / max(abs(result.value), 1e-300)
            measure = "root of the Newton decrement over the value"
            proof = Certificate(math.sqrt(left), MARGIN * math.sqrt(max(DECREASE_PER_TOL * tol, LEAST_DECREASE)))
        if proof.holds:
            return replace(result, converged=True)
        if attempt == MAX_RESTARTS or result.n_iter >= max_iter:
            break
        result = _join(result, restart(result, 0.1 ** (attempt + 1) * tol, max_iter - result.n_iter))
    message = f"the {measure} is {proof.residual:.2g}, and at most {proof.limit:.2g} at an optimum"
    return replace(result, converged=False, message=message)


def with_exact_value(objective: Objective, result: SolverResult) -> SolverResult:
    """The same point with its value and gradient from passes in float64, where the rounding of the solver's would show.

    A value from rows far from zero is summed about the centre of the columns, without a new gradient, where that is all
    it needs; a value that the solver predicted, or that float32 passes summed, is evaluated again with its gradient.
    """
    rounded = objective.rounding > VALUE_ROUNDING
    if not rounded:
        assert objective.spread is not None
        w = objective.unpack(result.params)[0]
        by_centred_rows = rounding_about_the_centre(w, result.value, objective.dataset.n_rows, objective.spread)
        if by_centred_rows > 0.1 * VALUE_ROUNDING:
            value = value_about_the_centre(objective, result.params) + l1_penalty(result.params, objective.l1_strengths)
            result = replace(result, value=value, loss_curve=[*result.loss_curve[:-1], value], predicted=0.0)
    if not math.isfinite(result.value) or not (rounded or result.predicted > LARGEST_PREDICTION * abs(result.value)):
        return result
    objective.widen()
    value, grad = objective(result.params)
    if objective.rounding > VALUE_ROUNDING:
        value = value_about_the_centre(objective, result.params)
    l1 = objective.l1_strengths
    value += l1_penalty(result.params, l1)
    curve = [*result.loss_curve[:-1], value]
    subgrad = subgradient(result.params, grad, l1)
    return replace(result, value=value, grad=subgrad, smooth_grad=grad, loss_curve=curve, predicted=0.0)


def _join(first: SolverResult, then: SolverResult) -> SolverResult:
    """The result of two solvers that ran one after the other, the second from the end of the first."""
    curve = [*first.loss_curve, *then.loss_curve[1:]]
    return replace(then, n_iter=first.n_iter + then.n_iter, loss_curve=curve)


COEF_ROUNDING = 1e-10
"""Relative increase of the value up to which weights may be rounded to float32.

The increase is estimated to within a factor of ten, so that it stays below 1e-9."""


FloatType = type[np.float32] | type[np.float64]


def coef_dtype(objective: Objective, result: SolverResult, wanted: FloatType) -> FloatType:
    """The dtype of ``coef_``: ``wanted`` (float32 for float32 rows) if the weights keep the value in it, else float64.

    Rounding ``w`` by ``r`` changes the value by ``grad @ r`` and about ``sum_j r_j**2 (scale_j**2 / 8 + l2 / 2)``, as
    the signs of the ``r_j`` are random, so that correlations of the columns do not count. Large weights of nearly
    collinear columns, which cancel in the logits, cannot be rounded to float32.
    """
    if wanted == np.float64 or objective.spread is None:
        return wanted
    if bool(((objective.spread == 1.0) & np.atleast_2d(objective.unpack(result.params)[0]).any(axis=0)).any()):
        objective.column_moments()  # the spread of a column that was constant in a sample and has a weight is not known
    w, gradient = (objective.unpack(packed)[0] for packed in (result.params, result.grad))
    with np.errstate(over="ignore", invalid="ignore"):
        r = w - w.astype(wanted)
        increase = (r * r * (0.125 * objective.standard_columns.scale**2 + 0.5 * objective.l2)).sum()
        increase += np.abs(gradient * r).sum()
    return wanted if increase <= COEF_ROUNDING * abs(result.value) else np.float64
