"""Prediction from files: a saved model and raw rows in, a CSV of classes and probabilities out."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from pathlib import Path
from typing import Any

import numpy as np

from gpu_logreg.dataset.files import load_prediction_data
from gpu_logreg.dataset.formats import FileOptions
from gpu_logreg.dataset.schema import Schema
from gpu_logreg.errors import DataError, MissingDependencyError, ModelFileError
from gpu_logreg.model_file import check_destination, load_model_file
from gpu_logreg.report import note

__all__ = ["predict_file"]


def predict_file(
    model_path: Path,
    data: Path,
    proba: bool,
    output: str,
    header: bool | None,
    sep: str | None,
    skip_rows: int | None,
    format_: str | None,
    features: str | None,
) -> None:
    """Predict as ``gpu-logreg predict`` does; a file is written whole or not at all.

    ``header`` of None: as in training.
    """
    if output != "-":
        check_destination(output)
    stored = load_model_file(model_path)
    if stored.schema is None:
        raise ModelFileError(f"{model_path}: holds no columns of a table, so it cannot read files; use it from Python")
    schema = Schema.from_json(stored.schema)
    with_header = bool(stored.notes.get("header", True)) if header is None else header
    options = FileOptions(format_, with_header, sep, skip_rows or 0, features)
    X = schema.transform(load_prediction_data(data, schema, options))
    log_proba = stored.estimator.predict_log_proba(X)
    positive = stored.notes.get("positive")
    classes = np.array([f"not {positive}", positive]) if positive is not None else stored.estimator.classes_
    columns: dict[str, Any] = {"prediction": classes[(log_proba[:, 1] > log_proba[:, 0]).astype(np.intp)]}
    if proba:
        columns |= {f"probability of {label}": np.exp(log_proba[:, k]) for k, label in enumerate(classes)}
    _write(columns, output)
    if output != "-":
        note(f"{len(X):,} predictions written to {output}")


def _write(columns: dict[str, Any], output: str) -> None:
    try:
        import pyarrow as pa
        from pyarrow import csv
    except ImportError as error:
        raise MissingDependencyError("pyarrow is needed; install it with: pip install 'gpu-logreg[cli]'") from error
    table = pa.table({name: pa.array(values.tolist()) for name, values in columns.items()})
    style = csv.WriteOptions(quoting_style="needed")
    if output == "-":
        sys.stdout.flush()
        csv.write_csv(table, sys.stdout.buffer, style)
        return
    path = Path(output)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            csv.write_csv(table, file, style)
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{output}: cannot be written: {error.strerror or error}; nothing was saved") from error
    finally:  # also after Ctrl-C; gone already where the file was renamed
        with contextlib.suppress(OSError):
            temporary.unlink()
