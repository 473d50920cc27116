"""What a network estimator remembers of its training, between calls and as fitted attributes."""

from __future__ import annotations

import contextlib
import math
import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from gpu_logreg.arrays.device import Device, to_device, to_numpy
from gpu_logreg.arrays.random import seed_of
from gpu_logreg.estimators.callbacks import WRAPPER_FRAMES
from gpu_logreg.mathematics.initialisation import initialise
from gpu_logreg.mathematics.network import Layer, Network
from gpu_logreg.objectives.batches import make_optimizer
from gpu_logreg.passes.training import Training
from gpu_logreg.solvers import SolverResult, Stop
from gpu_logreg.solvers.minibatch import Progress

__all__ = ["NetworkState"]


class NetworkState:
    """Between an estimator's attributes and a `Training`.

    Attributes of the estimator that end with an underscore are what scikit-learn's estimator has; `_optimizer`
    (made by `_rule`), `_progress` and `_rng` are what `partial_fit` goes on from, and are not stored in model files.
    """

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: objects of this package as their attributes, so that no pickle names a module within it."""
        state: dict[str, Any] = {**super().__getstate__()}  # type: ignore[dict-item]
        if "_progress" in state:
            progress = state["_progress"]
            state["_progress"] = vars(progress) | {"stop": tuple(progress.stop)}
        if "_optimizer" in state:
            state["_optimizer"] = dict(vars(state["_optimizer"]))
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Attributes of `__getstate__` as objects of this package."""
        state = dict(state)
        if "_progress" in state:
            state["_progress"] = Progress(**state["_progress"] | {"stop": Stop(*state["_progress"]["stop"])})
        if "_optimizer" in state:
            solver, rule = state["_rule"]
            attributes, state["_optimizer"] = state["_optimizer"], make_optimizer(solver, **rule)
            vars(state["_optimizer"]).update(attributes)
        super().__setstate__(state)  # type: ignore[misc]

    def _training(self: Any, network: Network, dtype: Any, device: Device, going_on: bool, by_parts: bool) -> Training:
        """A network to train: a new one, or that of the last fit, whose optimiser goes on only with ``by_parts``.

        It computes in ``dtype``. Its penalty is the caller's to set.
        """
        if not (by_parts and hasattr(self, "_rng")):
            self._rng = np.random.default_rng(seed_of(self.random_state))
        if going_on:
            layers = [Layer(W, b) for W, b in zip(self.coefs_, self.intercepts_, strict=True)]
            params = network.pack(layers)
        else:
            params = initialise(network, self._rng, self.init)
        if not (going_on and hasattr(self, "_progress")):
            self._progress = self._progress_so_far() if going_on else Progress()
        rule = {
            "momentum": self.momentum,
            "nesterov": self.nesterovs_momentum,
            "betas": (self.beta_1, self.beta_2),
            "epsilon": self.epsilon,
            "decay": self.alpha,
        }
        if not (by_parts and getattr(self, "_rule", None) == (self.solver, rule)):  # set_params may have changed it
            self._rule = (self.solver, rule)
            self._optimizer = make_optimizer(self.solver, **rule)
        params = to_device(np.ascontiguousarray(params, dtype=dtype), device)
        self._optimizer.move(lambda array: to_device(array, device).astype(dtype, copy=False))
        return Training(network, params, self._optimizer)

    def _leave_device(self: Any) -> None:
        """Take to the host what is remembered for a call to come, so that nothing of a training stays on a GPU."""
        with contextlib.suppress(Exception):  # of a device that is lost, which is told of elsewhere
            self._optimizer.move(to_numpy)

    def _progress_so_far(self: Any) -> Progress:
        """That of a model from a file."""
        best_loss = getattr(self, "best_loss_", None)
        return Progress(
            rows_seen=getattr(self, "t_", 0),
            loss_curve=list(getattr(self, "loss_curve_", ())),
            best_loss=math.inf if best_loss is None else best_loss,
        )

    def _attributes(self, network: Network, params: Any) -> dict[str, Any]:
        """Fitted weights and intercepts, on the host."""
        layers = network.unpack(to_numpy(params))
        return {"coefs_": [W.copy() for W, _ in layers], "intercepts_": [b.copy() for _, b in layers]}

    def _keep(self: Any, network: Network, params: Any, device: Device) -> None:
        for name, value in self._attributes(network, params).items():
            setattr(self, name, value)
        self.n_layers_ = len(network.sizes)
        self.n_outputs_ = network.sizes[-1]
        self.device_, self.device_reason_ = device.name, device.reason
        self.solver_ = self.solver

    def _keep_progress(self: Any, n_rows: int) -> None:
        """Attributes of a training by steps."""
        progress: Progress = self._progress
        by_score = self.early_stopping
        self.n_iter_ = progress.n_iter
        self.t_ = progress.rows_seen
        self.n_reads_ = progress.rows_seen / n_rows
        self.loss_curve_ = list(progress.loss_curve)
        self.loss_ = progress.loss_curve[-1] if progress.loss_curve else math.nan
        self.best_loss_ = None if by_score else progress.best_loss
        self.validation_scores_ = list(progress.validation_scores) if by_score else None
        self.best_validation_score_ = progress.best_validation_score if by_score else None
        self.converged_, self.stop_reason_ = progress.stop.converged, progress.stop.message

    def _keep_result(self: Any, result: SolverResult, n_rows: int, n_reads: float) -> None:
        """Attributes of a training by walks over all rows."""
        self.n_iter_ = result.n_iter
        self.t_ = int(n_reads) * n_rows
        self.n_reads_ = n_reads
        self.loss_curve_ = result.loss_curve
        self.loss_ = self.best_loss_ = result.value
        self.validation_scores_ = self.best_validation_score_ = None
        self.converged_, self.stop_reason_ = result.converged, result.message

    def _warn(self: Any, by_parts: bool) -> None:
        """Say what went wrong, and what to try."""
        if self.converged_ or self.stop_reason_ == "stopped by a callback":
            return
        if "no longer finite" in self.stop_reason_:
            rate = self.learning_rate_init
            message = (
                f"{self.solver} diverged with learning_rate_init={rate:g}: {self.stop_reason_}, and the weights before "
                f"it are kept. Try learning_rate_init={rate / 10:g}, or scale the columns of X."
            )
        elif by_parts:
            return  # one epoch is not meant to converge
        else:
            more = "max_time" if self.stop_reason_.startswith("max_time") else "max_iter"
            message = (
                f"{self.solver} did not converge: {self.stop_reason_}. Increase {more}, raise tol, or scale the "
                "columns of X."
            )
        warnings.warn(message, ConvergenceWarning, stacklevel=4 + (0 if by_parts else WRAPPER_FRAMES))

    def _forget(self) -> None:
        for name in [name for name in vars(self) if name.endswith("_") and not name.startswith("_")]:
            delattr(self, name)
        for name in ("_optimizer", "_rule", "_progress", "_rng"):
            if hasattr(self, name):
                delattr(self, name)
