"""``gpu-logreg train``: a model is trained on the rows of a file, tested, described and saved."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.csr import stored_share
from gpu_logreg.command.checkpoints import checkpoint_of, leave_checkpoint
from gpu_logreg.command.estimator_choice import make_estimator, needs_dense_rows
from gpu_logreg.command.report import (
    Estimator,
    class_names,
    duration,
    fit_progress,
    note,
    print_confusion,
    print_facts,
    print_table,
    score_rows,
    waiting,
)
from gpu_logreg.command.stored_columns import reading_notes
from gpu_logreg.command.strength_choice import describe_choice, print_choice, refuse_for_folds, refuse_small_classes
from gpu_logreg.command.train_on_cluster import train_on_cluster
from gpu_logreg.command.train_streamed import stream_for, train_on_stream
from gpu_logreg.command.training_labels import (
    MANY_CLASSES,
    MANY_LIBSVM_CLASSES,
    classes_of,
    is_positive,
    list_some,
    split_rows,
    without_full_stop,
)
from gpu_logreg.command.training_report import History, labelled_parts, write_report
from gpu_logreg.command.training_request import TrainingRequest, check_request, stops_by_valid
from gpu_logreg.command.used_columns import fit_on_used_columns
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.cross_validation.model import LogisticRegressionCV
from gpu_logreg.files.formats import applicable_options, refuse_header
from gpu_logreg.files.load import Matrix, Table, load_labelled_data, load_training_data
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.row_weights import take_weights
from gpu_logreg.files.schema import Schema
from gpu_logreg.files.streams import make_reopenable
from gpu_logreg.files.unseen import unseen_remarks
from gpu_logreg.saved.model_file import save_model

__all__ = ["TrainingRequest", "train_on_file"]


class _TrainingData(NamedTuple):
    """What a fit and its report need of the files.

    Attributes
    ----------
    X, y, weights
        Rows to train on, their classes, and their weights or None.
    X_test, y_test
        Rows and classes to test on, or None.
    schema : Schema
    marks : Marks
        Of the numbers in the file.
    positive : str or None
        The text of the positive label.
    matrix : Matrix or None
        The rows as they were read, where they are an array or LIBSVM text: it names a value that is not finite.
    """

    X: Any
    y: NDArray[Any]
    weights: NDArray[np.float64] | None
    X_test: Any
    y_test: NDArray[Any] | None
    schema: Schema
    marks: Marks
    positive: str | None
    matrix: Matrix | None


def train_on_file(request: TrainingRequest, parameters: dict[str, Any]) -> Estimator:
    """Train as ``gpu-logreg train`` does: load, encode, fit, test, save, and print tables.

    Parameters
    ----------
    request : TrainingRequest
    parameters : dict
        Parameters of the estimator; see `gpu_logreg.command.estimator_choice.make_estimator`.

    Raises
    ------
    DataError, ModelFileError, DeviceError, ImplementationError
        The message is one line, and no model was written.
    """
    estimator = make_estimator(parameters)
    check_request(request, estimator)
    refuse_for_folds(request, estimator)
    if needs_dense_rows(parameters):
        request = replace(request, options=replace(request.options, dense=True))
    if request.on_cluster:
        assert not isinstance(estimator, LogisticRegressionCV)
        return train_on_cluster(request, estimator, partial(_load_test, request))
    start = time.perf_counter()
    with waiting(f"reading {request.data}"):
        file = make_reopenable(request.data)
        stream = stream_for(request, file)
        data = _load(request, file) if stream is None else None
    if data is None:
        assert stream is not None
        if isinstance(estimator, LogisticRegressionCV):
            raise DataError(f"{file}: is streamed, being large or many files, and --cv is for rows in memory; give --C")
        return train_on_stream(request, estimator, stream, partial(_load_test, request))
    load_end = time.perf_counter()
    note(f"{file}: {_size(data.X, data.schema)}; {duration(load_end - start)} to load")
    history = History()
    _fit(estimator, data, request, history)
    fit_end = time.perf_counter()

    classes = class_names(estimator.classes_, data.positive)
    parts = {"training": (data.X, data.y)}
    if data.y_test is not None:
        parts["validation" if stops_by_valid(estimator, request) else "test"] = (data.X_test, data.y_test)
    scores = {name: score_rows(estimator, *part, classes) for name, part in parts.items()}
    if request.model is not None:
        notes = {"target": request.target, "positive": data.positive, "header": request.options.header}
        notes |= reading_notes(request.options, data.marks)
        save_model(estimator, request.model, schema=data.schema.to_json(), notes=notes)
        leave_checkpoint(request, estimator)
    times = {"load": duration(load_end - start), "fit": duration(fit_end - load_end)}
    if request.report is not None:
        rows = labelled_parts(estimator, parts, classes)
        write_report(request, estimator, rows, data.schema, history, times, (data.X, data.y, data.weights))
    print_choice(estimator)
    print_table(scores)
    if len(classes) > 2:
        X, y = (data.X, data.y) if data.y_test is None else (data.X_test, data.y_test)
        print_confusion(estimator, X, y, classes)
    print()
    print_facts(
        {
            "time": f"{times['load']} to load, {times['fit']} to fit",
            **describe_choice(estimator),
            **({"report": f"written to {request.report}"} if request.report else {}),
            "model": f"saved to {request.model}" if request.model else "not saved; give --model FILE to keep it",
        }
    )
    return estimator


def _load(request: TrainingRequest, file: Path) -> _TrainingData:
    """Read and encode the rows to train on and, where there are any, those to test on."""
    options, dtype = request.options, np.dtype(request.dtype)
    if not options.header:
        refuse_header(file, options)
    rows, labels = load_training_data(
        file, request.target, options, drop=request.drop, weight=request.weight, dtype=dtype
    )
    _print_remarks(rows)
    _refuse_dtype(rows, request)
    marks = rows.marks if isinstance(rows, Table) else Marks()
    y, positive = _classes(labels, rows, request)
    weights = rows.weights if isinstance(rows, Matrix) else None
    if request.weight is not None:
        if weights is not None:
            raise DataError(f"{file}: has weights behind its labels; leave out --weight {request.weight}")
        rows, weights = take_weights(rows, request.weight)
    test_rows, y_test = None, None
    if request.test_size is not None:
        train_at, test_at = split_rows(y, rows.source, request.test_size, request.seed)
        test_rows, y_test = rows.take_rows(test_at), y[test_at]
        rows, y = rows.take_rows(train_at), y[train_at]
        weights = None if weights is None else weights[train_at]
    schema = Schema.fit(rows)
    X = schema.transform(rows, dtype, dense=options.dense)
    if request.valid is not None:
        test_rows, y_test = _load_valid(request, schema, labels, positive, dtype, marks)
    X_test = None if test_rows is None else _encode_finite(test_rows, schema, request)
    matrix = rows if isinstance(rows, Matrix) else None
    return _TrainingData(X, y, weights, X_test, y_test, schema, marks, positive, matrix)


def _fit(estimator: Estimator, data: _TrainingData, request: TrainingRequest, history: History) -> None:
    """Fit, with lines on the progress; an error on a value that is not finite names its place in the file."""
    refuse_small_classes(estimator, data.y)
    checkpoint, validation = checkpoint_of(request), None
    if data.y_test is not None and stops_by_valid(estimator, request):
        validation = data.X_test, data.y_test
    try:
        with fit_progress() as observer:
            watched = 0 if isinstance(estimator, LogisticRegressionCV) else history.watching(observer)
            estimator.set_params(verbose=watched)
            fit_on_used_columns(estimator, data.X, data.y, data.weights, checkpoint, validation)
            estimator.set_params(verbose=0)
    except DataError:
        if data.matrix is not None:
            data.matrix.refuse_not_finite()
        raise


def _print_remarks(rows: Table | Matrix) -> None:
    """Print the remarks on how cells were read: dates, percentages, columns left out."""
    for remark in rows.remarks if isinstance(rows, Table) else ():
        note(remark)


def _refuse_dtype(rows: Table | Matrix, request: TrainingRequest) -> None:
    """Refuse ``--dtype`` for an array, which keeps its own."""
    if isinstance(rows, Matrix) and rows.labels is None and request.dtype != TrainingRequest.dtype:
        raise DataError(
            f"{rows.source.name}: --dtype is for tables and LIBSVM text, and an array keeps its own, "
            f"{rows.values.dtype}; leave it out"
        )


def _classes(labels: NDArray[Any], rows: Table | Matrix, request: TrainingRequest) -> tuple[NDArray[Any], str | None]:
    """The classes of the training rows and the text of the positive one; see `classes_of`."""
    is_libsvm = isinstance(rows, Matrix) and rows.labels is not None
    name = f"{rows.source.name}: {request.target!r}" if request.target else f"{rows.source.name}: the labels"
    many = MANY_LIBSVM_CLASSES if is_libsvm else MANY_CLASSES
    return classes_of(labels, rows.source, name, request.positive, many, warn=request.test_size is None)


def _size(X: Any, schema: Schema) -> str:
    """Text on the size of the rows: how many, how many columns before and after encoding, the share that is stored."""
    n, d = X.shape
    encoding = f", {d:,} after encoding" if d != len(schema.names) else ""
    share = stored_share(X)
    storage = "" if share is None else f", sparse ({100 * share:.2g} % stored)"
    return f"{n:,} rows, {len(schema.names):,} columns{encoding}{storage}"


def _encode_finite(rows: Table | Matrix, schema: Schema, request: TrainingRequest) -> Any:
    """The matrix of the test rows. NaN and infinity are refused here, before the fit, which may take hours."""
    if isinstance(rows, Matrix):
        rows.refuse_not_finite()
    return schema.transform(rows, np.dtype(request.dtype), dense=request.options.dense)


def _load_test(
    request: TrainingRequest, schema: Schema, classes: NDArray[Any], positive: str | None, marks: Marks
) -> tuple[Any, NDArray[Any]]:
    """The matrix and the labels of ``--valid``, for rows that are streamed."""
    rows, labels = _load_valid(request, schema, classes, positive, np.dtype(request.dtype), marks)
    return _encode_finite(rows, schema, request), labels


def _load_valid(
    request: TrainingRequest,
    schema: Schema,
    training_labels: NDArray[Any],
    positive: str | None,
    dtype: np.dtype[Any],
    marks: Marks,
) -> tuple[Table | Matrix, NDArray[Any]]:
    """Rows and labels of the file to test on, in the classes of the training rows."""
    assert request.valid is not None
    path = make_reopenable(request.valid)
    options, target = applicable_options(request.options, path), request.valid_target or request.target
    if request.valid_skip_rows is not None:
        options = replace(options, skip_rows=request.valid_skip_rows)
    if request.valid_features is not None:
        options = replace(options, features=request.valid_features)
    text_labels = training_labels.dtype.kind in "OU"
    try:
        rows, labels = load_labelled_data(
            path, schema, target, options, text_labels=text_labels, marks=marks, dtype=dtype
        )
    except DataError as error:  # the message names options of the training file; this file has its own
        message = str(error)
        for option in ("skip-rows", "features", "target"):
            message = message.replace(f"--{option}", f"--valid-{option}")
        raise DataError(message) from error
    for remark in unseen_remarks(rows, schema):
        note(remark)
    name = f"{request.valid}: {target!r}" if target else f"{request.valid}: the labels"
    training_labels = np.unique(training_labels)
    labels = without_full_stop(labels, training_labels, request.valid)
    if positive is not None:
        return rows, is_positive(labels, positive, name)
    unknown = np.setdiff1d(labels, training_labels)
    if len(unknown):
        raise DataError(
            f"{name} holds {list_some(unknown)}, which training did not see; it saw {list_some(training_labels)}"
        )
    return rows, labels
