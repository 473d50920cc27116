"""From an objective of a linear model to its solution: which solver, what it needs, and what follows its end."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

import numpy as np

from gpu_logreg.arrays.memory import free_memory
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.callbacks import logger
from gpu_logreg.estimators.journal import Journal
from gpu_logreg.estimators.linear.batches import linear_batches
from gpu_logreg.estimators.linear.by_columns import by_columns, refused_by_columns
from gpu_logreg.estimators.linear.column_sets import proximal_by_columns
from gpu_logreg.estimators.linear.inexact_newton import newton_cg_by_measure
from gpu_logreg.estimators.linear.parameters import Asked
from gpu_logreg.estimators.linear.penalty_factors import given_factors
from gpu_logreg.estimators.linear.problem import Limits, Options, Problem, Solver, in_working_sets, many_columns
from gpu_logreg.estimators.linear.quasi_newton import lbfgs_from_a_diagonal, lbfgs_with_all_rows, without_a_sample
from gpu_logreg.estimators.linear.row_space import has_row_space
from gpu_logreg.estimators.linear.starts import better_than_no_weights, start_without_weights
from gpu_logreg.estimators.prepare import Prepared
from gpu_logreg.files.reading import gib
from gpu_logreg.mathematics.losses import Labels
from gpu_logreg.mathematics.penalty import elastic_net_strengths
from gpu_logreg.objectives.certificate import RemainingDecrease, certify
from gpu_logreg.objectives.decrement import l1_decrement, newton_decrement
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.passes.by_blocks import choose_for
from gpu_logreg.passes.choice import choose
from gpu_logreg.passes.recorded import RecordedEngine
from gpu_logreg.solvers import SolverResult
from gpu_logreg.solvers.costs import columns_pay, sampling_pays
from gpu_logreg.solvers.gradient_descent import gradient_descent
from gpu_logreg.solvers.lbfgs import lbfgs
from gpu_logreg.solvers.subsampled_newton import subsampled_newton

__all__ = ["SOLVERS", "chosen_solver", "minimise", "objective_of", "with_first_strength"]

SOLVERS = {
    "subsampled-newton": Solver(
        subsampled_newton, ("sampler", "warm", "diagonal", "independent"), has_hessian=True, hands_over=True
    ),
    "newton-cg": Solver(newton_cg_by_measure, ("shares", "rng", "warm"), has_hessian=True),
    "proximal": Solver(proximal_by_columns, ("rng", "warm", "in_working_sets", "first_sample"), has_hessian=True),
    "coordinate-descent": Solver(by_columns, ("saved",), has_hessian=True, goes_on=True),
    "lbfgs": Solver(lbfgs_from_a_diagonal, ("shares", "rng", "warm", "newton_costs_little")),
    "gradient-descent": Solver(gradient_descent, ("step", "learning_rate"), starts_at_0=True, goes_on=True),
    "sgd": Solver(
        partial(linear_batches, optimizer="sgd"),
        ("learning_rate", "rng", "saved"),
        starts_at_0=True,
        reaches_optimum=False,
    ),
    "adam": Solver(
        partial(linear_batches, optimizer="adam"),
        ("learning_rate", "rng", "saved"),
        starts_at_0=True,
        reaches_optimum=False,
        learning_rate=1e-3,
    ),
}
"""What runs by each name of the parameter ``solver``, and what it needs."""

HESSIANS_KEPT, SMALL_HESSIANS = 3, 2**26
"""Matrices of a Hessian's size that are in memory at a time: it, its factor, and its change; and bytes of them up to
which the memory that is free is not looked at."""

FEW_STEPS, STEPS_MORE = 100, 40
"""Iterations on few rows after which another solver goes on, and of each of those. Newton's method takes about ten; a
hundred tell of columns that it cannot tell apart."""


def objective_of(
    prepared: Prepared, asked: Asked, impl: str, fit_intercept: bool, journal: Journal | None = None
) -> Objective:
    """The objective of prepared rows, with the engine for ``impl``, recorded or not, and the penalty asked for."""
    data, device, loss = prepared.data, prepared.device, prepared.offset_loss or prepared.target.loss
    assert not isinstance(loss, Labels)  # which are for networks
    n_params = loss.n_logits * (data.n_columns + int(fit_intercept))
    hessian = loss.hessian_form(n_params)
    asks = asked.solver == "coordinate-descent" or many_columns(hessian)
    asks = asks or (data.is_resident and columns_pay(data.n_stored, hessian, asked.in_path))
    by_columns = asked.l1_ratio > 0.0 and not (asked.has_groups or asked.has_bounds) and asks
    l1, l2 = elastic_net_strengths(asked.C, asked.l1_ratio, data.weight_total)
    if data.is_resident:
        engine = choose(impl, data.rows, device, loss, by_columns=by_columns)
    else:
        engine = choose_for(impl, data, device, loss)
    if logger.isEnabledFor(logging.INFO):
        logger.info("device %s (%s), pass %s (%s)", device.name, device.reason, engine.name, engine.reason)
    if journal is not None:
        engine = RecordedEngine(engine, data, journal.recall)
    factors = None
    if asked.penalty_factor is not None:
        factors = given_factors(asked.penalty_factor, data.n_columns, asked.solver)
        if not factors.any():
            l1 = l2 = 0.0
    return Objective(data, engine, l2, fit_intercept, l1, factors)


def chosen_solver(solver: str, reason: str, objective: Objective, in_path: bool = False) -> tuple[str, str]:
    """What ``solver="auto"`` is for this objective, and why; any other name is itself, for the reason given.

    ``in_path`` is as of `gpu_logreg.estimators.linear.parameters.Asked`. The reason says why a problem of many columns
    is not solved by columns where it is not, and where there is no memory for a Hessian.

    Raises
    ------
    DataError
        Of a Hessian that is asked for by name, and for which there is no memory.
    """
    if solver != "auto":
        no_hessian = refused_hessian(objective) if solver == "subsampled-newton" else None
        if no_hessian is not None:
            raise DataError(f"solver={solver!r} cannot be used: {no_hessian}; use solver='lbfgs'")
        return solver, reason
    if objective.l1 > 0.0:
        many, dataset = in_working_sets(objective), objective.dataset
        if not many and not (dataset.is_resident and columns_pay(dataset.n_stored, objective.hessian_form, in_path)):
            return "proximal", reason
        refused = refused_by_columns(objective)
        if refused is None:
            return "coordinate-descent", reason
        return "proximal", f"{reason}; not 'coordinate-descent': {refused}" if many else reason
    ridge = float(np.min(objective.l2) * objective.dataset.weight_total)
    pays = sampling_pays(objective.dataset.n_rows, objective.hessian_form, objective.costs, ridge)
    no_hessian = refused_hessian(objective) if pays else None
    if no_hessian is not None:
        pays, reason = False, f"{reason}; not 'subsampled-newton': {no_hessian}"
    return ("subsampled-newton" if pays else "newton-cg" if has_row_space(objective) else "lbfgs"), reason


def refused_hessian(objective: Objective) -> str | None:
    """Why there is no memory for Hessians; None where there is."""
    nbytes = HESSIANS_KEPT * 8.0 * objective.hessian_form.n_kept
    if nbytes <= SMALL_HESSIANS or nbytes <= (available := free_memory()):
        return None
    return f"its Hessians take {gib(int(nbytes))}, and {gib(available)} are available"


def with_first_strength(objective: Objective, result: SolverResult, C: float) -> SolverResult:
    """The same result; where an L1 penalty leaves no weight, its message gives the C from which one enters.

    A weight enters where the gradient by it exceeds the strength, which falls as ``1 / C``.
    """
    by_column = objective.penalty_factor is not None  # of which each may enter at another
    if objective.l1 == 0.0 or not result.converged or result.smooth_grad is None or by_column:
        return result
    if objective.unpack(result.params)[0].any():
        return result
    largest = float(np.abs(objective.unpack(result.smooth_grad)[0]).max(initial=0.0))
    enters = (
        f"one enters above C = {C * objective.l1 / largest:.3g}" if largest > 0.0 else "the columns tell nothing of y"
    )
    return replace(result, message=f"{result.message}; all weights are zero: {enters}")


def minimise(
    options: Options,
    name: str,
    objective: Objective,
    shares: Float64Vector,
    start: Float64Vector | None,
    limits: Limits,
) -> SolverResult:
    """Run a solver of the table, and go on from its end until that is certified to be the optimum.

    Parameters
    ----------
    options : Options
    name : str
        Of the solver.
    objective : Objective
    shares : ndarray of shape (K,)
        Of the classes.
    start : ndarray of shape (p,) or None
        The solution of the last fit.
    limits : Limits
    """
    if limits.max_iter == 0 and start is None:  # as scikit-learn: no step, and p = 1 / K
        start = np.zeros(objective.n_params)
        if objective.l1 == 0.0:
            return lbfgs(objective, start, **limits._asdict())
    if start is not None and limits.max_iter > 0 and not better_than_no_weights(objective, shares, start):
        start = None
    solver, problem = SOLVERS[name], Problem(objective, shares, options, warm=start is not None)
    if start is None:
        at_0 = solver.starts_at_0
        start = np.zeros(objective.n_params) if at_0 else start_without_weights(objective, shares)
    most = min(limits.max_iter, FEW_STEPS) if problem.few_rows and solver.hands_over else limits.max_iter
    result = _handed_over(problem.solve(solver, start, limits._replace(max_iter=most)), most, limits.max_iter)
    if not solver.reaches_optimum:
        return result
    where_stuck = l1_decrement(objective, problem.sampler, cautious=True) if problem.few_rows else None
    again = _Continuation(problem, solver, limits)
    decrement = _decrement(problem, solver)
    return certify(objective, result, limits.tol, limits.max_iter, again, decrement, where_stuck)


def _handed_over(result: SolverResult, most: int, max_iter: int) -> SolverResult:
    """The end of a solver that was given ``most`` of the iterations: stuck, if it has used them all up."""
    used_up = not result.converged and result.n_iter >= most < max_iter
    return replace(result, stuck=True) if used_up else result


def _decrement(problem: Problem, solver: Solver) -> RemainingDecrease | None:
    """What a certificate asks of the Hessian, where that costs little; None where the solver has gone by it itself."""
    if problem.objective.l1 > 0.0:
        return l1_decrement(problem.objective, problem.sampler) if problem.few_rows else None
    if solver.has_hessian or not problem.newton_costs_little:
        return None
    return newton_decrement(problem.objective, problem.sampler)


class _Continuation:
    """Goes on from an end without a certificate, with another model of the curvature than the one that led there."""

    def __init__(self, problem: Problem, solver: Solver, limits: Limits) -> None:
        self._problem = problem
        self._solver = solver
        self._limits = limits
        self._by_root = False

    def __call__(self, end: SolverResult, tol: float, max_iter: int) -> SolverResult:
        """A better end, by ``tol`` and within ``max_iter`` iterations."""
        problem, objective, start = self._problem, self._problem.objective, end.params
        limits = self._limits._replace(tol=tol, max_iter=max_iter)
        if self._solver.goes_on:
            return problem.solve(self._solver, start, limits)
        if objective.l1 > 0.0 and problem.in_working_sets:
            ends = limits._asdict()
            return proximal_by_columns(objective, start, rng=problem.rng, warm=True, in_working_sets=True, **ends)
        most = min(max_iter, STEPS_MORE) if problem.few_rows else max_iter
        ends = limits._replace(max_iter=most)._asdict()
        if problem.few_rows and not self._by_root:
            self._by_root = True
            ends |= {"rng": problem.rng, "warm": False, "in_working_sets": False, "late": 0}
            return _handed_over(proximal_by_columns(objective, start, **ends), most, max_iter)
        if objective.l1 == 0.0 and problem.newton_costs_little:
            return _handed_over(lbfgs_with_all_rows(objective, start, rng=problem.rng, **ends), most, max_iter)
        return without_a_sample(objective, start, end.value, **limits._asdict())
