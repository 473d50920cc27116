"""The schema, positive label and header that `train` stored in a model file, checked against the weights in it."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from gpu_logreg.errors import DataError, ModelFileError
from gpu_logreg.files.formats import FileOptions
from gpu_logreg.files.number_words import Marks
from gpu_logreg.files.schema import Schema
from gpu_logreg.saved.model_file import StoredModel

__all__ = ["header_of", "positive_of", "reading_notes", "schema_of"]

_LONGEST_REASON = 300
"""Most letters of the reason in a message, so that the message stays one line."""

_SHOWN_LETTERS = 40
"""Letters of a wrong value that a message shows."""


def schema_of(model_file: StoredModel, path: Path) -> Schema | None:
    """The schema of a model file; None where it has none.

    Raises
    ------
    ModelFileError
        One line that names the file: the columns cannot be read, contradict each other, or make another number of
        columns than the weights have. They are counted before any of them is built, since a damaged file may claim
        billions.
    """
    if model_file.schema is None:
        return None
    try:
        _check(json.loads(model_file.schema), model_file.estimator.n_features_in_)
        return Schema.from_json(model_file.schema)
    except RecursionError as error:
        raise ModelFileError(f"{path}: its columns are lists in lists; train again") from error
    except DataError as error:  # a schema of a newer version
        raise ModelFileError(f"{path}: {error}") from error
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        reason = str(error)[:_LONGEST_REASON]
        raise ModelFileError(f"{path}: its columns cannot be used ({reason}); train again") from error


def positive_of(model_file: StoredModel, path: Path) -> str | None:
    """The positive label, if the model was trained with ``--positive``; else None.

    Raises
    ------
    ModelFileError
        If the label is no text, or the model has other than two classes.
    """
    positive = model_file.notes.get("positive")
    if positive is not None and not (isinstance(positive, str) and len(model_file.estimator.classes_) == 2):
        raise ModelFileError(
            f"{path}: its positive label, {str(positive)[:_SHOWN_LETTERS]!r}, is none of two classes; train again"
        )
    return positive


def header_of(model_file: StoredModel, path: Path) -> bool:
    """Whether the training file began with names of columns.

    Raises
    ------
    ModelFileError
        If the note is no boolean.
    """
    header = model_file.notes.get("header", True)
    if not isinstance(header, bool):
        raise ModelFileError(
            f"{path}: its note on the header, {str(header)[:_SHOWN_LETTERS]!r}, is neither yes nor no; train again"
        )
    return header


def _check(content: Any, n_features: int) -> None:
    """Refuse a schema that makes other than ``n_features`` columns of a matrix, or names a column or category twice."""
    version, first_index, columns = content["schema_version"], content["first_index"], content["columns"]
    if type(version) is not int or version < 1 or type(first_index) is not int or first_index not in (0, 1):
        raise ValueError(f"schema_version {version!r}, first_index {first_index!r}")
    widths: list[int | None]
    if isinstance(columns, int):
        widths = [columns - _left_out(content.get("left_out", []), columns)]
    else:
        widths = [_width(column) for column in columns]
        _refuse_twice("column", [column["name"] for column in columns])
        numeric = [column for column in columns if column["kind"] == "numeric"]
        if any(column["flagged"] for column in numeric) and any(column["mean"] is None for column in numeric):
            raise ValueError("missing cells of some columns, and no means of others")
    known_widths = [width for width in widths if width is not None]
    if len(known_widths) == len(widths) and sum(known_widths) != n_features:
        raise ValueError(f"they make {str(sum(known_widths))[:20]} of a matrix, and the weights are of {n_features}")


def _left_out(numbers: Any, n_columns: int) -> int:
    """How many of the ``n_columns`` of an array the model was trained without."""
    if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
        raise ValueError("left_out is no list of whole numbers")
    if len(set(numbers)) != len(numbers) or any(not 0 <= number < n_columns for number in numbers):
        raise ValueError(f"left_out names columns twice, or beyond the {str(n_columns)[:20]} there are")
    return len(numbers)


def _width(column: Any) -> int | None:
    """Columns that a column of a table becomes in the matrix; None for a kind that this version does not know."""
    name, kind, has_indicator = column["name"], column["kind"], column["flagged"]
    if not (isinstance(name, str) and isinstance(has_indicator, bool)):
        raise ValueError(f"a column {str(name)[:_SHOWN_LETTERS]!r}, flagged {str(has_indicator)[:_SHOWN_LETTERS]!r}")
    if kind == "text":
        categories = column["categories"]
        if not isinstance(categories, list):
            raise ValueError(f"column {name[:_SHOWN_LETTERS]!r} has no list of categories")
        _refuse_twice(f"category of column {name[:_SHOWN_LETTERS]!r}", categories)
        return len(categories) + has_indicator
    if kind != "numeric":
        return None
    mean = column["mean"]
    if not (mean is None or (type(mean) in (int, float) and math.isfinite(2 * float(mean)))):
        raise ValueError(f"column {name[:_SHOWN_LETTERS]!r} has the mean {str(mean)[:_SHOWN_LETTERS]}")
    return 1 + has_indicator


def _refuse_twice(what: str, names: list[Any]) -> None:
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"a {what} that is no text")
    if len(set(names)) != len(names):
        twice, _ = Counter(names).most_common(1)[0]
        raise ValueError(f"the {what} {twice[:_SHOWN_LETTERS]!r} twice")


def reading_notes(options: FileOptions, marks: Marks) -> dict[str, Any]:
    """Marks of numbers and words for missing cells, for the notes of the model: `predict` reads its files with them."""
    missing = None if options.missing is None else list(options.missing)
    notes = {"decimal": marks.decimal, "thousands": marks.thousands, "missing": missing}
    return {name: value for name, value in notes.items() if value is not None}
