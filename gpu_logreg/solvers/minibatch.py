"""Steps on shuffled batches of rows: epochs, learning rates and the reasons to stop; it sees numbers of rows only.

What is stopped on, and the order of things within an epoch, follow scikit-learn's ``MLPClassifier``.
"""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from gpu_logreg.arrays.vector import Array, Float64Vector
from gpu_logreg.solvers import Iteration, Observer, SavedState, Stop

__all__ = ["Batches", "Progress", "RateSchedule", "minibatch"]


class Batches(Protocol):
    """Rows and parameters, wherever they live."""

    def epoch(self, order: Any, batch_size: int, rate: float) -> float:
        """One update for every batch of ``order``; the mean value before the updates, not finite if they diverged."""

    def score(self) -> float:
        """How well the rows held back are predicted; larger is better."""

    def has_finite_loss(self, rows: Any) -> bool:
        """Whether the loss of some rows is finite at the present parameters."""

    def keep(self, name: str) -> None:
        """Remember the parameters under a name."""

    def recall(self, name: str) -> None:
        """Go back to those remembered."""

    def vector(self) -> Float64Vector:
        """The parameters, on the host."""

    def state(self) -> dict[str, Array]:
        """Copies, on the host, of all that epochs to come depend on but the rows."""

    def go_to(self, state: dict[str, Array]) -> None:
        """Go to where a state was copied."""


class RateSchedule(Protocol):
    """The learning rate of every epoch; see `gpu_logreg.mathematics.optimizers.Schedule`."""

    rate: float

    def after_epoch(self, n_epochs: int, rows_seen: int) -> None:
        """Set the rate of the next epoch."""

    def falls_on_plateau(self) -> bool:
        """Lower the rate if the schedule does so on a plateau."""


@dataclass
class Progress:
    """What has happened so far, over one fit or over several that go on from each other.

    Attributes
    ----------
    n_iter : int
        Epochs of the present fit.
    rows_seen : int
        Rows of all epochs together.
    loss_curve : list of float
        Mean value of every epoch.
    best_loss : float
    validation_scores : list of float
        Score of the rows held back after every epoch, if any are.
    best_validation_score : float
    best_params : object or None
        Parameters of that score, as the caller keeps them between fits; None where it keeps none.
    stop : Stop
        Why it ended.
    """

    n_iter: int = 0
    rows_seen: int = 0
    loss_curve: list[float] = field(default_factory=list)
    best_loss: float = math.inf
    validation_scores: list[float] = field(default_factory=list)
    best_validation_score: float = -math.inf
    best_params: Any = None
    stop: Stop = field(default_factory=lambda: Stop("not begun", False))
    diverged: bool = False


def minibatch(
    batches: Batches,
    rows: Any,
    *,
    batch_size: int,
    schedule: RateSchedule,
    rng: np.random.Generator | None,
    progress: Progress,
    tol: float = 1e-4,
    max_iter: int = 200,
    n_iter_no_change: float = 10,
    by_score: bool = False,
    observer: Observer | None = None,
    saved: SavedState | None = None,
    n_rows: int | None = None,
) -> Progress:
    """Epochs of steps until ``n_iter_no_change`` and one more in a row have gained less than ``tol``, or ``max_iter``.

    Parameters
    ----------
    batches : Batches
    rows : integer ndarray
        Numbers of the rows to train on. Batches are cut from a shuffled copy of it, of the rows there is none.
    batch_size : int
    schedule : RateSchedule
    rng : Generator or None
        Shuffles before every epoch; None keeps the order of ``rows``.
    progress : Progress
        Goes on from there, and is changed.
    tol : float
    max_iter : int
        Most epochs.
    n_iter_no_change : float
    by_score : bool
        Judge by the score of the rows held back instead of the mean value, and end at the parameters of the best, of
        this fit or of one before it: those remembered as ``"best"``.
    observer : Observer, optional
        Called after every epoch; a true answer stops the solver.
    saved : SavedState, optional
        Where to go on from, and where to keep the state after every epoch.
    n_rows : int, optional
        Rows of an epoch, where ``rows`` are numbers of blocks.

    Returns
    -------
    Progress
        With ``diverged`` and the last parameters at the start of an epoch whose loss is finite, where that of an epoch
        or of the end is not.
    """
    progress.n_iter, progress.diverged = 0, False
    idle = 0
    progress.stop = Stop(f"max_iter = {max_iter} reached", False)
    if by_score and progress.best_params is None:
        batches.keep("best")  # the best known, of an earlier fit, until an epoch is better
    if saved is not None and (state := saved.last()) is not None:
        idle = _go_on_from(state, batches, progress, schedule, rng)
    while progress.n_iter < max_iter:
        if saved is not None:
            saved.keep(functools.partial(_state, batches, progress, schedule, rng, idle))
        batches.keep(_slot(progress.n_iter))
        rate = schedule.rate
        order = rows if rng is None else rng.permutation(rows)
        value = batches.epoch(order, batch_size, rate)
        if not math.isfinite(value):
            _go_back(progress, batches, order[:batch_size])
            break
        progress.n_iter += 1
        progress.rows_seen += len(rows) if n_rows is None else n_rows
        progress.loss_curve.append(value)
        gained = _by_score(progress, batches, tol) if by_score else _by_loss(progress, tol)
        idle = 0 if gained else idle + 1
        schedule.after_epoch(progress.n_iter, progress.rows_seen)
        if idle > n_iter_no_change:
            idle = 0
            if not schedule.falls_on_plateau():
                what = "validation score" if by_score else "training loss"
                progress.stop = Stop(
                    f"the {what} did not improve by more than tol = {tol:g} for {n_iter_no_change:g} epochs", True
                )
        last = progress.stop.converged or progress.n_iter == max_iter
        asked_to_stop = observer is not None and observer(
            Iteration(progress.n_iter, batches.vector(), value, math.nan, rate, last)
        )
        if asked_to_stop and not last:
            progress.stop = Stop("stopped by a callback", False)
            break
        if last:
            if not batches.has_finite_loss(order[-batch_size:]):  # the value of an epoch is that before its last update
                progress.n_iter -= 1
                progress.loss_curve.pop()
                _go_back(progress, batches, order[:batch_size])
            break
    if by_score and progress.best_validation_score > -math.inf:
        batches.recall("best")
    return progress


