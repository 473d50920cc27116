"""``gpu-logreg predict``: the rows of a file are predicted by a saved model and written as CSV."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.command.lines import printable
from gpu_logreg.command.on_cluster import refuse_for_cluster
from gpu_logreg.command.predict_on_cluster import logits_on_cluster
from gpu_logreg.command.predict_streamed import logits_of_file
from gpu_logreg.command.report import class_names, note, waiting
from gpu_logreg.command.stored_columns import header_of, positive_of, schema_of
from gpu_logreg.errors import DataError, ModelFileError
from gpu_logreg.estimators.target import known_target
from gpu_logreg.files.formats import THOUSANDS, FileOptions, applicable_options, refuse_header
from gpu_logreg.files.kept_columns import KeptColumns, read_kept_columns
from gpu_logreg.files.load import Matrix, load_prediction_data
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.streams import make_reopenable
from gpu_logreg.files.unseen import unseen_remarks
from gpu_logreg.mathematics.logistic import sigmoid
from gpu_logreg.mathematics.softmax import softmax
from gpu_logreg.saved.model_file import StoredModel, load_model_file
from gpu_logreg.saved.whole_files import check_destination, is_replaced, whole_file

__all__ = ["PredictionRequest", "predict_file"]

_BLOCK_ROWS = 65536
"""Rows that are turned into text at once, so that the texts of all rows are never in memory together."""

_DIGITS = ".9g"
"""Format of a probability: nine significant digits identify every float32."""

_NEAR_ZERO = 1e-8
"""Logits of smaller size are written in full: below 2e-9 nine digits would give both classes the probability 0.5."""

_LEAST_DISTANCE = 2.0**-53
"""Spacing of float64 above 0.5, and so the least distance from 0.5 at which both probabilities are numbers."""


@dataclass(frozen=True)
class PredictionRequest:
    """Files and options of one prediction; see ``gpu-logreg predict --help``.

    ``header`` is that of the training file where it is None; ``output`` is standard output where it is ``"-"``.
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
    scheduler: str | None = None
    workers: int | None = None

    @property
    def on_cluster(self) -> bool:
        """Whether the workers of a cluster read the rows."""
        return self.scheduler is not None or self.workers is not None


def predict_file(request: PredictionRequest) -> None:
    """Predict as ``gpu-logreg predict`` does. The output file appears when it is complete.

    Raises
    ------
    DataError, ModelFileError
        The message is one line, and no file was written.
    """
    _check_output(request)
    if request.on_cluster:
        option = refuse_for_cluster(request.data, request.scheduler, request.workers)
        if request.keep:
            raise DataError(f"--keep is for rows on this machine; leave out it, or {option}")
    model_file = load_model_file(request.model)
    schema = schema_of(model_file, request.model)
    if schema is None:
        raise ModelFileError(
            f"{request.model}: holds no columns of a table, so it cannot read files; use it from Python"
        )
    if model_file.kind == "neural-network" and known_target(model_file.estimator).several:
        raise ModelFileError(f"{request.model}: gives a row several labels, and a CSV has one; use it from Python")
    header = header_of(model_file, request.model) if request.header is None else request.header
    names = class_names(model_file.estimator.classes_, positive_of(model_file, request.model))
    _refuse_surrogates(names, request.model)
    _check_kept(request.keep, names)
    marks, missing = _reading_notes(model_file, request)
    options = FileOptions(request.format, header, request.sep, request.skip_rows, request.features)
    options = replace(options, decimal=request.decimal, thousands=request.thousands, missing=request.missing)
    if request.on_cluster:
        where = request.scheduler, request.workers
        logits = logits_on_cluster(model_file.estimator, request.data, schema, options, marks, missing, where)
        _write_logits(request, logits, names, None)
        return
    with waiting(f"reading {request.data}"):
        data = make_reopenable(request.data)
        if request.header is not None:
            refuse_header(data, options)
        if request.missing is None:  # the words of training, for formats that have words for missing cells
            options = replace(options, missing=applicable_options(replace(options, missing=missing), data).missing)
        streamed = None if request.keep else logits_of_file(model_file.estimator, data, schema, options, marks)
    if streamed is not None:
        _write_logits(request, streamed, names, None)
        return
    with waiting(f"reading {request.data}"):
        rows = load_prediction_data(data, schema, options, marks=marks)
        X = schema.transform(rows)
        kept_columns = read_kept_columns(data, options, request.keep, schema) if request.keep else None
    for remark in unseen_remarks(rows, schema):
        note(remark)
    try:
        z = np.asarray(model_file.estimator.decision_function(X), dtype=np.float64)
    except DataError:
        if isinstance(rows, Matrix):
            rows.refuse_not_finite()
        raise
    _write_logits(request, [z], names, kept_columns)


