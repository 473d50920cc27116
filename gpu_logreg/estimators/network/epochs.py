"""Epochs of steps on batches, by the parameters of an estimator."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from gpu_logreg.estimators.journal import Journal
from gpu_logreg.mathematics.optimizers import Schedule
from gpu_logreg.objectives.batches import NetworkBatches
from gpu_logreg.solvers import Observer
from gpu_logreg.solvers.minibatch import Progress, minibatch

__all__ = ["run_minibatch", "schedule_of"]

AUTO_BATCH = 200
"""Rows of a step where ``batch_size="auto"``."""


def run_minibatch(
    model: Any,
    batches: NetworkBatches,
    numbers: Any,
    n_rows: int,
    rng: np.random.Generator | None,
    progress: Progress,
    observer: Observer | None,
    journal: Journal | None,
    *,
    only_one_epoch: bool = False,
) -> None:
    """Run the solver by a model's parameters on ``n_rows`` rows, of these numbers, or in blocks of these numbers."""
    max_iter = 1 if only_one_epoch else model.max_iter
    schedule = schedule_of(model)
    if only_one_epoch:
        schedule.after_epoch(len(progress.loss_curve), progress.rows_seen)
    minibatch(
        batches,
        numbers,
        batch_size=_batch_size(model.batch_size, n_rows),
        schedule=schedule,
        rng=rng,
        progress=progress,
        tol=model.tol,
        max_iter=max_iter,
        n_iter_no_change=model.n_iter_no_change,
        by_score=batches.held_back is not None,
        observer=observer,
        saved=None if journal is None else journal.saved_state("epoch"),
        n_rows=n_rows,
    )


def schedule_of(model: Any) -> Schedule:
    """The learning rates of a training.

    As in scikit-learn, its three schedules are for sgd; adam keeps its rate but for the cosine, which is ours.
    """
    name = model.learning_rate if model.solver == "sgd" or model.learning_rate == "cosine" else "constant"
    return Schedule(name, model.learning_rate_init, model.power_t, model.max_iter)


def _batch_size(batch_size: Any, n: int) -> int:
    if batch_size == "auto":
        return min(AUTO_BATCH, n)
    if batch_size > n:
        warnings.warn(f"batch_size={batch_size} is larger than the {n} rows to train on; it is clipped to {n}")
    return min(int(batch_size), n)
