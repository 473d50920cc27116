"""Fitting a network: from an estimator's parameters to a solver and its result."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from gpu_logreg.arrays.checks import first_not_finite, not_finite_error
from gpu_logreg.arrays.device import Device, array_namespace, to_numpy
from gpu_logreg.errors import DataError, ImplementationError
from gpu_logreg.estimators.journal import Journal
from gpu_logreg.estimators.label_types import label_text
from gpu_logreg.estimators.network.epochs import run_minibatch
from gpu_logreg.estimators.network.parameters import STOCHASTIC
from gpu_logreg.estimators.target import Target
from gpu_logreg.objectives.batches import HeldBack, NetworkBatches
from gpu_logreg.objectives.network import NetworkObjective
from gpu_logreg.passes.steps_choice import Steps, choose_steps
from gpu_logreg.passes.training import Training, rows_with_weight
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.extremes import first_beyond, too_large
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.solvers import Iteration, Observer, SolverResult, Stop, stop_at
from gpu_logreg.solvers.gradient_descent import gradient_descent
from gpu_logreg.solvers.lbfgs import lbfgs
from gpu_logreg.solvers.line_search import Trial
from gpu_logreg.solvers.minibatch import Progress

__all__ = [
    "MIN_HELD_BACK",
    "choose_way",
    "fit_by_batches",
    "fit_by_reads",
    "minimise_over_rows",
    "of_unit_size",
    "refuse_extremes",
]

FALL_PER_TOL = 2.2e-5
"""Fall of the value in an iteration, relatively and for each ``tol``, at which L-BFGS ends; SciPy's at 1e-4."""
MIN_HELD_BACK = 2


def of_unit_size(weights: Any, alpha: float) -> tuple[Any, float]:
    """Row weights of which the largest is about 1, and the penalty for them: the same problem.

    Both times the same power of 2, so that no bit of a result changes but where a product would underflow.

    Parameters
    ----------
    weights : array of shape (n,) or None
    alpha : float
    """
    if weights is None:
        return None, alpha
    factor = 2.0 ** -math.frexp(float(weights.max()))[1]
    return weights * weights.dtype.type(factor), alpha * factor


def refuse_extremes(data: ResidentDataset, first_row: int = 0) -> None:
    """Refuse values that are not finite, and in rows that count those whose square the arithmetic cannot hold.

    Floating-point rows are read once for it, in the memory where they will be walked; whole numbers are not. No read of
    the training itself would do: a saturated unit passes nothing on, so that the loss and the gradient of an epoch are
    finite with a value of 1e200 in it; no epoch walks over rows that are held back or weigh nothing; and what
    `partial_fit` refuses must not have changed the state that the next call goes on from.

    Parameters
    ----------
    data : ResidentDataset
    first_row : int
        Number of its first row, for messages.

    Raises
    ------
    DataError
        One line that names the first such value.
    """
    X, _, weights = data.rows
    dtype = data.batch_dtype
    limit = too_large(dtype)
    if X.dtype.kind == "f" and float(np.finfo(X.dtype).max) <= limit:  # such as float16
        _refuse_not_finite(data, first_row)
        return
    if first_beyond(X, limit) is None:
        return
    _refuse_not_finite(data, first_row)
    found = first_beyond(X, limit, rows_with_weight(weights, data.n_rows, dtype))
    if found is not None:
        row, column, value = found
        row += first_row
        raise DataError(
            f"Input X holds {value:g} at row {row}, column {column}{data.column_name(column)}, whose square "
            f"{dtype} cannot hold; scale the columns, for example with scikit-learn's StandardScaler"
        )


def _refuse_not_finite(data: ResidentDataset, first_row: int) -> None:
    found = first_not_finite(data.rows.X)
    if found is not None:
        row, column, value = found
        raise not_finite_error(row + first_row, column, value, data.column_name(column))


def choose_way(model: Any, rows: Rows, device: Device, training: Training) -> Steps:
    """The steps of a stochastic solver; the others walk over all rows by the reference alone.

    Raises
    ------
    ImplementationError
        If ``model.impl`` cannot be had.
    """
    if model.solver in STOCHASTIC:
        return choose_steps(model.impl, rows, device, training)
    if model.impl not in ("auto", "reference"):
        raise ImplementationError(
            f"impl={model.impl!r} makes steps on batches of rows, and solver={model.solver!r} walks over all rows for "
            "every step; use impl='auto' or solver='adam'"
        )
    return replace(choose_steps("reference", rows, device, training), reason="the only way to walk over all rows")


def fit_by_reads(
    model: Any, training: Training, rows: Rows, observer: Observer | None, journal: Journal | None = None
) -> tuple[SolverResult, int, float]:
    """Minimise over all rows at once by L-BFGS or gradient descent, from ``training.params``, which are changed.

    Parameters
    ----------
    model : MLPClassifier
        Its ``solver``, ``tol``, ``max_iter`` and ``max_fun``.
    training : Training
    rows : Rows
    observer : Observer or None
    journal : Journal or None
        Where the sums over all rows are recorded.

    Returns
    -------
    SolverResult, number of rows, number of walks over them
    """
    recall = None if journal is None else journal.recall
    objective = NetworkObjective(training.network, rows, 0.0, training.params.dtype, recall)
    return minimise_over_rows(model, training, objective, observer), rows.X.shape[0], objective.n_reads


