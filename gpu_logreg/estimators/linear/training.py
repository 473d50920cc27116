"""One training of a linear model: rows are prepared, a solver is chosen and runs, its end is kept."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from gpu_logreg.arrays.device import Device
from gpu_logreg.arrays.interchange import is_bfloat16
from gpu_logreg.estimators.callbacks import FitTask, TimeLimit, observe_all, progress_lines, upload_lines, with_reads
from gpu_logreg.estimators.checkpoint import journal_of
from gpu_logreg.estimators.device_streams import prepare_array_by_blocks
from gpu_logreg.estimators.journal import Journal
from gpu_logreg.estimators.linear.bounds import BOUNDED_SOLVER, fit_bounded, given_bounds
from gpu_logreg.estimators.linear.firth import FIRTH_SOLVER, fit_firth
from gpu_logreg.estimators.linear.fit import chosen_solver, minimise, objective_of, with_first_strength
from gpu_logreg.estimators.linear.liblinear import refuse_for_liblinear
from gpu_logreg.estimators.linear.parameters import MAY_DIFFER, Asked
from gpu_logreg.estimators.linear.penalty_groups import GROUP_SOLVER, fit_groups, given_groups
from gpu_logreg.estimators.linear.problem import Limits, Options
from gpu_logreg.estimators.linear.separated import without_a_minimum
from gpu_logreg.estimators.linear.several_devices import prepare_on_devices
from gpu_logreg.estimators.linear.starts import start_without_weights
from gpu_logreg.estimators.prepare import Prepared, prepare
from gpu_logreg.estimators.stream import Stream
from gpu_logreg.estimators.streamed import prepare_stream
from gpu_logreg.estimators.target import Target
from gpu_logreg.objectives.certificate import coef_dtype

__all__ = ["LinearTraining"]


class LinearTraining:
    """What `fit` does once its rows are validated; what is kept: see `gpu_logreg.estimators.linear.state`."""

    def _fit(
        self: Any,
        X: Any,
        y: Any,
        sample_weight: Any,
        device: Device | list[Device],
        start: Any,
        asked: Asked,
        checkpoint: Any,
        offset: Any = None,
        soft: Any = None,
    ) -> None:
        how: dict[str, Any] = {"class_weight": self.class_weight, "storage": self.storage}
        if isinstance(device, list):
            names = getattr(self, "feature_names_in_", None)
            prepared = prepare_on_devices(X, y, sample_weight, device, impl=self.impl, column_names=names, **how)
        elif isinstance(X, Stream):
            prepared = prepare_stream(X, device, device_budget=self.device_memory_budget, **how)
        else:
            self.__dict__.pop("table_columns_", None)
            how["column_names"] = getattr(self, "feature_names_in_", None)
            lines = self.verbose and not callable(self.verbose)
            beyond = None
            if device.kind == "cuda" and asked.takes_blocks and offset is None and soft is None:
                budget = self.device_memory_budget
                beyond = prepare_array_by_blocks(X, y, sample_weight, device, budget=budget, **how)
            how["progress"] = upload_lines(device) if lines else None
            how["offset"] = offset
            if soft is not None:
                how |= {"soft": soft, "target": Target(np.arange(soft.shape[1]))}
            prepared = prepare(X, y, sample_weight, device, **how) if beyond is None else beyond
            if beyond is not None and lines:
                print(f"{device.name}: {prepared.device.reason}", flush=True)
        self.__dict__.pop("has_offset_", None)
        if offset is not None:
            self.has_offset_ = True
        refuse_for_liblinear(self.solver, X, len(prepared.target.classes))
        self.classes_ = prepared.target.classes
        narrow = X.dtype == np.float32 or (X.dtype.kind == "V" and is_bfloat16(X))
        dtype = np.float32 if narrow and self.solver != "liblinear" else np.float64  # as scikit-learn's
        task_of = functools.partial(FitTask, self, self.max_iter, X, y, sample_weight)
        if checkpoint is None:
            self._fit_prepared(prepared, task_of, dtype, start, asked)
        else:
            with journal_of(checkpoint, self, [prepared.data], MAY_DIFFER, start or ()) as journal:
                self._fit_prepared(prepared, task_of, dtype, start, asked, journal)
        if isinstance(device, list):
            self.device_, self.device_reason_ = ", ".join(one.name for one in device), "asked for"

    def _fit_prepared(
        self: Any,
        prepared: Prepared,
        task_of: Callable[..., FitTask],
        dtype: Any,
        start: Any,
        asked: Asked,
        journal: Journal | None = None,
    ) -> None:
        """Fit prepared rows, for a task made from a function from parameters to attributes.

        ``dtype`` is that of ``coef_``, where it holds the optimum; ``start`` is ``coef_`` and ``intercept_`` of the
        last fit, or None.
        """
        shares, device = prepared.shares, prepared.device
        objective = objective_of(prepared, asked, self.impl, self.fit_intercept, journal)
        last = None if start is None else self._packed(start, objective)
        task = task_of(lambda params: self._attributes(params, objective, dtype))
        solver, reason = chosen_solver(asked.solver, asked.solver_reason, objective)
        if asked.firth:
            solver = FIRTH_SOLVER
        bounds = given_bounds(self, objective) if asked.has_bounds else None
        if bounds is not None:
            solver = BOUNDED_SOLVER
        groups = given_groups(self.penalty_groups, objective) if asked.has_groups else None
        if objective.l1 == 0.0:
            groups = None  # without a strength there is nothing that they share
        if groups is not None:
            solver = GROUP_SOLVER
        lines = None
        if callable(self.verbose):
            lines = with_reads(self.verbose, lambda: objective.reads.total)
        elif self.verbose:
            lines = progress_lines(solver, lambda: objective.reads.total)
        time_limit = None if self.max_time is None else TimeLimit(self.max_time)
        watched = task.is_watched or lines is not None or time_limit is not None
        observer = observe_all(task if task.is_watched else None, lines, time_limit) if watched else None
        limits = Limits(self.tol, self.max_iter, observer)
        if task.is_watched:
            task.begin_iteration(start_without_weights(objective, shares) if last is None else last)
        options = Options(self.random_state, self.step, self.learning_rate, journal)
        if asked.firth:
            result = fit_firth(objective, shares, last, limits)
        elif bounds is not None:
            result = fit_bounded(objective, bounds, shares, last, options, limits)
        elif groups is not None:
            result = fit_groups(objective, groups, shares, last, options, limits)
        else:
            result = minimise(options, solver, objective, shares, last, limits)
        if not asked.firth and (asked.penalty_factor is not None or bounds is not None):
            result = without_a_minimum(objective, result, bounds)
        if time_limit is not None:
            result.message = time_limit.reason(result.message)
        if objective.l1 > 0.0 and groups is None:
            result = with_first_strength(objective, result, asked.C)
        dtype = (
            np.float64 if asked.firth or asked.has_bounds or asked.has_groups else coef_dtype(objective, result, dtype)
        )
        for name, value in self._attributes(result.params, objective, dtype).items():
            setattr(self, name, value)
        self._move_to_prior(shares)
        self._keep(result, solver, reason, objective, device)
        task.end(result.params)
