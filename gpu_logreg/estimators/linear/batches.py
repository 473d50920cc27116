"""Stochastic training of a linear model: a network without a hidden layer, on the rows of an objective.

Of streamed rows blocks come in random order where their source holds any of them at once, as for networks.
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.device import array_namespace, device_of, to_numpy
from gpu_logreg.arrays.vector import Float64Vector, IntVector
from gpu_logreg.mathematics.network import Network
from gpu_logreg.mathematics.optimizers import Schedule
from gpu_logreg.objectives.batches import NetworkBatches, make_optimizer
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.streamed_batches import StreamedBatches, counted_rows
from gpu_logreg.passes.steps_choice import Steps, choose_steps
from gpu_logreg.passes.training import Training, rows_with_weight
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.source_blocks import is_read_in_any_order
from gpu_logreg.solvers import Observer, SavedState, SolverResult
from gpu_logreg.solvers.minibatch import Progress, minibatch

__all__ = ["linear_batches"]

BATCH_ROWS = 200
"""Rows of a batch, as in scikit-learn's networks."""

EPOCHS_WITHOUT_GAIN = 10
"""Epochs in a row that may lower the mean value by less than ``tol``, as in scikit-learn's networks."""


def linear_batches(
    objective: Objective,
    start: Float64Vector,
    *,
    optimizer: str,
    learning_rate: float,
    rng: np.random.Generator,
    tol: float,
    max_iter: int,
    observer: Observer | None,
    saved: SavedState | None = None,
) -> SolverResult:
    """Lower the objective by steps on batches of rows; the penalty of a batch is that of the objective.

    Parameters
    ----------
    objective : Objective
        Its rows, penalty, intercept and pass, by whose name the steps are chosen; counts an epoch as a read.
    start : ndarray of shape (p,)
    optimizer : {"sgd", "adam"}
        ``"sgd"`` has Nesterov's momentum of 0.9.
    learning_rate : float
    rng : Generator
        Shuffles the rows.
    tol, max_iter, observer, saved
        As of `gpu_logreg.solvers.minibatch.minibatch`.

    Returns
    -------
    SolverResult
        With value and gradient at the end, from one more read.
    """
    data, K, d = objective.dataset, objective.n_logits, objective.dataset.n_columns
    rows = data.rows if data.is_resident else data.template()
    xp, dtype = array_namespace(rows.X), data.compute_dtype
    network = Network((d, K))
    by_class = start.reshape(K, -1)
    params = np.zeros(network.n_params)
    params[: K * d] = by_class[:, :d].T.ravel()  # a network has its weights first, input by input
    if objective.fit_intercept:
        params[K * d :] = by_class[:, d]
    update = make_optimizer(optimizer, momentum=0.9, nesterov=True, betas=(0.9, 0.999), epsilon=1e-8, decay=0.0)
    training = Training(
        network,
        xp.asarray(params.astype(dtype)),
        update,
        fixed_l2=objective.l2,
        fit_intercept=objective.fit_intercept,
    )
    name = objective.engine.name
    steps = choose_steps("cuda" if name == "cublas" else name, rows, device_of(rows.X), training)
    batches, at, n, shuffles = _batches(objective, training, steps, rows, rng)
    before = objective.reads.total
    progress = minibatch(
        batches,
        at,
        batch_size=min(BATCH_ROWS, n),
        schedule=Schedule("constant", learning_rate),
        rng=shuffles,
        progress=Progress(),
        tol=tol,
        max_iter=max_iter,
        n_iter_no_change=EPOCHS_WITHOUT_GAIN,
        observer=observer,
        saved=saved,
        n_rows=n,
    )
    objective.reads.total = before + progress.n_iter
    if steps.how:
        objective.engine.reason += f"; {steps.how}"
    trained = to_numpy(training.params).astype(np.float64)
    end = trained[: K * d].reshape(d, K).T
    if objective.fit_intercept:
        end = np.column_stack([end, trained[K * d :]])
    end = np.ascontiguousarray(end).ravel()
    value, grad = objective(end)
    message = progress.stop.message
    if progress.diverged:
        smaller = f"try learning_rate={learning_rate / 10:g}, or scale the columns of X"
        message += f" with learning_rate={learning_rate:g}; {smaller}"
    return SolverResult(end, value, grad, progress.n_iter, progress.stop.converged, message, progress.loss_curve)


def _batches(
    objective: Objective, training: Training, steps: Steps, rows: Rows, rng: np.random.Generator
) -> tuple[NetworkBatches, IntVector, int, np.random.Generator | None]:
    """The batches, the numbers of rows or blocks that an epoch walks, how many rows count, and what shuffles."""
    data = objective.dataset
    if data.is_resident:
        at = rows_with_weight(rows.sample_weight, data.n_rows, training.params.dtype)
        return NetworkBatches(training, rows, steps), at, len(at), rng
    counted, least = counted_rows(data, training.params.dtype)
    batches = StreamedBatches(training, data, steps, seed=int(rng.integers(2**63)), least_weight=least)
    in_any_order = is_read_in_any_order(data.store.source)
    return batches, np.arange(len(data.store.parts)), counted, rng if in_any_order else None
