"""Training from files: rows and labels in, a tested and saved model out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpu_logreg.dataset.files import load_labelled_data, load_training_data
from gpu_logreg.dataset.formats import FileOptions
from gpu_logreg.dataset.schema import Schema
from gpu_logreg.errors import DataError
from gpu_logreg.linear_model import LogisticRegression
from gpu_logreg.model_file import check_destination, save_model
from gpu_logreg.report import fit_progress, note, print_table, score_rows

__all__ = ["TrainingRequest", "train_on_file"]

_SHOWN_CLASSES = 8


@dataclass(frozen=True)
class TrainingRequest:
    """What to train on and where to put the model; see ``gpu-logreg train --help``."""

    data: Path
    target: str | None
    model: Path | None
    valid: Path | None
    test_size: float | None
    positive: str | None
    options: FileOptions
    drop: tuple[str, ...]
    dtype: str
    seed: int


def train_on_file(request: TrainingRequest, parameters: dict[str, Any]) -> LogisticRegression:
    """Train as ``gpu-logreg train`` does: load, encode, fit, test, save, and print a table.

    Raises
    ------
    DataError, ModelFileError, DeviceError, ImplementationError
        One line, before anything is written.
    """
    _check(request)
    dtype = np.dtype(request.dtype)
    begin = time.perf_counter()
    rows, labels = load_training_data(request.data, request.target, request.options, drop=request.drop, dtype=dtype)
    y = _binary(labels, request, request.data)
    held_back = None
    if request.test_size is not None:
        train_at, test_at = _split(y, request)
        held_back = (rows.take_rows(test_at), y[test_at])
        rows, y = rows.take_rows(train_at), y[train_at]
    schema = Schema.fit(rows)
    X = schema.transform(rows, dtype)
    del rows
    if request.valid is not None:
        text_labels = labels.dtype.kind in "OU"
        tested, test_labels = load_labelled_data(
            request.valid, schema, request.target, request.options, text_labels=text_labels, dtype=dtype
        )
        held_back = (tested, _binary(test_labels, request, request.valid, known=np.unique(labels)))
    loaded = time.perf_counter()
    note(f"{request.data}: {len(X):,} rows, {X.shape[1]:,} columns after encoding, {loaded - begin:.1f} s to load")

    estimator = LogisticRegression(**parameters)
    with fit_progress() as observer:
        estimator.verbose = observer
        estimator.fit(X, y)
        estimator.verbose = 0
    fitted = time.perf_counter()
    note(f"device {estimator.device_} ({estimator.device_reason_}); pass {estimator.impl_} ({estimator.impl_reason_})")

    columns = {"training": score_rows(estimator, X, y)}
    if held_back is not None:
        tested, y_test = held_back
        columns["test"] = score_rows(estimator, schema.transform(tested, dtype), y_test)
    columns["training"] |= {
        "time to load": f"{loaded - begin:.2f} s",
        "time to fit": f"{fitted - loaded:.2f} s",
        "reads of the data": f"{estimator.n_reads_:.1f}",
        "converged": "yes" if estimator.converged_ else "no",
    }
    if request.model is not None:
        notes = {"target": request.target, "positive": request.positive, "header": request.options.header}
        save_model(estimator, request.model, schema=schema.to_json(), notes=notes)
    print_table(f"Logistic regression on {request.data.name}", columns)
    print(f"model saved to {request.model}" if request.model else "model not saved; give --model FILE to keep it")
    return estimator


def _check(request: TrainingRequest) -> None:
    """Refuse what can be refused before the data are read."""
    if request.model is not None:
        check_destination(request.model)
    if request.dtype not in ("float32", "float64"):
        raise DataError(f"--dtype {request.dtype} is not known; use float64 or float32")
    if request.valid is not None and request.test_size is not None:
        raise DataError("--valid and --test-size exclude each other; give one")
    if request.test_size is not None and not 0.0 < request.test_size < 1.0:
        raise DataError(f"--test-size {request.test_size:g} is not a share between 0 and 1")


def _binary(labels: Any, request: TrainingRequest, path: Path, known: Any = None) -> Any:
    """Labels as they are where there are two; ``labels == positive`` where one is set against the rest."""
    name = f"{path}: {request.target!r}" if request.target else f"{path}: the labels"
    if request.positive is not None:
        is_positive = _equal(labels, request.positive)
        if not is_positive.any():
            raise DataError(f"{name} never holds the positive label {request.positive!r}; it holds {_some(labels)}")
        if known is None and is_positive.all():
            raise DataError(f"{name} holds only one class: {request.positive!r}; at least 2 classes are needed")
        return is_positive
    classes = np.unique(labels)
    if known is not None:
        strange = [c for c in classes if c not in set(known.tolist())]
        if strange:
            raise DataError(
                f"{name} holds the label {_text(strange[0])}, which training did not see; it saw {_some(known)}"
            )
        return labels
    if len(classes) < 2:
        raise DataError(f"{name} holds only one class: {_text(classes[0])}; at least 2 classes are needed")
    if len(classes) > 2:
        raise DataError(
            f"{name} holds {len(classes):,} classes: {_some(labels)}; set one against the rest with --positive LABEL"
        )
    return labels


def _equal(labels: Any, positive: str) -> Any:
    if labels.dtype.kind in "iufb":
        try:
            return labels == float(positive)
        except ValueError:
            return np.array([str(label) for label in labels.tolist()]) == positive
    return np.asarray(labels == positive)


def _some(labels: Any) -> str:
    classes = np.unique(labels)
    return ", ".join(_text(c) for c in classes[:_SHOWN_CLASSES]) + (", ..." if len(classes) > _SHOWN_CLASSES else "")


def _text(label: Any) -> str:
    return repr(label.item() if hasattr(label, "item") else label)


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
