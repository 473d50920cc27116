"""Networks on rows in parts, which each walk over their shares of a batch: on a cluster, or on several GPUs."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from gpu_logreg.arrays.device import Device, to_numpy
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.callbacks import TimeLimit, epoch_lines, observe_all
from gpu_logreg.estimators.journal import Journal
from gpu_logreg.estimators.linear.several_devices import prepare_on_devices, refuse_for_devices
from gpu_logreg.estimators.network.epochs import schedule_of
from gpu_logreg.estimators.network.fit import MIN_HELD_BACK, minimise_over_rows, refuse_extremes
from gpu_logreg.estimators.network.parameters import STOCHASTIC, hidden_sizes
from gpu_logreg.estimators.prepare import Prepared
from gpu_logreg.mathematics.network import Network
from gpu_logreg.objectives.batches_by_parts import Cut, PartedBatches, PartedObjective, auto_batch_size
from gpu_logreg.passes.training import Training
from gpu_logreg.rows.part import Part
from gpu_logreg.rows.parted import PartedDataset
from gpu_logreg.solvers import Observer
from gpu_logreg.solvers.minibatch import minibatch

__all__ = ["fit_parts", "prepare_network_on_devices", "refuse_extremes_of_parts"]


def prepare_network_on_devices(
    model: Any, X: Any, y: Any, sample_weight: Any, devices: list[Device], *, only_one_epoch: bool, validated: bool
) -> Prepared:
    """Rows of host memory on several GPUs, for a network.

    Parameters
    ----------
    model : MLPClassifier
    X, y, sample_weight
        As of `gpu_logreg.estimators.prepare.prepare`.
    devices : list of Device
    only_one_epoch : bool
        Whether this is a call of ``partial_fit``.
    validated : bool
        Whether there are rows to stop by.

    Raises
    ------
    DataError, DeviceError
        What rows on several devices cannot do.
    """
    refuse_for_devices(model.device, X, model.solver if model.solver not in STOCHASTIC else "auto")
    refused = {
        "partial_fit": only_one_epoch,
        "X_val": validated,
        "y with several labels a row": y.ndim == 2,
        f"impl={model.impl!r}": model.impl not in ("auto", "reference"),
    }
    for name, is_asked in refused.items():
        if is_asked:
            raise DataError(f"{name} cannot be used with device={model.device!r}, several GPUs; use device='cuda'")
    names = getattr(model, "feature_names_in_", None)
    how: dict[str, Any] = {"impl": "reference", "class_weight": None, "storage": model.storage, "column_names": names}
    return prepare_on_devices(X, y, sample_weight, devices, **how)


def fit_parts(
    model: Any, prepared: Prepared, data: PartedDataset, going_on: bool, journal: Journal | None, task_of: Any = None
) -> None:
    """As `gpu_logreg.estimators.network.training.NetworkTraining._fit_prepared`, on parts.

    Parameters
    ----------
    model : MLPClassifier
        Gets the attributes of the fit.
    prepared : Prepared
    data : PartedDataset
        That of ``prepared``.
    going_on : bool
        Whether to start from the weights of the last fit.
    journal : Journal or None
    task_of : function (attributes of parameters) -> FitTask, optional
        For scikit-learn's callbacks.
    """
    target = prepared.target
    _ = prepared.shares  # refused where all the weight lies on one class
    sizes = data.n_columns, *hidden_sizes(model.hidden_layer_sizes), target.loss.n_logits
    layers = Network(sizes, model.activation)
    if going_on and layers.shapes != [W.shape for W in model.coefs_]:
        raise DataError("warm_start: the layers of the last fit are others; use warm_start=False")
    dtype = np.result_type(*data.parts.each(_batch_dtype))
    largest = [weight for weight in data.parts.each(_largest_weight) if weight is not None]
    factor = 2.0 ** -math.frexp(max(largest))[1] if largest else 1.0  # see `of_unit_size`
    training = model._training(layers, dtype, prepared.device, going_on, False)
    training.alpha = 0.0 if model.solver == "adamw" else model.alpha * factor
    model.classes_, model.out_activation_ = target.classes, target.loss.link
    told = model.verbose if callable(model.verbose) else epoch_lines(model.solver) if model.verbose else None
    time_limit = None if model.max_time is None else TimeLimit(model.max_time)
    task = None if task_of is None else task_of(lambda params: model._attributes(layers, params))
    if task is not None:
        task.begin_iteration(training.params)
    observer = observe_all(task, told, time_limit)
    stochastic = model.solver in STOCHASTIC
    share = float(model.validation_fraction) if model.early_stopping and stochastic else 0.0
    # A weight that does not change the rounded sum of all is none: see `rows_with_weight`.
    least = float(np.finfo(dtype).eps) * data.weight_total / data.n_rows
    seed = int(model._rng.integers(2**63))
    cut = Cut(layers, dtype.name, least, factor, share, seed, bool(model.shuffle))
    if stochastic:
        _fit_by_steps(model, training, data, cut, observer, journal)
    else:
        recall = None if journal is None else journal.recall
        objective = PartedObjective(layers, data, 0.0, dtype, cut, recall)
        model._keep_result(minimise_over_rows(model, training, objective, observer), data.n_rows, objective.n_reads)
    if time_limit is not None:
        model.stop_reason_ = time_limit.reason(model.stop_reason_)
    model.impl_, model.impl_reason_ = "reference", f"the rows are in {len(data.shapes)} parts"
    model.storage_ = data.storage_name
    model._keep(layers, training.params, prepared.device)
    if task is not None:
        task.end(training.params)


def refuse_extremes_of_parts(data: PartedDataset) -> None:
    """As `gpu_logreg.estimators.network.fit.refuse_extremes`, with the place of the part."""
    data.parts.each(_refuse_extremes)


def _fit_by_steps(
    model: Any, training: Training, data: PartedDataset, cut: Cut, observer: Observer | None, journal: Journal | None
) -> None:
    progress = model._progress
    batches = PartedBatches(training, data, cut, progress.best_params)
    n = batches.n_rows
    if cut.share and (batches.n_held_back < MIN_HELD_BACK or n < MIN_HELD_BACK):
        raise DataError(
            f"validation_fraction={cut.share:g} holds back {batches.n_held_back} of "
            f"{batches.n_held_back + n} rows, too few to stop by or to train on; use early_stopping=False"
        )
    size = auto_batch_size(n, len(data.shapes)) if model.batch_size == "auto" else int(model.batch_size)
    if size > n:
        warnings.warn(f"batch_size={size} is larger than the {n} rows to train on; it is clipped to {n}")
        size = n
    minibatch(
        batches,
        range(n),
        batch_size=size,
        schedule=schedule_of(model),
        rng=None,  # parts shuffle their rows
        progress=progress,
        tol=model.tol,
        max_iter=model.max_iter,
        n_iter_no_change=model.n_iter_no_change,
        by_score=bool(cut.share),
        observer=observer,
        saved=None if journal is None else journal.saved_state("epoch"),
    )
    progress.best_params = batches.best()
    model._keep_progress(data.n_rows)


def _batch_dtype(part: Part) -> np.dtype[Any]:
    return part.data.batch_dtype


def _largest_weight(part: Part) -> float | None:
    s = part.data.rows.sample_weight
    return None if s is None else float(to_numpy(s.max()))


def _refuse_extremes(part: Part) -> None:
    try:
        refuse_extremes(part.data, part.first_row)
    except DataError as error:
        raise DataError(f"{part.place}{error}") from error