def minimise_over_rows(
    model: Any, training: Training, objective: NetworkObjective, observer: Observer | None
) -> SolverResult:
    """Minimise an objective over all rows; parameters as of `fit_by_reads`, those of the penalty are set here."""
    objective.l2 = training.alpha / objective.weight_total

    def told(iteration: Iteration) -> bool:
        stop = observer is not None and bool(observer(iteration))
        return stop or objective.n_reads >= model.max_fun

    before = math.inf

    def flat(here: Trial, left: float) -> Stop | None:
        """As in SciPy: the gradient is small, or the value has stopped to fall, which at a kink of relu it may."""
        nonlocal before
        fall, before = before - here.value, here.value
        if 0.0 <= fall <= FALL_PER_TOL * model.tol * max(1.0, abs(here.value)):
            return Stop(f"the value fell by {fall:.1g} in an iteration", True)
        return stop_at(objective, here.value, float(np.abs(here.grad).max(initial=0.0)), model.tol)

    start = to_numpy(training.params).astype(np.float64)
    limits: dict[str, Any] = {"tol": model.tol, "max_iter": model.max_iter, "observer": told}
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a trial step may go too far
        if model.solver == "lbfgs":
            result = lbfgs(objective, start, criterion=flat, **limits)
        else:
            result = gradient_descent(objective, start, **limits)
    if result.message == "stopped by a callback" and objective.n_reads >= model.max_fun:
        result.message = f"max_fun = {model.max_fun} reached"
    params = training.params
    params[...] = array_namespace(params).asarray(result.params.astype(params.dtype))
    return result


def fit_by_batches(
    model: Any,
    training: Training,
    rows: Rows,
    target: Target,
    steps: Steps,
    rng: np.random.Generator,
    progress: Progress,
    observer: Observer | None,
    *,
    validation: Rows | None = None,
    journal: Journal | None = None,
    only_one_epoch: bool = False,
) -> Progress:
    """Train by steps on batches of rows, from ``training.params``, which are changed.

    Rows whose weight is nothing are left out of the order of the rows, so that they are as good as removed; see
    `gpu_logreg.passes.training.rows_with_weight`.

    Parameters
    ----------
    model : MLPClassifier
        Its parameters of stochastic training.
    training : Training
    rows : Rows
    target : Target
    steps : Steps
    rng : Generator
        Splits and shuffles the rows.
    progress : Progress
        Changed.
    observer : Observer or None
    validation : Rows or None
        Rows to stop by, in place of some that are held back.
    journal : Journal or None
        Where the state after an epoch is kept.
    only_one_epoch : bool
        As `partial_fit` does, which does not hold rows back either.
    """
    at = rows_with_weight(rows.sample_weight, rows.X.shape[0], training.params.dtype)
    held_back = None
    if model.early_stopping and not only_one_epoch and validation is None:
        at, numbers = _split(at, to_numpy(rows.y), target, model.validation_fraction, rng)
        held_back = HeldBack(rows, numbers)
    elif validation is not None:
        held_back = HeldBack(validation, np.arange(len(validation.y)))
    batches = NetworkBatches(training, rows, steps, held_back, progress.best_params)
    shuffling = rng if model.shuffle else None
    run_minibatch(model, batches, at, len(at), shuffling, progress, observer, journal, only_one_epoch=only_one_epoch)
    progress.best_params = batches.best()
    return progress


def _split(at: Any, codes: Any, target: Target, share: float, rng: np.random.Generator) -> tuple[Any, Any]:
    """Numbers of the rows to train on and of those held back, each class in the same share where that can be had.

    Of three classes and more, one of which has a single row or which are more than the rows of a part, that cannot be
    had: rows are held back whatever their class, as scikit-learn does, but for the only row of a class. Combinations of
    labels are too many to keep their shares, and scikit-learn does not either.
    """
    from sklearn.model_selection import train_test_split

    seed, n_held_back = int(rng.integers(2**31)), math.ceil(share * len(at))
    stratify, alone = None, np.zeros(len(at), bool)
    if not target.several:
        classes, needs_all = target.classes, target.loss.needs_every_class
        sizes = np.bincount(codes[at], minlength=len(classes))
        alone = sizes[codes[at]] == 1
        of_all = min(n_held_back, len(at) - n_held_back) >= np.count_nonzero(sizes) and not alone.any()
        stratify = codes[at] if of_all or needs_all else None
        if needs_all and alone.any():
            raise DataError(
                f"early_stopping=True cannot hold back validation_fraction={share:g}: the class "
                f"{label_text(classes[sizes == 1][0])} has one row, and either part needs one; use early_stopping=False"
            )
    try:
        some = at[~alone]
        kept, held_back = train_test_split(some, test_size=n_held_back, random_state=seed, stratify=stratify)
    except ValueError as error:
        raise DataError(f"early_stopping=True cannot hold back validation_fraction={share:g}: {error}") from error
    if len(held_back) < MIN_HELD_BACK:
        raise DataError(
            f"validation_fraction={share:g} holds back {len(held_back)} of {len(at)} rows, too few to stop by; "
            "raise it, or use early_stopping=False"
        )
    return np.sort(np.concatenate([kept, at[alone]])), held_back