def _write_logits(
    request: PredictionRequest,
    logits: Iterable[NDArray[np.float64]],
    names: Sequence[str],
    kept_columns: KeptColumns | None,
) -> None:
    with _open_output(request.output) as file:
        n_rows = _write_csv(file, logits, names, request.proba, kept_columns)
    if request.output != "-":
        note(f"{n_rows:,} predictions written to {request.output}")


def _check_kept(keep: Sequence[str], names: Sequence[str]) -> None:
    """Refuse to keep a column twice, or one with the name of a column that the output has anyway."""
    for name in keep:
        if name in ("prediction", *(f"probability of {class_name}" for class_name in names)):
            raise DataError(
                f"--keep {name}: the output has a column of its own of that name; rename the one in the file"
            )
        if keep.count(name) > 1:
            raise DataError(f"--keep {name} is given twice; give it once")


def _reading_notes(model_file: StoredModel, request: PredictionRequest) -> tuple[Marks, tuple[str, ...] | None]:
    """The marks of numbers and the words for missing cells that `train` wrote into the notes of the model."""
    decimal, thousands, missing = (model_file.notes.get(name) for name in ("decimal", "thousands", "missing"))
    are_words = isinstance(missing, list) and all(isinstance(word, str) for word in missing)
    if decimal not in (None, ".", ",") or thousands not in (None, *THOUSANDS) or not (missing is None or are_words):
        raise ModelFileError(f"{request.model}: does not tell how files are to be read; train again")
    return Marks(decimal, thousands), None if missing is None else tuple(missing)


def _check_output(request: PredictionRequest) -> None:
    """Refuse an output that is one of the inputs, or that cannot be written, before the data are read."""
    if request.output == "-":
        return
    for path in (request.data, request.model):
        if _is_same_file(path, Path(request.output)):
            raise DataError(f"--output {request.output} is read as well and would be overwritten; choose another")
    if is_replaced(Path(request.output)):
        check_destination(request.output)


def _is_same_file(path: Path, other: Path) -> bool:
    """Whether two paths are one file, through links too."""
    try:
        return is_replaced(other) and os.path.samefile(path, other)
    except OSError:
        return os.path.realpath(path) == os.path.realpath(other)


def _refuse_surrogates(names: Sequence[str], path: Path) -> None:
    """Refuse names of classes with halves of surrogate pairs, which UTF-8 cannot encode."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ModelFileError(f"{path}: the class {name!r} is no text that a CSV can hold") from error


@contextlib.contextmanager
def _open_output(output: str) -> Iterator[TextIO]:
    """A context with a UTF-8 stream to standard output, or to a file that appears when the block ends."""
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
    except BrokenPipeError:  # the reader of a named pipe closed it: no error, as for standard output
        raise
    except OSError as error:
        raise DataError(f"{output}: cannot be written: {error.strerror or error}; nothing was saved") from error


def _write_csv(
    file: TextIO,
    logits: Iterable[NDArray[np.float64]],
    names: Sequence[str],
    proba: bool,
    kept_columns: KeptColumns | None,
) -> int:
    """Write the header, and for each row its kept cells, its class and, with ``proba``, the probabilities.

    Logits come in parts, of which one is the whole where there are kept columns. The number of rows is returned.
    """
    if file.isatty():  # a name may hold escape sequences, which a terminal obeys; a file gets the name unchanged
        names = [printable(name) for name in names]
    writer = csv.writer(file, lineterminator="\n")
    header = ["prediction", *(f"probability of {name}" for name in names)] if proba else ["prediction"]
    header = [*(kept_columns.names if kept_columns else ()), *header]
    writer.writerow(header)
    n_rows = 0
    for block in (z[first : first + _BLOCK_ROWS] for z in logits for first in range(0, len(z), _BLOCK_ROWS)):
        classes = block.argmax(axis=1) if block.ndim > 1 else (block > 0).astype(np.intp)
        predictions = [names[k] for k in classes.tolist()]
        kept_cells = kept_columns.cells(n_rows, n_rows + len(block)) if kept_columns else ()
        writer.writerows(zip(*kept_cells, predictions, *(_probabilities(block) if proba else ()), strict=True))
        n_rows += len(block)
    return n_rows


def _probabilities(z: NDArray[np.float64]) -> tuple[Iterable[str], ...]:
    """For each class its probabilities as texts; of two classes the predicted one has the larger number."""
    if z.ndim > 1:
        return tuple([format(p, _DIGITS) for p in column] for column in softmax(z).T.tolist())
    first = [format(p, _DIGITS) for p in sigmoid(-z).tolist()]
    second = [format(p, _DIGITS) for p in sigmoid(z).tolist()]
    for at in np.flatnonzero((np.abs(z) < _NEAR_ZERO) & (z != 0)).tolist():
        distance = max(abs(float(z[at])) / 4, _LEAST_DISTANCE)  # sigmoid(z) = 0.5 + z / 4 near z = 0
        less, more = repr(0.5 - distance), repr(0.5 + distance)
        first[at], second[at] = (less, more) if z[at] > 0 else (more, less)
    return first, second
