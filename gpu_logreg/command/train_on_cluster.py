"""``gpu-logreg train`` on the workers of a Dask cluster, which read the files and keep the rows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.command.checkpoints import checkpoint_of, leave_checkpoint
from gpu_logreg.command.on_cluster import cluster, refuse_for_cluster
from gpu_logreg.command.report import (
    Estimator,
    class_names,
    describe_fit,
    duration,
    fit_progress,
    note,
    print_facts,
    print_table,
    score_rows,
    waiting,
)
from gpu_logreg.command.scaling import fold_into_weights, scale_to_use
from gpu_logreg.command.stored_columns import reading_notes
from gpu_logreg.command.train_streamed import LoadTest
from gpu_logreg.command.training_labels import MANY_CLASSES, classes_of, is_positive
from gpu_logreg.command.training_request import TrainingRequest
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.linear.model import LogisticRegression
from gpu_logreg.estimators.network.model import MLPClassifier
from gpu_logreg.files.column_names import Source
from gpu_logreg.files.pieces import cut_files
from gpu_logreg.saved.model_file import save_model

if TYPE_CHECKING:
    from distributed import Client

    from gpu_logreg.estimators.distributed.tables import TableOnCluster

__all__ = ["train_on_cluster"]

_MOST_LABELS = 2**22
"""Most labels that are written out to be judged."""


def _refuse_for_training(request: TrainingRequest, estimator: Any) -> None:
    """Refuse, before anything is started, what cannot be trained by rows on a cluster.

    Raises
    ------
    DataError, MissingDependencyError
        One line.
    """
    option = refuse_for_cluster(request.data, request.scheduler, request.workers)
    if request.valid is not None and getattr(estimator, "early_stopping", False):
        raise DataError(f"--early-stopping by the rows of --valid is for rows on this machine; leave out {option}")
    if isinstance(estimator, LogisticRegression) and estimator.solver in ("sgd", "adam"):
        raise DataError(f"--solver {estimator.solver} steps over rows in random order; leave out it, or {option}")
    if request.memory_budget is not None:
        raise DataError(f"--memory-budget is for rows on this machine, and {option} for those on workers; give one")


def train_on_cluster(request: TrainingRequest, estimator: Estimator, load_test: LoadTest) -> Estimator:
    """Read, fit, test, save and print tables as ``gpu-logreg train`` does.

    Raises
    ------
    DataError, ClusterError
        What cannot be read, or fitted; a cluster that is not there.
    """
    _refuse_for_training(request, estimator)
    pieces = cut_files(request.data, request.options)
    with cluster(request.scheduler, request.workers) as client:
        return _train(client, request, estimator, pieces, load_test)


def _train(
    client: Client, request: TrainingRequest, estimator: Estimator, pieces: Any, load_test: LoadTest
) -> Estimator:
    from gpu_logreg.estimators.distributed.tables import HeldBack, TableOnCluster, Wanted

    start = time.perf_counter()
    with waiting(f"reading {request.data}"):
        wanted = Wanted(request.target, request.weight, request.drop, request.dtype, request.options.dense)
        table = TableOnCluster.read(client, pieces, wanted, str(request.data))
    for line in table.told:
        note(line)
    positive, apart = _judged(table, request)
    load_end = time.perf_counter()
    note(
        f"{request.data}: {table.n_rows:,} rows, {len(table.schema.names):,} columns in {len(pieces):,} parts on "
        f"{len(client.nthreads()):,} workers; {duration(load_end - start)} to load"
    )
    X_test, y_test = None, None
    if request.valid is not None:
        X_test, y_test = load_test(table.schema, table.classes, positive, table.marks)
    held_back = None if request.test_size is None else HeldBack(request.test_size, request.seed)
    blocks = client.persist(table.blocks(apart, held_back))
    fit_start = time.perf_counter()
    local: Estimator = _fitted(client, request, estimator, blocks)
    fit_end = time.perf_counter()
    classes = class_names(local.classes_, positive)
    scores = {"training": _score(client, local, blocks, classes)}
    if held_back is not None:
        scores["test"] = _score(client, local, table.blocks(apart, held_back, tested=True), classes)
    if y_test is not None:
        scores["test"] = score_rows(local, X_test, y_test, classes)
    if request.model is not None:
        notes: dict[str, Any] = {"target": request.target, "positive": positive, "header": request.options.header}
        notes |= reading_notes(request.options, table.marks)
        save_model(local, request.model, schema=table.schema.to_json(), notes=notes)
        leave_checkpoint(request, local)
    print_table(scores)
    print()
    print_facts(
        {
            "time": f"{duration(load_end - start)} to load, {duration(fit_end - fit_start)} to fit",
            **describe_fit(local),
            "model": f"saved to {request.model}" if request.model else "not saved; give --model FILE to keep it",
        }
    )
    return local


def _fitted(client: Client, request: TrainingRequest, estimator: Estimator, blocks: Any) -> Any:
    """The fitted estimator for rows in memory."""
    from gpu_logreg import dask
    from gpu_logreg.estimators.distributed.scaling import scaled_blocks, scaling_of

    scaling, kind = None, getattr(dask, type(estimator).__name__)
    if isinstance(estimator, MLPClassifier):
        found = scaling_of(client, blocks)
        scale = scale_to_use(*found, np.dtype(request.dtype))
        if scale is not None:  # else the fit names the value that is not finite
            scaling = found._replace(scale=scale)
            blocks = client.persist(scaled_blocks(blocks, scaling))
    with fit_progress() as observer:
        model = kind(client=client, **estimator.get_params(deep=False)).set_params(verbose=observer)
        model.fit(blocks, checkpoint=checkpoint_of(request)).set_params(verbose=0)
    local = model.to_local()
    if scaling is not None:
        fold_into_weights(local, scaling.centre, scaling.scale)
    return local


def _judged(table: TableOnCluster, request: TrainingRequest) -> tuple[str | None, NDArray[Any] | None]:
    """The text of the positive label, and the labels that are it; refused are labels that are no classes."""
    name = f"{request.data}: {request.target!r}"
    many = int(table.counts.sum()) > _MOST_LABELS
    labels = np.repeat(table.classes, np.minimum(table.counts, 100) if many else table.counts)
    if request.positive is None:
        classes_of(labels, Source(str(request.data)), name, None, MANY_CLASSES, warn=False)
        return None, None
    apart = table.classes[is_positive(table.classes, request.positive, name)]
    classes_of(labels, Source(str(request.data)), name, request.positive, MANY_CLASSES, warn=False)
    return str(apart[0]), apart


def _score(client: Client, model: Estimator, blocks: Any, classes: Any) -> dict[str, str]:
    """The scores of the rows of blocks, as `gpu_logreg.command.report.score_rows` shows them."""
    from gpu_logreg.estimators.distributed.scores import scores_of

    found = scores_of(client, model, blocks)
    n, of_two = max(found.n, 1), {}
    if len(classes) == 2:
        of_two[f"share of {classes[1]}"] = f"{100 * found.counts[1] / n:.2f} %"
    shown = {"rows": f"{found.n:,}", **of_two, "accuracy": f"{found.right / n:.4f}"}
    if len(classes) == 2:
        shown["AUC"] = "one class" if found.auc is None else f"{found.auc:.4f}"
    return shown | {"log loss": f"{found.loss / max(found.n_known, 1):.5f}"}
