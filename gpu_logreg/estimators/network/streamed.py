"""Training a network on streamed rows: by steps on batches, from blocks read in every epoch, or by sums over all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpu_logreg.arrays.checks import first_not_finite
from gpu_logreg.arrays.device import Device
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.journal import Journal
from gpu_logreg.estimators.network.epochs import run_minibatch
from gpu_logreg.estimators.network.fit import minimise_over_rows
from gpu_logreg.estimators.network.parameters import STOCHASTIC
from gpu_logreg.estimators.prepare import Prepared
from gpu_logreg.estimators.stream import Stream
from gpu_logreg.estimators.streamed import prepare_stream
from gpu_logreg.objectives.batches import HeldBack
from gpu_logreg.objectives.streamed_batches import StreamedBatches, StreamedObjective, counted_rows
from gpu_logreg.passes.steps_choice import Steps
from gpu_logreg.passes.training import Training
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.extremes import first_beyond, too_large
from gpu_logreg.rows.source_blocks import is_read_in_any_order
from gpu_logreg.rows.streamed import StreamedDataset
from gpu_logreg.solvers import Observer, SolverResult
from gpu_logreg.solvers.minibatch import Progress

__all__ = [
    "fit_by_streamed_batches",
    "fit_by_streamed_reads",
    "prepare_network_stream",
    "refuse_extremes_of_blocks",
    "unit_factor",
]


def prepare_network_stream(model: Any, stream: Stream, device: Device, by_other_rows: bool) -> Prepared:
    """Rows of a stream for a network; those of a single block are in memory.

    Raises
    ------
    DataError
        A training that cannot be made on streamed rows.
    """
    prepared = prepare_stream(stream, device, class_weight=None, storage=model.storage)
    if prepared.data.is_resident:
        return prepared
    if model.early_stopping and model.solver in STOCHASTIC and not by_other_rows:
        raise DataError("early_stopping=True goes by rows in memory, and these are streamed; give X_val and y_val")
    return prepared


def refuse_extremes_of_blocks(data: StreamedDataset) -> None:
    """As `gpu_logreg.estimators.network.fit.refuse_extremes`; one read."""
    limit, source = too_large(data.batch_dtype), data.store.source
    if source.dtype.kind != "f":
        return
    bounded = float(np.finfo(source.dtype).max) <= limit  # such as float16
    for number, X in data.store.walk():
        found = None if bounded else first_beyond(X, limit)
        if (bounded or found is not None) and first_not_finite(X) is not None:
            data.refuse_not_finite()
        if found is not None:
            row, column, value = found
            row += data.store.parts[number].start
            raise DataError(
                f"{source.place(row)}Input X holds {value:g} at row {row}, column {column}{data.column_name(column)}, "
                f"whose square {data.batch_dtype} cannot hold; scale the columns"
            )


def unit_factor(data: StreamedDataset) -> float:
    """The power of 2 that makes the largest weight about 1, as `gpu_logreg.estimators.network.fit.of_unit_size`."""
    if not data.labels.is_weighted:
        return 1.0
    largest = max(float(s.max()) for part in data.store.parts if (s := data.labels.weights(part)) is not None)
    return float(2.0 ** -math.frexp(largest)[1])


def fit_by_streamed_reads(
    model: Any, training: Training, data: StreamedDataset, observer: Observer | None, journal: Journal | None = None
) -> tuple[SolverResult, int, float]:
    """As `gpu_logreg.estimators.network.fit.fit_by_reads`, block by block."""
    counted, least = counted_rows(data, training.params.dtype)
    objective = StreamedObjective(
        training.network,
        data,
        0.0,
        training.params.dtype,
        None if journal is None else journal.recall,
        factor=unit_factor(data),
        counted=counted,
        least_weight=least,
    )
    return minimise_over_rows(model, training, objective, observer), data.n_rows, objective.n_reads


def fit_by_streamed_batches(
    model: Any,
    training: Training,
    data: StreamedDataset,
    steps: Steps,
    rng: np.random.Generator,
    progress: Progress,
    observer: Observer | None,
    *,
    validation: Rows | None = None,
    journal: Journal | None = None,
) -> Progress:
    """As `gpu_logreg.estimators.network.fit.fit_by_batches`, block by block.

    Blocks come in random order where their source holds any of them at once, as an array in a file does, and else in
    their own; see `StreamedBatches`.
    """
    held_back = None if validation is None else HeldBack(validation, np.arange(len(validation.y)))
    counted, least = counted_rows(data, training.params.dtype)
    batches = StreamedBatches(
        training,
        data,
        steps,
        held_back,
        progress.best_params,
        seed=int(rng.integers(2**63)) if model.shuffle else None,
        factor=unit_factor(data),
        least_weight=least,
    )
    source = data.store.source
    in_any_order = model.shuffle and is_read_in_any_order(source)
    run_minibatch(
        model,
        batches,
        np.arange(len(data.store.parts)),
        counted,
        rng if in_any_order else None,
        progress,
        observer,
        journal,
    )
    progress.best_params = batches.best()
    return progress
