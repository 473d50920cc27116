"""Training from files: rows and labels in, a tested and saved model out."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils._param_validation import InvalidParameterError

from gpu_logreg.backend import is_sparse, resolve_device
from gpu_logreg.dataset.files import Matrix, Table, load_labelled_data, load_training_data
from gpu_logreg.dataset.formats import FileOptions
from gpu_logreg.dataset.labels import encode_labels
from gpu_logreg.dataset.schema import Schema
from gpu_logreg.errors import DataError
from gpu_logreg.estimator_choice import make_estimator, needs_dense_rows
from gpu_logreg.linear_model import LogisticRegression
from gpu_logreg.model_file import save_model
from gpu_logreg.neural_network import MLPClassifier
from gpu_logreg.report import (
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
from gpu_logreg.used_columns import fit_on_used_columns
from gpu_logreg.whole_files import check_destination

__all__ = ["TrainingRequest", "train_on_file"]

_SHOWN_CLASSES = 8
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


def train_on_file(request: TrainingRequest, given: dict[str, Any]) -> LogisticRegression | MLPClassifier:
    """Train as ``gpu-logreg train`` does: load, encode, fit, test, print tables, and save.

    ``given`` are the parameters by the names of the options; see `gpu_logreg.estimator_choice.make_estimator`.

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
        rows, labels = load_training_data(request.data, request.target, request.options, drop=request.drop, dtype=dtype)
        is_libsvm = isinstance(rows, Matrix) and rows.labels is not None
        y, positive = _classes_of(labels, request, _MANY_LIBSVM_CLASSES if is_libsvm else _MANY_CLASSES)
        tested = None
        if request.test_size is not None:
            train_at, test_at = _split(y, request)
            tested = rows.take_rows(test_at), y[test_at]
            rows, y = rows.take_rows(train_at), y[train_at]
        schema = Schema.fit(rows)
        X = schema.transform(rows, dtype, dense=request.options.dense)
        if request.valid is not None:
            tested = _load_valid(request, schema, labels, positive, dtype)
        X_test, y_test = (None, None) if tested is None else (_finite(tested[0], schema, request), tested[1])
    stored = rows if isinstance(rows, Matrix) else None
    weights = None if stored is None else stored.weights
    del rows, labels, tested
    loaded = time.perf_counter()
    note(f"{request.data}: {_size(X, schema)}; {duration(loaded - begin)} to load")

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


def _check(request: TrainingRequest, estimator: LogisticRegression | MLPClassifier) -> None:
    """Refuse what can be refused before the data are read."""
    if request.valid is not None and request.test_size is not None:
        raise DataError("--valid and --test-size exclude each other; give one")
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
    return os.path.realpath(path) == os.path.realpath(other)


def _finite(rows: Table | Matrix, schema: Schema, request: TrainingRequest) -> Any:
    """The matrix of rows to test on, checked now, so that a long fit is not lost to it."""
    if isinstance(rows, Matrix):
        rows.refuse_not_finite()
    return schema.transform(rows, np.dtype(request.dtype), dense=request.options.dense)


def _load_valid(
    request: TrainingRequest, schema: Schema, known: Any, positive: str | None, dtype: np.dtype[Any]
) -> tuple[Table | Matrix, Any]:
    """Rows and labels of the file to test on, in the classes of the training rows."""
    assert request.valid is not None
    options, target = request.options, request.valid_target or request.target
    if request.valid_skip_rows is not None:
        options = replace(options, skip_rows=request.valid_skip_rows)
    if request.valid_features is not None:
        options = replace(options, features=request.valid_features)
    text_labels = known.dtype.kind in "OU"
    try:
        rows, labels = load_labelled_data(request.valid, schema, target, options, text_labels=text_labels, dtype=dtype)
    except DataError as error:  # these options have another name for this file
        message = str(error)
        for option in ("skip-rows", "features", "target"):
            message = message.replace(f"--{option}", f"--valid-{option}")
        raise DataError(message) from error
    name = f"{request.valid}: {target!r}" if target else f"{request.valid}: the labels"
    known = np.unique(known)
    labels = _without_full_stop(labels, known, request.valid)
    if positive is not None:
        return rows, _is_positive(labels, positive, name)
    strange = np.setdiff1d(labels, known)
    if len(strange):
        raise DataError(f"{name} holds {_some(strange)}, which training did not see; it saw {_some(known)}")
    return rows, labels


