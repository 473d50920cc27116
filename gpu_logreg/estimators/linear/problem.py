"""What solvers may need beside an objective, a start and limits, by name; worked out when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.random import seed_of
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.estimators.journal import Journal, SavedState
from gpu_logreg.estimators.linear.first_step import first_step
from gpu_logreg.estimators.linear.quasi_newton import diagonal_at_start
from gpu_logreg.mathematics.hessian_form import HessianForm
from gpu_logreg.objectives.independence import columns_are_independent
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.path_sampler import FirstSample, PathSampler
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.solvers import Metric, Observer, SolverResult
from gpu_logreg.solvers.costs import LARGEST_P, cheapest_sample, newton_is_fastest

__all__ = ["Limits", "Options", "Problem", "Solver"]

LARGEST_WHOLE = 2000
"""Parameters up to which an L1 problem is solved for all columns at once, where the Hessian has no mean factors."""

MISSED = 1.5
"""Standard deviation of a column, over that in a sample, from which on the sample has missed rows. Of a thousand normal
columns none exceeds 1.1 with a thousand rows, and of heavy-tailed ones a sample tells little. A choice."""

NEWTON_FLOPS = 2e7
"""Multiplications of a Hessian of all rows that take a few milliseconds on a core."""

NEWTON_PARAMS = 500
"""Parameters up to which factoring that Hessian takes no longer."""


class Limits(NamedTuple):
    """When a solver ends, and whom it tells of every iteration.

    Attributes
    ----------
    tol : float
    max_iter : int
    observer : Observer or None
    """

    tol: float
    max_iter: int
    observer: Observer | None = None


@dataclass(frozen=True)
class Options:
    """What a user says about solvers; see `gpu_logreg.LogisticRegression`.

    Attributes
    ----------
    random_state : int, RandomState or None
    step : {"armijo", "fixed", "momentum"}
    learning_rate : float or None
    journal : Journal or None
        Where the fit is recorded.
    first_sample : FirstSample or None
        What fits of the same rows share.
    """

    random_state: Any = None
    step: str = "armijo"
    learning_rate: float | None = None
    journal: Journal | None = None
    first_sample: FirstSample | None = None


class Solver(NamedTuple):
    """A line of the table of solvers in `gpu_logreg.estimators.linear.fit`.

    Attributes
    ----------
    minimise : function (objective, start, *, tol, max_iter, observer, **needs) -> SolverResult
    needs : tuple of str
        Attributes of `Problem` that it takes by keyword.
    starts_at_0 : bool
        Whether it starts with all parameters zero, and not where intercepts give every class its share.
    reaches_optimum : bool
        Whether its end is held to the certificate of an optimum.
    has_hessian : bool
        Whether it goes by a Hessian of rows, so that the certificate asks for no other.
    goes_on : bool
        Whether it goes on itself from an end without a certificate.
    hands_over : bool
        Whether on few rows another solver goes on after `gpu_logreg.estimators.linear.fit.FEW_STEPS` iterations.
    learning_rate : float or None
        That of a fit that is given none; None for one over a bound of the curvature.
    """

    minimise: Callable[..., SolverResult]
    needs: tuple[str, ...] = ()
    starts_at_0: bool = False
    reaches_optimum: bool = True
    has_hessian: bool = False
    goes_on: bool = False
    hands_over: bool = False
    learning_rate: float | None = None


class Problem:
    """An objective of a linear model, and what solvers may need to minimise it.

    Parameters
    ----------
    objective : Objective
    shares : ndarray of shape (K,)
        Of the classes.
    options : Options
    warm : bool
        Whether the start is the solution of the last fit.

    Attributes
    ----------
    rng : Generator
        Draws samples and shuffles rows.
    in_working_sets : bool
        Whether columns are so many that an L1 problem is solved for a few of them at a time.
    few_rows : bool
        Whether a Hessian of all rows costs less than a sample would save.
    first_sample : FirstSample or None
        That of a path.
    """

    def __init__(self, objective: Objective, shares: Float64Vector, options: Options, warm: bool = False) -> None:
        self.objective = objective
        self.shares = shares
        self.warm = warm
        self.in_working_sets = in_working_sets(objective)
        self.rng = np.random.default_rng(seed_of(options.random_state))
        self.few_rows = newton_is_fastest(objective.dataset.n_rows, objective.n_params) and not self.in_working_sets
        self.first_sample = options.first_sample
        self._options = options
        self._n_states = 0
        self._default_rate: float | None = None

    @property
    def sampler(self) -> Sampler:
        """A new sampler of the rows; of a path, one that begins with its first sample."""
        first = self.first_sample
        return Sampler(self.objective, self.rng) if first is None else PathSampler(self.objective, self.rng, first)

    def diagonal(self, start: Float64Vector) -> tuple[Float64Vector, Metric] | None:
        """A step from no weights, and a metric at its end; two reads. None where Hessians are expected to cost less.

        Nor where a sample has misled about the columns. It has where a column of all rows varies by more than a small
        multiple of what it does in the last sample: that missed the few rows that carry the variance, and tells nothing
        of how hard the problem is.
        """
        objective = self.objective
        of_sample = objective.spread
        metric = diagonal_at_start(objective, self.shares, start)
        spread = objective.spread
        if of_sample is not None and spread is not None and bool((spread > MISSED * of_sample).any()):
            return None
        reads = cheapest_sample(objective.dataset.n_rows, objective.hessian_form, objective.costs).reads
        return first_step(objective, start, metric, self.rng, reads)

    def independent(self) -> bool:
        """Whether columns are nearly independent for certain, as few rows tell."""
        return columns_are_independent(self.objective, self.rng.spawn(1)[0])

    @property
    def saved(self) -> SavedState | None:
        """Where a solver that is not recorded by its sums keeps its state; another one at every call."""
        journal = self._options.journal
        if journal is None:
            return None
        self._n_states += 1
        return journal.saved_state(f"{self._n_states}", self.objective.reads)

    @property
    def step(self) -> str:
        """Step rule of gradient descent."""
        return self._options.step

    @property
    def learning_rate(self) -> float:
        """That of the user, or of the solver, or one over a bound of the curvature; one read for the moments.

        The curvature of the mean loss is at most ``largest_curvature`` of a row times the mean square length of [x, 1].
        """
        objective = self.objective
        mean, variance = objective.column_moments()  # which centre the passes whatever the rate is
        bound = objective.loss.largest_curvature * (1.0 + float((variance + mean**2).sum())) + float(
            np.max(objective.l2)
        )
        given, default = self._options.learning_rate, self._default_rate
        return given if given is not None else default if default is not None else 1.0 / bound

    @property
    def newton_costs_little(self) -> bool:
        """Whether a Hessian of all rows costs no more than a few milliseconds."""
        p = self.objective.n_params
        return bool(p <= NEWTON_PARAMS and self.objective.dataset.n_rows * p * p <= NEWTON_FLOPS)

    def solve(self, solver: Solver, start: Float64Vector, limits: Limits) -> SolverResult:
        """Run a solver with what it needs."""
        self._default_rate = solver.learning_rate
        needs = {name: getattr(self, name) for name in solver.needs}
        return solver.minimise(self.objective, start, **needs, **limits._asdict())


def in_working_sets(objective: Objective) -> bool:
    """Whether columns are so many that an L1 problem is solved for a few of them at a time."""
    return many_columns(objective.hessian_form)


def many_columns(hessian: HessianForm) -> bool:
    """Whether parameters are too many for a Hessian of all of them with an L1 penalty."""
    return hessian.n_params > (LARGEST_P if hessian.has_mean_factors else LARGEST_WHOLE)
