"""Between a solution in packed parameters and the fitted attributes of a linear model."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg.arrays.csr import dense_coef
from gpu_logreg.arrays.device import Device
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.callbacks import WRAPPER_FRAMES
from gpu_logreg.estimators.linear.parameters import asks_for_bounds
from gpu_logreg.estimators.linear.prior import intercept_shift
from gpu_logreg.estimators.linear.solver_names import not_converged
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.solvers import SolverResult

__all__ = ["LinearState"]


class LinearState:
    """What a fit leaves on the estimator, and what the next one takes from there with ``warm_start``."""

    def _last(self: Any) -> tuple[Any, Any]:
        """``coef_`` and ``intercept_`` of the last fit, as they were before a prior moved them."""
        return dense_coef(self.coef_), self.intercept_ - getattr(self, "prior_shift_", 0.0)

    def _move_to_prior(self: Any, shares: Float64Vector) -> None:
        """``intercept_`` for the population that ``prior`` or ``sampling_rates`` tell of."""
        self.__dict__.pop("prior_shift_", None)
        if self.prior is None and self.sampling_rates is None:
            return
        shift = intercept_shift(self, shares)
        if shift is not None:
            self.prior_shift_ = shift
            self.intercept_ = self.intercept_ + shift

    def _packed(self: Any, start: tuple[Any, Any], objective: Objective) -> Float64Vector:
        """The solution of the last fit, ``coef_`` and ``intercept_``, as the objective takes it."""
        coef, intercept = start
        if coef.shape[1] != objective.dataset.n_columns:
            raise DataError(
                f"warm_start: the last fit had {coef.shape[1]} columns, and X has {objective.dataset.n_columns}"
            )
        if len(coef) != objective.n_logits:
            n_old = max(2, len(coef))
            raise DataError(f"warm_start: the last fit had {n_old} classes, and y has {len(self.classes_)}")
        packed = np.column_stack([coef, intercept]) if self.fit_intercept else coef
        return np.array(packed, dtype=np.float64).ravel()

    def _attributes(self: Any, params: Float64Vector, objective: Objective, dtype: Any) -> dict[str, Any]:
        """``coef_`` in ``dtype``, and ``intercept_``, which takes back what rounding moves a typical row by."""
        d = self.n_features_in_
        by_class = params.reshape(objective.n_logits, -1)
        if len(by_class) > 1:  # a constant added to all classes changes nothing; as in scikit-learn they add up to 0
            # With an L1 penalty, or with bounds, one on the weights does.
            by_class = by_class - by_class.mean(axis=0) * (
                np.arange(by_class.shape[1]) >= (d if objective.l1 > 0.0 or asks_for_bounds(self) else 0)
            )
        coef = by_class[:, :d].astype(dtype)
        intercept = by_class[:, d].copy() if self.fit_intercept else np.zeros(len(by_class))
        if self.fit_intercept and objective.centre is not None:
            intercept += (by_class[:, :d] - coef) @ objective.centre
        return {"coef_": coef, "intercept_": intercept}

    def _keep(self: Any, result: SolverResult, solver: str, reason: str, objective: Objective, device: Device) -> None:
        """Attributes of a fit that has ended, with the warning and the line that tell of its end."""
        self.n_iter_ = np.array([result.n_iter], dtype=np.int32)
        self.n_reads_ = objective.reads.total
        self.converged_ = result.converged
        self.stop_reason_ = result.message
        self.objective_ = result.value
        self.loss_curve_ = result.loss_curve
        if not math.isnan(result.duality_gap):
            self.duality_gap_ = result.duality_gap
        self.device_, self.device_reason_ = device.name, device.reason
        self.impl_, self.impl_reason_ = objective.engine.name, objective.engine.reason
        self.solver_, self.solver_reason_ = solver, reason
        self.storage_ = objective.dataset.storage_name
        more = "max_time" if result.message.startswith("max_time") else "max_iter"
        advice = "Lower C" if "separable" in result.message else f"Increase {more}, raise tol, or lower C"
        if not result.converged and result.message != "stopped by a callback":
            warnings.warn(
                not_converged(self.solver, solver, result.n_iter, result.message, advice),
                ConvergenceWarning,
                stacklevel=5 + WRAPPER_FRAMES,
            )
        if self.verbose and not callable(self.verbose):
            print(f"{solver} {'converged' if self.converged_ else 'did not converge'}: {self.stop_reason_}", flush=True)

    def _forget(self) -> None:
        for name in [name for name in vars(self) if name.endswith("_") and not name.startswith("_")]:
            delattr(self, name)
