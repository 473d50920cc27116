"""Training from files: rows and labels in, a tested and saved model out."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils._param_validation import InvalidParameterError

from gpu_logreg.arrays.device import is_sparse, resolve_device
from gpu_logreg.command.estimator_choice import make_estimator, needs_dense_rows
from gpu_logreg.command.report import (
    class_names,
    describe_fit,
    duration,
    fit_progress,
    note,
    print_confusion,
    print_facts,
    print_table,
    score_rows,
    waiting,
)
from gpu_logreg.command.training_labels import (
    MANY_CLASSES,
    MANY_LIBSVM_CLASSES,
    classes_of,
    is_positive,
    some,
    split_rows,
)
from gpu_logreg.command.used_columns import fit_on_used_columns
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.linear.model import LogisticRegression
from gpu_logreg.estimators.network.model import MLPClassifier
from gpu_logreg.files.formats import FileOptions, applicable, refuse_header
from gpu_logreg.files.load import Matrix, Table, load_labelled_data, load_training_data
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.row_weights import take_weights
from gpu_logreg.files.schema import Schema
from gpu_logreg.files.streams import STANDARD_INPUT, at_hand
from gpu_logreg.files.unseen import unseen_remarks
from gpu_logreg.saved.model_file import save_model
from gpu_logreg.saved.whole_files import check_destination

__all__ = ["TrainingRequest", "train_on_file"]

_DEFAULT = FileOptions()


@dataclass(frozen=True)
class TrainingRequest:
    """What to train on and where to put the model; see ``gpu-logreg train --help``.

    ``valid_target``, ``valid_skip_rows`` and ``valid_features`` of None are as for the rows to train on.
    """

    data: Path
    target: str | None = None
    model: Path | None = None
    valid: Path | None = None
    valid_target: str | None = None
    valid_skip_rows: int | None = None
    valid_features: str | None = None
    test_size: float | None = None
    positive: str | None = None
    options: FileOptions = _DEFAULT
    drop: tuple[str, ...] = ()
    dtype: str = "float64"
    seed: int = 0
    weight: str | None = None


def train_on_file(request: TrainingRequest, given: dict[str, Any]) -> LogisticRegression | MLPClassifier:
    """Train as ``gpu-logreg train`` does: load, encode, fit, test, print tables, and save.

    ``given`` are the parameters by the names of the options; see `gpu_logreg.command.estimator_choice.make_estimator`.

    Raises
    ------
    DataError, ModelFileError, DeviceError, ImplementationError
        One line; nothing is written then.
    """
    estimator = make_estimator(given)
    _check(request, estimator)
    if needs_dense_rows(given):
        request = replace(request, options=replace(request.options, dense=True))
    dtype = np.dtype(request.dtype)
    begin = time.perf_counter()
    with waiting(f"reading {request.data}"):
        data = at_hand(request.data)
        if not request.options.header:
            refuse_header(data, request.options)
        rows, labels = load_training_data(
            data, request.target, request.options, drop=request.drop, weight=request.weight, dtype=dtype
        )
        _tell(rows)
        _refuse_dtype(rows, request)
        marks = rows.marks if isinstance(rows, Table) else Marks()
        y, positive = _classes(labels, rows, request)
        weights = rows.weights if isinstance(rows, Matrix) else None
        if request.weight is not None:
            if weights is not None:
                raise DataError(f"{data}: has weights behind its labels; leave out --weight {request.weight}")
            rows, weights = take_weights(rows, request.weight)
        tested = None
        if request.test_size is not None:
            train_at, test_at = split_rows(y, rows.source, request.test_size, request.seed)
            tested = rows.take_rows(test_at), y[test_at]
            rows, y = rows.take_rows(train_at), y[train_at]
            weights = None if weights is None else weights[train_at]
        schema = Schema.fit(rows)
        X = schema.transform(rows, dtype, dense=request.options.dense)
        if request.valid is not None:
            tested = _load_valid(request, schema, labels, positive, dtype, marks)
        X_test, y_test = (None, None) if tested is None else (_finite(tested[0], schema, request), tested[1])
    stored = rows if isinstance(rows, Matrix) else None
    del rows, labels, tested
    loaded = time.perf_counter()
    note(f"{data}: {_size(X, schema)}; {duration(loaded - begin)} to load")

    try:
        with fit_progress() as observer:
            estimator.set_params(verbose=observer)
            fit_on_used_columns(estimator, X, y, weights)
            estimator.set_params(verbose=0)
    except DataError:
        if stored is not None:
            stored.refuse_not_finite()
        raise
    fitted = time.perf_counter()

    classes = class_names(estimator.classes_, positive)
    columns = {"training": score_rows(estimator, X, y, classes)}
    if X_test is not None:
        columns["test"] = score_rows(estimator, X_test, y_test, classes)
    if request.model is not None:
        notes = {"target": request.target, "positive": positive, "header": request.options.header}
        notes |= _how_read(request.options, marks)
        save_model(estimator, request.model, schema=schema.to_json(), notes=notes)
    print_table(columns)
    if len(classes) > 2:
        print_confusion(estimator, X if X_test is None else X_test, y if X_test is None else y_test, classes)
    print()
    print_facts(
        {
            "time": f"{duration(loaded - begin)} to load, {duration(fitted - loaded)} to fit",
            **describe_fit(estimator),
            "model": f"saved to {request.model}" if request.model else "not saved; give --model FILE to keep it",
        }
    )
    return estimator


def _tell(rows: Table | Matrix) -> None:
    """Say how the cells were read, where that is more than they seem."""
    for remark in rows.remarks if isinstance(rows, Table) else ():
        note(remark)


def _refuse_dtype(rows: Table | Matrix, request: TrainingRequest) -> None:
    if isinstance(rows, Matrix) and rows.labels is None and request.dtype != TrainingRequest.dtype:
        raise DataError(
            f"{rows.source.name}: --dtype is for tables and LIBSVM text, and an array keeps its own, "
            f"{rows.values.dtype}; leave it out"
        )


def _how_read(options: FileOptions, marks: Marks) -> dict[str, Any]:
    """What a file to predict must be read with as well, for the notes of the model."""
    held = {"decimal": marks.decimal, "thousands": marks.thousands}
    held["missing"] = None if options.missing is None else list(options.missing)  # type: ignore[assignment]
    return {name: value for name, value in held.items() if value is not None}


def _classes(labels: Any, rows: Table | Matrix, request: TrainingRequest) -> tuple[Any, str | None]:
    """The labels as classes, and the text of the positive one."""
    is_libsvm = isinstance(rows, Matrix) and rows.labels is not None
    name = f"{rows.source.name}: {request.target!r}" if request.target else f"{rows.source.name}: the labels"
    many = MANY_LIBSVM_CLASSES if is_libsvm else MANY_CLASSES
    return classes_of(labels, rows.source, name, request.positive, many, warn=request.test_size is None)


def _check(request: TrainingRequest, estimator: LogisticRegression | MLPClassifier) -> None:
    """Refuse what can be refused before the data are read."""
    if request.valid is not None and request.test_size is not None:
        raise DataError("--valid and --test-size exclude each other; give one")
    for option in ("valid_target", "valid_skip_rows", "valid_features"):
        if request.valid is None and getattr(request, option) is not None:
            raise DataError(f"--{option.replace('_', '-')} is for the file of --valid; give that too, or leave it out")
    if request.weight is not None and request.weight in (request.target, *request.drop):
        other = "the target" if request.weight == request.target else "dropped"
        raise DataError(f"--weight {request.weight} is {other} as well; choose one")
    if request.test_size is not None and not 0.0 < request.test_size < 1.0:
        raise DataError(f"--test-size {request.test_size:g} is not a share between 0 and 1")
    other_arrays = request.valid_target or request.valid_features
    if request.valid is not None and _same(request.valid, request.data) and not other_arrays:
        raise DataError(f"--valid {request.valid} is the file trained on; hold rows back with --test-size 0.2")
    if request.model is not None:
        for data in (request.data, request.valid):
            if data is not None and _same(request.model, data):
                raise DataError(f"--model {request.model} is a file of data and would be overwritten; choose another")
        check_destination(request.model)
    try:
        estimator._validate_params()
    except InvalidParameterError as error:
        raise DataError(str(error)) from error
    resolve_device(estimator.device)


def _size(X: Any, schema: Schema) -> str:
    """How many rows and columns, with what encoding made of these, and how much of sparse rows is stored."""
    n, d = X.shape
    encoded = f", {d:,} after encoding" if d != len(schema.names) else ""
    stored = f", sparse ({100 * X.nnz / (n * d):.2g} % stored)" if is_sparse(X) else ""
    return f"{n:,} rows, {len(schema.names):,} columns{encoded}{stored}"


def _same(path: Path, other: Path) -> bool:
    streams = {STANDARD_INPUT, "/dev/stdin", "/dev/fd/0"}
    if {str(path), str(other)} <= streams:
        return True
    return os.path.realpath(path) == os.path.realpath(other)


def _finite(rows: Table | Matrix, schema: Schema, request: TrainingRequest) -> Any:
    """The matrix of rows to test on, checked now, so that a long fit is not lost to it."""
    if isinstance(rows, Matrix):
        rows.refuse_not_finite()
    return schema.transform(rows, np.dtype(request.dtype), dense=request.options.dense)


def _load_valid(
    request: TrainingRequest, schema: Schema, known: Any, positive: str | None, dtype: np.dtype[Any], marks: Marks
) -> tuple[Table | Matrix, Any]:
    """Rows and labels of the file to test on, in the classes of the training rows."""
    assert request.valid is not None
    path = at_hand(request.valid)
    options, target = applicable(request.options, path), request.valid_target or request.target
    if request.valid_skip_rows is not None:
        options = replace(options, skip_rows=request.valid_skip_rows)
    if request.valid_features is not None:
        options = replace(options, features=request.valid_features)
    text_labels = known.dtype.kind in "OU"
    try:
        rows, labels = load_labelled_data(
            path, schema, target, options, text_labels=text_labels, marks=marks, dtype=dtype
        )
    except DataError as error:  # these options have another name for this file
        message = str(error)
        for option in ("skip-rows", "features", "target"):
            message = message.replace(f"--{option}", f"--valid-{option}")
        raise DataError(message) from error
    for remark in unseen_remarks(rows, schema):
        note(remark)
    name = f"{request.valid}: {target!r}" if target else f"{request.valid}: the labels"
    known = np.unique(known)
    labels = _without_full_stop(labels, known, request.valid)
    if positive is not None:
        return rows, is_positive(labels, positive, name)
    strange = np.setdiff1d(labels, known)
    if len(strange):
        raise DataError(f"{name} holds {some(strange)}, which training did not see; it saw {some(known)}")
    return rows, labels


def _without_full_stop(labels: Any, known: Any, path: Path) -> Any:
    """Labels without a final full stop where training has them all without: UCI Adult writes ``>50K.`` to test on."""
    if labels.dtype.kind != "U" or known.dtype.kind != "U":
        return labels
    found = np.unique(labels)
    bare = np.array([label.removesuffix(".") for label in found.tolist()])
    if np.isin(found, known).any() or not np.isin(bare, known).all():
        return labels
    note(f"{path}: the labels {some(found)} are taken as {some(bare)}")
    return bare[np.searchsorted(found, labels)]
