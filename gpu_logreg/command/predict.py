"""Prediction from files: a saved model and raw rows in, a CSV of classes and probabilities out."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from gpu_logreg.command.lines import printable
from gpu_logreg.command.report import class_names, note, waiting
from gpu_logreg.command.stored_columns import header_of, positive_of, schema_of
from gpu_logreg.errors import DataError, ModelFileError
from gpu_logreg.estimators.target import known_target
from gpu_logreg.files.formats import THOUSANDS, FileOptions, applicable, refuse_header
from gpu_logreg.files.kept_columns import KeptColumns, read_kept
from gpu_logreg.files.load import Matrix, load_prediction_data
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.streams import at_hand
from gpu_logreg.files.unseen import unseen_remarks
from gpu_logreg.mathematics.logistic import sigmoid
from gpu_logreg.mathematics.softmax import softmax
from gpu_logreg.saved.model_file import StoredModel, load_model_file
from gpu_logreg.saved.whole_files import check_destination, is_replaced, whole_file

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
    decimal: str | None = None
    thousands: str | None = None
    missing: tuple[str, ...] | None = None
    keep: tuple[str, ...] = ()


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
    _check_kept(request.keep, names)
    marks, missing = _how_read(stored, request)
    options = FileOptions(request.format, header, request.sep, request.skip_rows, request.features)
    options = replace(options, decimal=request.decimal, thousands=request.thousands, missing=request.missing)
    with waiting(f"reading {request.data}"):
        data = at_hand(request.data)
        if request.header is not None:
            refuse_header(data, options)
        if request.missing is None:  # as in training, where the format has words
            options = replace(options, missing=applicable(replace(options, missing=missing), data).missing)
        rows = load_prediction_data(data, schema, options, marks=marks)
        X = schema.transform(rows)
        kept = read_kept(data, options, request.keep, schema) if request.keep else None
    for remark in unseen_remarks(rows, schema):
        note(remark)
    try:
        z = np.asarray(stored.estimator.decision_function(X), dtype=np.float64)
    except DataError:
        if isinstance(rows, Matrix):
            rows.refuse_not_finite()
        raise
    with _opened(request.output) as file:
        _write_csv(file, z, names, request.proba, kept)
    if request.output != "-":
        note(f"{len(z):,} predictions written to {request.output}")


def _check_kept(keep: Sequence[str], names: Sequence[str]) -> None:
    """Refuse to keep columns whose names the output has for its own."""
    for name in keep:
        if name in ("prediction", *(f"probability of {known}" for known in names)):
            raise DataError(
                f"--keep {name}: the output has a column of its own of that name; rename the one in the file"
            )
        if keep.count(name) > 1:
            raise DataError(f"--keep {name} is given twice; give it once")


def _how_read(stored: StoredModel, request: PredictionRequest) -> tuple[Marks, tuple[str, ...] | None]:
    """The marks of numbers and the words for missing cells of the file trained on, kept in the notes of the model."""
    decimal, thousands, missing = (stored.notes.get(name) for name in ("decimal", "thousands", "missing"))
    texts = isinstance(missing, list) and all(isinstance(word, str) for word in missing)
    if decimal not in (None, ".", ",") or thousands not in (None, *THOUSANDS) or not (missing is None or texts):
        raise ModelFileError(f"{request.model}: does not tell how files are to be read; train again")
    return Marks(decimal, thousands), None if missing is None else tuple(missing)


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


def _write_csv(file: TextIO, z: Any, names: Sequence[str], proba: bool, kept: KeptColumns | None) -> None:
    if file.isatty():  # a name may command a terminal; a file gets it as it is
        names = [printable(name) for name in names]
    writer = csv.writer(file, lineterminator="\n")
    header = ["prediction", *(f"probability of {name}" for name in names)] if proba else ["prediction"]
    header = [*(kept.names if kept else ()), *header]
    writer.writerow(header)
    for first in range(0, len(z), _BLOCK_ROWS):
        block = z[first : first + _BLOCK_ROWS]
        number = block.argmax(axis=1) if block.ndim > 1 else (block > 0).astype(np.intp)
        predictions = [names[k] for k in number.tolist()]
        beside = kept.cells(first, first + len(block)) if kept else ()
        writer.writerows(zip(*beside, predictions, *(_probabilities(block) if proba else ()), strict=True))


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
