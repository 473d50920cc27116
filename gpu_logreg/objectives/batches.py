"""Stochastic training of a network, as the solver `gpu_logreg.solvers.minibatch` sees it: epochs, values and scores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpu_logreg.arrays.device import array_namespace, to_numpy
from gpu_logreg.arrays.vector import Array, Float64Vector, IntVector
from gpu_logreg.mathematics.network import forward, is_right, loss_and_dz
from gpu_logreg.mathematics.optimizers import Adam, Optimizer, Sgd
from gpu_logreg.passes.steps_choice import Steps
from gpu_logreg.passes.training import Training, take_batch
from gpu_logreg.rows.block import Rows

__all__ = ["HeldBack", "NetworkBatches", "TrainingState", "make_optimizer"]

_SCORE_ROWS = 4096
"""Rows that are predicted at a time for a validation score."""


class HeldBack(NamedTuple):
    """The validation set of a training.

    Attributes
    ----------
    rows : Rows
        Those of the training, or others.
    at : integer ndarray
        Numbers of the rows that are predicted.
    """

    rows: Rows
    at: IntVector


class TrainingState:
    """Parameters in training, with copies by name, and the state of their optimiser.

    Parameters
    ----------
    training : Training
    best : ndarray of shape (n_params,) or None
        Parameters of the best score of earlier fits, with ``warm_start``.
    """

    def __init__(self, training: Training, best: Float64Vector | None = None) -> None:
        self.training = training
        self._snapshots: dict[str, Array] = {}
        if best is not None:
            self._snapshots["best"] = array_namespace(training.params).asarray(best)

    def keep(self, name: str) -> None:
        """Copy the parameters under a name."""
        self._snapshots[name] = self.training.params.copy()

    def recall(self, name: str) -> None:
        """Set the parameters to the copy of that name."""
        self.training.params[...] = self._snapshots[name]

    def vector(self) -> Float64Vector:
        """The parameters, on the host in float64."""
        return _on_host(self.training.params)

    def state(self) -> dict[str, Array]:
        """Copies, on the host, of the parameters, those remembered, and the state of the optimiser."""
        optimizer = vars(self.training.optimizer)
        state = {
            f"optimizer {name}": np.array(to_numpy(value)) for name, value in optimizer.items() if value is not None
        }
        state |= {f"snapshot {name}": np.array(to_numpy(params)) for name, params in self._snapshots.items()}
        return {"params": np.array(to_numpy(self.training.params)), **state}

    def go_to(self, state: dict[str, Array]) -> None:
        """Go to where a state was copied."""
        xp, optimizer = array_namespace(self.training.params), self.training.optimizer
        self.training.params[...] = xp.asarray(state["params"])
        for name, value in state.items():
            kind, _, of = name.partition(" ")
            if kind == "snapshot":
                self._snapshots[of] = xp.asarray(value)
            elif kind == "optimizer":  # a setting or a count has no axis
                setattr(optimizer, of, xp.asarray(value) if value.ndim else value.item())

    def best(self) -> Float64Vector | None:
        """Parameters of the best score, on the host in float64; None before the first score."""
        return _on_host(self._snapshots["best"]) if "best" in self._snapshots else None


class NetworkBatches(TrainingState):
    """A network in training on resident rows.

    Parameters
    ----------
    training : Training
    rows : Rows
    steps : Steps
        Makes an epoch.
    held_back : HeldBack or None
        The validation set.
    best : ndarray of shape (n_params,) or None
        Parameters of the best score of earlier fits, with ``warm_start``.
    """

    def __init__(
        self,
        training: Training,
        rows: Rows,
        steps: Steps,
        held_back: HeldBack | None = None,
        best: Float64Vector | None = None,
    ) -> None:
        super().__init__(training, best)
        self.rows = rows
        self.steps = steps
        self.held_back = held_back

    def epoch(self, order: IntVector, batch_size: int, rate: float) -> float:
        """One epoch; its mean value, or NaN if a parameter is not finite. The host waits for the device here only."""
        params = self.training.params
        xp = array_namespace(params)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # the result is NaN then
            value = self.steps.epoch(self.training, self.rows, order, batch_size, rate)
            return float(to_numpy(xp.where(xp.isfinite(params).all(), value, np.nan)))

    def has_finite_loss(self, rows: IntVector) -> bool:
        """Whether the loss of the rows of these numbers is finite at the present parameters."""
        network, params = self.training.network, self.training.params
        at = array_namespace(params).asarray(rows)
        X, y, s = take_batch(self.rows, at, params.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            _, z = forward(network.unpack(params), X, network.activation)
            return bool(np.isfinite(float(to_numpy(loss_and_dz(z, y, s)[0]))))

    def score(self) -> float:
        """Weighted accuracy on the validation set: of classes, or of rows whose labels are all right."""
        assert self.held_back is not None
        rows, numbers = self.held_back
        right: Array = 0.0
        total: Array = 0.0
        for first in range(0, len(numbers), _SCORE_ROWS):
            at = array_namespace(rows.X).asarray(numbers[first : first + _SCORE_ROWS])
            X, y, s = take_batch(rows, at, self.training.params.dtype)
            network = self.training.network
            _, z = forward(network.unpack(self.training.params), X, network.activation)
            hits = is_right(z, y)
            right = right + (hits if s is None else hits * s).sum(dtype=np.float64)
            total = total + (float(len(at)) if s is None else s.sum(dtype=np.float64))
        return float(right / total)


def _on_host(params: Array) -> Float64Vector:
    host: Float64Vector = to_numpy(params).astype(np.float64)
    return host


def make_optimizer(
    solver: str, *, momentum: float, nesterov: bool, betas: tuple[float, float], epsilon: float, decay: float
) -> Optimizer:
    """The optimiser of a solver's name: ``"sgd"``, ``"adam"`` or ``"adamw"``.

    Examples
    --------
    >>> make_optimizer("sgd", momentum=0.9, nesterov=True, betas=(0.9, 0.999), epsilon=1e-8, decay=0.0)
    Sgd(momentum=0.9, nesterov=True, velocity=None)
    """
    if solver == "sgd":
        return Sgd(momentum, nesterov)
    return Adam(*betas, epsilon, decay if solver == "adamw" else 0.0)
