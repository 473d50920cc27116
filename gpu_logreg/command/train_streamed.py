"""``gpu-logreg train`` on a file larger than its memory budget: rows are streamed, as `gpu_logreg.Stream` does."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.memory import free_memory, memory_budget
from gpu_logreg.arrays.random import is_drawn
from gpu_logreg.command.checkpoints import checkpoint_of, leave_checkpoint
from gpu_logreg.command.report import (
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
from gpu_logreg.command.scaling import fit_on_standardised_stream
from gpu_logreg.command.stored_columns import reading_notes
from gpu_logreg.command.training_labels import MANY_CLASSES, MANY_LIBSVM_CLASSES, classes_of, is_positive
from gpu_logreg.command.training_report import History, labelled_blocks, labelled_parts, write_report
from gpu_logreg.command.training_request import TrainingRequest, stops_by_valid
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.linear.model import LogisticRegression
from gpu_logreg.estimators.network.model import MLPClassifier
from gpu_logreg.estimators.stream import FREE_SHARE, Stream
from gpu_logreg.estimators.stream_sources import FileRows, csv_rows, dataset_rows, glob_like, libsvm_rows
from gpu_logreg.files.column_names import Source, need_target
from gpu_logreg.files.columns import NumberedColumns, NumericColumn
from gpu_logreg.files.dataset_rows import DatasetRows
from gpu_logreg.files.datasets import dataset_files, open_dataset
from gpu_logreg.files.formats import choose_format
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.numbered import numbered_columns
from gpu_logreg.files.reading import gib
from gpu_logreg.files.schema import Schema
from gpu_logreg.files.streams import parquet_parts
from gpu_logreg.mathematics.losses import Labels
from gpu_logreg.saved.model_file import save_model

__all__ = ["LoadTest", "stream_for", "train_on_stream"]

_TEXT = ("csv", "libsvm")

LoadTest = Callable[[Schema, NDArray[Any], str | None, Marks], tuple[Any, NDArray[Any]]]
"""From a schema, the classes, the positive label and the marks of numbers to the rows and labels of ``--valid``."""


def stream_for(request: TrainingRequest, file: Path) -> Stream | None:
    """The rows of a file as a stream, if they exceed ``--memory-budget``, or without one the free memory.

    Raises
    ------
    DataError
        A file larger than a given budget that cannot be streamed; the message says why.
    """
    given = request.memory_budget
    of_many = (file.is_dir() and not parquet_parts(file)) or (glob_like(str(file)) and not file.exists())
    of_many = of_many and bool(dataset_files(file))
    if given is None and not of_many and (not file.is_file() or file.stat().st_size < free_memory() // 8):
        return None
    kind = "parquet" if of_many or file.is_dir() else choose_format(file, request.options)
    budget = memory_budget(FREE_SHARE if given is None else given)
    limit = free_memory() if given is None else budget
    if kind in _TEXT:
        return None if file.stat().st_size <= limit else _of_text(request, file, kind, budget)
    if kind == "parquet":
        target, options = need_target(request.target, file), request.options
        if not of_many and _bytes_in_memory(file, request) <= limit:
            return None
        dtype = np.dtype(request.dtype)
        rows = dataset_rows(file, None, None, target, request.weight, request.drop, options, dtype, learns=True)
        return _of_table(rows, file, budget)
    try:
        stream = _of_array(request, file, kind, budget)
    except DataError:
        if given is None:
            return None
        raise
    return stream if stream.n_rows * stream.n_columns * stream.dtype.itemsize > limit else None


def _bytes_in_memory(file: Path, request: TrainingRequest) -> int:
    """Bytes of the columns of a data set as float64, of which a text counts as one number."""
    rows = DatasetRows(open_dataset(file), numbers=False)
    return 8 * rows.n_rows * (rows.n_columns - len({request.target, request.weight, *request.drop} - {None}))


def _of_array(request: TrainingRequest, file: Path, kind: str, budget: int) -> Stream:
    target = need_target(request.target, file)
    if kind == "npy":
        if not target.endswith(".npy"):
            raise DataError(f"{file}: rows that are streamed have labels in a file of their own: --target labels.npy")
        if request.drop or request.weight:
            raise DataError(f"{file}: --drop and --weight are for rows in memory and tables; leave them out")
        return Stream(file, target, memory_budget=budget)
    features = request.options.features
    return Stream(
        file, target=target, weight=request.weight, features=features, drop=request.drop, memory_budget=budget
    )


def _of_text(request: TrainingRequest, file: Path, kind: str, budget: int) -> Stream:
    dtype = np.dtype(request.dtype)
    if kind == "csv":
        target = need_target(request.target, file)
        rows = csv_rows(file, None, None, target, request.weight, request.drop, request.options, dtype)
        return _of_table(rows, file, budget)
    if request.target not in (None, "label"):
        raise DataError(f"{file}: LIBSVM text has its own labels; leave out the target {request.target!r}")
    if request.drop or request.weight:
        raise DataError(f"{file}: --drop and --weight are for rows in memory and tables; leave them out")
    return _of_table(libsvm_rows(file, dtype, dense=request.options.dense), file, budget)


def _of_table(rows: FileRows, file: Path, budget: int) -> Stream:
    for remark in () if rows.learned is None else rows.learned.remarks:
        note(remark)
    nbytes = getattr(rows.rows, "nbytes", None)
    if nbytes is not None:
        note(f"{file}: is decoded once, into {gib(nbytes)} in a temporary file")
    return Stream(rows, memory_budget=budget)


def train_on_stream(
    request: TrainingRequest, estimator: LogisticRegression | MLPClassifier, stream: Stream, load_test: LoadTest
) -> LogisticRegression | MLPClassifier:
    """Fit, test, save and print tables as ``gpu-logreg train`` does.

    Parameters
    ----------
    request : TrainingRequest
    estimator : LogisticRegression or MLPClassifier
    stream : Stream
    load_test : function
        Reads the rows of ``--valid``, which are in memory.

    Raises
    ------
    DataError
        What cannot be done with streamed rows.
    """
    start = time.perf_counter()
    original = stream.opened.classes
    name = f"{request.data}: {request.target!r}" if request.target else f"{request.data}: the labels"
    many = MANY_CLASSES if request.target else MANY_LIBSVM_CLASSES
    classes_of(np.repeat(original, 2), Source(str(request.data)), name, None, many, warn=False)
    positive = None
    if request.positive is not None:
        is_second = is_positive(original, request.positive, name)
        positive = str(original[int(is_second.argmax())])
        stream.set_apart(is_second)
    schema, marks = _schema(stream), Marks() if stream.learned is None else stream.learned.marks
    encoding = f", {stream.n_columns:,} after encoding" if stream.n_columns != len(schema.names) else ""
    note(
        f"{request.data}: {stream.n_rows:,} rows, {len(schema.names):,} columns{encoding}; "
        f"streamed in {stream.n_blocks_:,} blocks, of which {stream.n_resident_:,} stay in memory"
    )
    if request.test_size is not None:
        stream.hold_back(request.test_size, request.seed)
    X_test, y_test = (None, None) if request.valid is None else load_test(schema, original, positive, marks)
    history = History()
    with fit_progress(stream.opened.store) as observer:
        estimator.set_params(verbose=history.watching(observer))
        if isinstance(estimator, MLPClassifier):
            stops = y_test is not None and stops_by_valid(estimator, request)
            validation: Any = (X_test, y_test) if stops else None
            fit_on_standardised_stream(estimator, stream, checkpoint_of(request), validation)
        else:
            estimator.fit(stream, checkpoint=checkpoint_of(request))
        estimator.set_params(verbose=0)
    for name in ("feature_names_in_", "table_columns_"):  # the schema has them; rows of files are arrays by then
        estimator.__dict__.pop(name, None)
    fit_end = time.perf_counter()
    read = stream.bytes_read_
    classes = class_names(estimator.classes_, positive)
    scores = _scores(estimator, stream, classes, request)
    if y_test is not None:
        scores["validation" if stops_by_valid(estimator, request) else "test"] = score_rows(
            estimator, X_test, y_test, classes
        )
    if request.model is not None:
        notes = {"target": request.target, "positive": positive, "header": request.options.header}
        notes |= reading_notes(request.options, marks)
        save_model(estimator, request.model, schema=schema.to_json(), notes=notes)
        leave_checkpoint(request, estimator)
    if request.report is not None:
        with waiting("writing the report"):
            name = "validation" if stops_by_valid(estimator, request) else "test"
            if y_test is not None:
                rows = labelled_parts(estimator, {name: (X_test, y_test)}, classes)
            else:
                rows = labelled_blocks(estimator, stream, classes, request)
            write_report(request, estimator, rows, schema, history, {"fit": duration(fit_end - start)})
    print_table(scores)
    print()
    seconds = fit_end - start
    print_facts(
        {
            "time": f"{duration(seconds)}; {gib(read)} were read, {read / seconds / 1e9:.1f} GB/s",
            **describe_fit(estimator),
            **({"report": f"written to {request.report}"} if request.report else {}),
            "model": f"saved to {request.model}" if request.model else "not saved; give --model FILE to keep it",
        }
    )
    return estimator


def _schema(stream: Stream) -> Schema:
    if stream.learned is not None:
        return stream.learned.schema
    if stream.names is None:
        return Schema(NumberedColumns(numbered_columns(stream.n_columns)), stream.first_index)
    return Schema(tuple(map(NumericColumn, stream.names)))


def _scores(
    model: LogisticRegression | MLPClassifier, stream: Stream, classes: Sequence[str], request: TrainingRequest
) -> dict[str, dict[str, str]]:
    """Accuracy and log loss of the rows trained on, and of those of ``--test-size``, added block by block."""
    parts = {"training": _Sums(len(classes))}
    if request.test_size is not None:
        parts["test"] = _Sums(len(classes))
    loss_of, first = model._target().loss, 0
    assert not isinstance(loss_of, Labels)
    for X, codes, _ in stream.encoded_blocks():
        z = model._logits_of_rows(X)
        is_right = np.asarray(loss_of.decide(z) == codes)
        losses = loss_of.row_loss(z.reshape(len(codes), -1).astype(np.float64), codes)
        is_test = np.zeros(len(codes), bool)
        if request.test_size is not None:
            is_test = is_drawn(first, len(codes), request.test_size, request.seed)
        for name, sums in parts.items():
            at = is_test if name == "test" else ~is_test
            sums.add(is_right[at], losses[at], codes[at])
        first += len(codes)
    return {name: sums.shown(classes) for name, sums in parts.items()}


class _Sums:
    """Sums over rows that scores are made of."""

    def __init__(self, n_classes: int) -> None:
        self.n = self.right = 0
        self.loss = 0.0
        self.counts = np.zeros(n_classes)

    def add(self, is_right: NDArray[Any], losses: NDArray[Any], codes: NDArray[Any]) -> None:
        """Add some rows."""
        self.n += len(codes)
        self.right += int(is_right.sum())
        self.loss += float(losses.sum())
        self.counts += np.bincount(codes, minlength=len(self.counts))

    def shown(self, classes: Sequence[str]) -> dict[str, str]:
        """The lines of a table."""
        n = max(1, self.n)
        share = {f"share of {classes[1]}": f"{100 * self.counts[1] / n:.2f} %"} if len(classes) == 2 else {}
        scores = {"accuracy": f"{self.right / n:.4f}", "log loss": f"{self.loss / n:.5f}"}
        return {"rows": f"{self.n:,}", **share, **scores}