def _state(
    batches: Batches, progress: Progress, schedule: RateSchedule, rng: np.random.Generator | None, idle: int
) -> dict[str, Array]:
    """A copy of all that the epochs to come depend on but the rows."""
    random = "" if rng is None else json.dumps(rng.bit_generator.state)
    return {
        "counts": np.array([progress.n_iter, progress.rows_seen, idle]),
        "numbers": np.array([progress.best_loss, progress.best_validation_score, schedule.rate]),
        "loss_curve": np.array(progress.loss_curve, np.float64),
        "validation_scores": np.array(progress.validation_scores, np.float64),
        "random": np.array(random),
        **batches.state(),
    }


def _go_on_from(
    state: dict[str, Array],
    batches: Batches,
    progress: Progress,
    schedule: RateSchedule,
    rng: np.random.Generator | None,
) -> int:
    """Go to where a state was copied; the number of epochs without gain until there."""
    progress.n_iter, progress.rows_seen, idle = map(int, state["counts"])
    progress.best_loss, progress.best_validation_score, schedule.rate = map(float, state["numbers"])
    progress.loss_curve[:] = map(float, state["loss_curve"])
    progress.validation_scores[:] = map(float, state["validation_scores"])
    if rng is not None:
        rng.bit_generator.state = json.loads(str(state["random"]))
    batches.go_to(state)
    return idle


def _slot(n_iter: int) -> str:
    """Where the parameters after ``n_iter`` epochs are kept: the last two are."""
    return f"start {n_iter % 2}"


def _go_back(progress: Progress, batches: Batches, rows: Any) -> None:
    """From an epoch that diverged to its start, or one epoch further if the loss of ``rows`` is not finite there."""
    progress.diverged = True
    progress.stop = Stop(f"the loss is no longer finite in epoch {progress.n_iter + 1}", False)
    batches.recall(_slot(progress.n_iter))
    if progress.n_iter > 0 and not batches.has_finite_loss(rows):
        batches.recall(_slot(progress.n_iter - 1))


def _by_loss(progress: Progress, tol: float) -> bool:
    """Whether the last epoch lowered the mean value by more than ``tol``."""
    value = progress.loss_curve[-1]
    gained = value <= progress.best_loss - tol
    progress.best_loss = min(progress.best_loss, value)
    return gained


def _by_score(progress: Progress, batches: Batches, tol: float) -> bool:
    """Whether the last epoch raised the score by ``tol``; keeps the parameters of the best."""
    score = batches.score()
    progress.validation_scores.append(score)
    gained = score >= progress.best_validation_score + tol
    if score > progress.best_validation_score:
        progress.best_validation_score = score
        batches.keep("best")
    return gained
