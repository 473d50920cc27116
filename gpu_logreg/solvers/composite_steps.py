"""Proximal Newton steps until the minimum: the loop around `gpu_logreg.solvers.composite.ProximalSteps`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.solvers import Observer, SolverResult
from gpu_logreg.solvers.composite import Composite, ProximalSteps
from gpu_logreg.solvers.criteria import Criterion
from gpu_logreg.solvers.heavy_composite import CompositeDoubt
from gpu_logreg.solvers.iteration_loop import PATIENCE, BeforeStep, Refresh, iterate

__all__ = ["proximal_steps"]

ON_THE_WAY = 1e-3
"""Largest subgradient of a model at its minimum, relative to that at its start, on the way: steps that correct the
model leave more than that to the next."""


def proximal_steps(
    composite: Composite,
    start: Float64Vector,
    H: Any,
    *,
    criterion: Criterion,
    max_iter: int,
    refresh: Refresh | None = None,
    rescue: Callable[[Float64Vector], Any] | None = None,
    observer: Observer | None = None,
    patience: int = PATIENCE,
    last_step: bool = False,
    forcing: float = ON_THE_WAY,
    before_step: BeforeStep | None = None,
    doubt: CompositeDoubt | None = None,
    keep: Callable[[ProximalSteps], None] | None = None,
) -> SolverResult:
    """Minimise ``F``.

    Parameters
    ----------
    composite : Composite
    start : ndarray of shape (p,)
    H : ndarray of shape (p, p)
        Positive definite: the first model of the curvature.
    criterion : Criterion
        Asked with the value, the subgradient and the remaining decrease by the model.
    max_iter : int
    rescue : function x -> ndarray of shape (p, p), optional
        A better matrix, from more rows or at the present point, for where the present one has misled: a step had to be
        cut to an eighth, or no lower value was found.
    refresh, observer, patience, last_step, before_step
        As for `gpu_logreg.solvers.lbfgs.lbfgs`. Criteria and refreshments see the subgradient as ``grad``.
    forcing : float
        How well models are minimised on the way: see `gpu_logreg.solvers.coordinate_descent.model_minimum`. The last
        step's is minimised as well as that does by itself.
    doubt : CompositeDoubt, optional
        When the matrix of a sample has misled about heavy rows, and the model that knows them.
    keep : function, optional
        Called with the steps before they begin: they hold what is known at the end.

    Returns
    -------
    SolverResult
        ``grad`` is the subgradient, by the parameters that are shown; ``smooth_grad`` the gradient of ``f`` by ``x``.
    """
    asks_always = composite.root is not None
    steps = ProximalSteps(composite, start, H, refresh if asks_always else None, rescue, forcing, doubt)
    if keep is not None:
        keep(steps)
    return iterate(
        steps,
        criterion=criterion,
        max_iter=max_iter,
        refresh=None if asks_always else refresh,
        observer=observer,
        patience=patience,
        last_step=last_step,
        before_step=before_step,
    )
