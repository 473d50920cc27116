"""Prediction from files: a saved model and raw rows in, a CSV of classes and probabilities out."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from gpu_logreg.dataset.files import Matrix, load_prediction_data
from gpu_logreg.dataset.formats import FileOptions
from gpu_logreg.errors import DataError, ModelFileError
from gpu_logreg.lines import printable
from gpu_logreg.logistic import sigmoid
from gpu_logreg.model_file import load_model_file
from gpu_logreg.network_target import known_target
from gpu_logreg.report import class_names, note, waiting
from gpu_logreg.softmax import softmax
from gpu_logreg.stored_columns import header_of, positive_of, schema_of
from gpu_logreg.whole_files import check_destination, is_replaced, whole_file

__all__ = ["PredictionRequest", "predict_file"]

_BLOCK_ROWS = 65536
# Nine digits give back every float32, and are more than a fit to the default tolerance knows of a probability. They
# would show 0.5 for both classes where |z| is below 2e-9; there the probabilities are written in full.
_DIGITS = ".9g"
_NEAR_ZERO = 1e-8
_STEP_ABOVE_HALF = 2.0**-53


@dataclass(frozen=True)
class PredictionRequest:
    """What to predict and where to write it; see ``gpu-logreg predict --help``.

    ``header`` of None is as in training; ``output`` of ``"-"`` is standard output.
    """

    model: Path
    data: Path
    proba: bool = False
    output: str = "-"
    header: bool | None = None
    sep: str | None = None
    skip_rows: int = 0
    format: str | None = None
    features: str | None = None


def predict_file(request: PredictionRequest) -> None:
    """Predict as ``gpu-logreg predict`` does; a file is written whole or not at all.

    Raises
    ------
    DataError, ModelFileError
        One line; nothing is written then.
    """
    _check_output(request)
    stored = load_model_file(request.model)
    schema = schema_of(stored, request.model)
    if schema is None:
        raise ModelFileError(
            f"{request.model}: holds no columns of a table, so it cannot read files; use it from Python"
        )
    if stored.kind == "neural-network" and known_target(stored.estimator).several:
        raise ModelFileError(f"{request.model}: gives a row several labels, and a CSV has one; use it from Python")
    header = header_of(stored, request.model) if request.header is None else request.header
    names = class_names(stored.estimator.classes_, positive_of(stored, request.model))
    _refuse_half_letters(names, request.model)
    options = FileOptions(request.format, header, request.sep, request.skip_rows, request.features)
    with waiting(f"reading {request.data}"):
        rows = load_prediction_data(request.data, schema, options)
        X = schema.transform(rows)
    try:
        z = np.asarray(stored.estimator.decision_function(X), dtype=np.float64)
    except DataError:
        if isinstance(rows, Matrix):
            rows.refuse_not_finite()
        raise
    with _opened(request.output) as file:
        _write_csv(file, z, names, request.proba)
    if request.output != "-":
        note(f"{len(z):,} predictions written to {request.output}")


def _check_output(request: PredictionRequest) -> None:
    if request.output == "-":
        return
    for path in (request.data, request.model):
        if _is_same(path, Path(request.output)):
            raise DataError(f"--output {request.output} is read as well and would be overwritten; choose another")
    if is_replaced(Path(request.output)):
        check_destination(request.output)


def _is_same(path: Path, other: Path) -> bool:
    """Whether both are one file, by any of its names."""
    try:
        return is_replaced(other) and os.path.samefile(path, other)
    except OSError:
        return os.path.realpath(path) == os.path.realpath(other)


def _refuse_half_letters(names: Sequence[str], path: Path) -> None:
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ModelFileError(f"{path}: the class {name!r} is no text that a CSV can hold") from error


@contextlib.contextmanager
def _opened(output: str) -> Iterator[TextIO]:
    """Standard output, or a file that appears under its name only when it is whole; UTF-8 in both."""
    if output == "-":
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(encoding="utf-8")
        yield sys.stdout
        return
    try:
        with whole_file(Path(output)) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", newline="")
            yield text
            text.detach()
    except BrokenPipeError:  # the reader of a named pipe has seen enough
        raise
    except OSError as error:
        raise DataError(f"{output}: cannot be written: {error.strerror or error}; nothing was saved") from error


def _write_csv(file: TextIO, z: Any, names: Sequence[str], proba: bool) -> None:
    if file.isatty():  # a name may command a terminal; a file gets it as it is
        names = [printable(name) for name in names]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["prediction", *(f"probability of {name}" for name in names)] if proba else ["prediction"])
    for first in range(0, len(z), _BLOCK_ROWS):
        block = z[first : first + _BLOCK_ROWS]
        number = block.argmax(axis=1) if block.ndim > 1 else (block > 0).astype(np.intp)
        predictions = [names[k] for k in number.tolist()]
        writer.writerows(zip(predictions, *(_probabilities(block) if proba else ()), strict=True))


def _probabilities(z: Any) -> tuple[Iterable[str], ...]:
    """Texts of the probabilities of the classes; of two the larger is always that of the class predicted."""
    if z.ndim > 1:
        return tuple([format(p, _DIGITS) for p in column] for column in softmax(z).T.tolist())
    first = [format(p, _DIGITS) for p in sigmoid(-z).tolist()]
    second = [format(p, _DIGITS) for p in sigmoid(z).tolist()]
    for at in np.flatnonzero((np.abs(z) < _NEAR_ZERO) & (z != 0)).tolist():
        away = max(abs(float(z[at])) / 4, _STEP_ABOVE_HALF)
        less, more = repr(0.5 - away), repr(0.5 + away)
        first[at], second[at] = (less, more) if z[at] > 0 else (more, less)
    return first, second