def _without_full_stop(labels: Any, known: Any, path: Path) -> Any:
    """Labels without a final full stop where training has them all without: UCI Adult writes ``>50K.`` to test on."""
    if labels.dtype.kind != "U" or known.dtype.kind != "U":
        return labels
    found = np.unique(labels)
    bare = np.array([label.removesuffix(".") for label in found.tolist()])
    if np.isin(found, known).any() or not np.isin(bare, known).all():
        return labels
    note(f"{path}: the labels {_some(found)} are taken as {_some(bare)}")
    return bare[np.searchsorted(found, labels)]


_MANY_CLASSES = 100
"""A column of numbers with more values is taken for a measurement, not for classes."""

_MANY_LIBSVM_CLASSES = 1000
"""Likewise for the labels of LIBSVM text, where classes have no other names than numbers."""


def _classes_of(labels: Any, request: TrainingRequest, many: int) -> tuple[Any, str | None]:
    """Labels as they are, with None; or ``labels == positive``, with the text of the positive label.

    More than ``many`` whole numbers are refused.
    """
    name = f"{request.data}: {request.target!r}" if request.target else f"{request.data}: the labels"
    if request.positive is not None:
        is_positive = _is_positive(labels, request.positive, name)
        if is_positive.all():
            raise DataError(f"{name} holds only one class: {request.positive!r}; at least 2 classes are needed")
        return is_positive, str(labels[int(is_positive.argmax())])
    classes = np.unique(labels)
    if len(classes) < 2:
        raise DataError(f"{name} holds only one class: {_some(classes)}; at least 2 classes are needed")
    if len(classes) > many and labels.dtype.kind in "iuf" and (classes == np.floor(classes)).all():
        raise DataError(
            f"{name} holds {len(classes):,} numbers: {_some(classes)}; more than {many:,} classes are to be "
            "written as text in a table, or set one against the rest with --positive LABEL"
        )
    try:
        encode_labels(labels)
    except ValueError as error:
        raise DataError(
            f"{name} holds {len(classes):,} numbers that are not whole: {_some(classes)}; "
            "classes are text or whole numbers"
        ) from error
    return labels, None


def _is_positive(labels: Any, positive: str, name: str) -> Any:
    """Whether each label is the positive one, which must be among them."""
    is_positive = np.asarray(labels == positive)
    if labels.dtype.kind in "iuf":
        try:
            is_positive = np.asarray(labels == float(positive))
        except ValueError:
            is_positive = np.zeros(len(labels), dtype=bool)
    elif labels.dtype.kind == "b":
        is_positive = (
            labels == (positive.lower() == "true") if positive.lower() in ("true", "false") else labels & False
        )
    if not is_positive.any():
        raise DataError(f"{name} never holds the positive label {positive!r}; it holds {_some(np.unique(labels))}")
    return is_positive


def _some(classes: Any) -> str:
    texts = [repr(label.item() if hasattr(label, "item") else label) for label in classes[:_SHOWN_CLASSES]]
    return ", ".join(texts) + (", ..." if len(classes) > _SHOWN_CLASSES else "")


def _split(y: Any, request: TrainingRequest) -> tuple[Any, Any]:
    """Positions of the rows to train on and of those held back, each class in the same share."""
    from sklearn.model_selection import train_test_split

    try:
        train_at, test_at = train_test_split(
            np.arange(len(y)), test_size=request.test_size, random_state=request.seed, stratify=y
        )
    except ValueError as error:
        raise DataError(f"{request.data}: too few rows for --test-size {request.test_size:g} ({error})") from error
    return np.sort(train_at), np.sort(test_at)
