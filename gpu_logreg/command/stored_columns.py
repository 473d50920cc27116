"""The columns and the names of classes that a model file keeps for reading raw files, checked against its weights."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from gpu_logreg.errors import DataError, ModelFileError
from gpu_logreg.files.schema import Schema
from gpu_logreg.saved.model_file import StoredModel

__all__ = ["header_of", "positive_of", "schema_of"]

_LONGEST_REASON = 300


def schema_of(stored: StoredModel, path: Path) -> Schema | None:
    """The schema of a model file; None where it has none.

    Raises
    ------
    ModelFileError
        One line that names the file: the columns cannot be read, contradict themselves, or are not those of the
        weights. They are counted before any of them is made.
    """
    if stored.schema is None:
        return None
    try:
        _check(json.loads(stored.schema), stored.estimator.n_features_in_)
        return Schema.from_json(stored.schema)
    except RecursionError as error:
        raise ModelFileError(f"{path}: its columns are lists in lists; train again") from error
    except DataError as error:  # a newer schema, for one
        raise ModelFileError(f"{path}: {error}") from error
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        reason = str(error)[:_LONGEST_REASON]
        raise ModelFileError(f"{path}: its columns cannot be used ({reason}); train again") from error


def positive_of(stored: StoredModel, path: Path) -> str | None:
    """The label that was set against all others; None where none was.

    Raises
    ------
    ModelFileError
        If it is no text, or the model has other than two classes.
    """
    positive = stored.notes.get("positive")
    if positive is not None and not (isinstance(positive, str) and len(stored.estimator.classes_) == 2):
        raise ModelFileError(f"{path}: its positive label, {str(positive)[:40]!r}, is none of two classes; train again")
    return positive


def header_of(stored: StoredModel, path: Path) -> bool:
    """Whether the file that the model was trained on began with names of columns.

    Raises
    ------
    ModelFileError
        If it is neither yes nor no.
    """
    header = stored.notes.get("header", True)
    if not isinstance(header, bool):
        raise ModelFileError(
            f"{path}: its note on the header, {str(header)[:40]!r}, is neither yes nor no; train again"
        )
    return header


def _check(held: Any, n_features: int) -> None:
    """Refuse columns that give other than ``n_features`` columns of the matrix, or have a name or category twice."""
    version, first_index, columns = held["schema_version"], held["first_index"], held["columns"]
    if type(version) is not int or version < 1 or type(first_index) is not int or first_index not in (0, 1):
        raise ValueError(f"schema_version {version!r}, first_index {first_index!r}")
    widths: list[int | None]
    if isinstance(columns, int):
        widths = [columns - _left_out(held.get("left_out", []), columns)]
    else:
        widths = [_width(column) for column in columns]
        _refuse_twice("column", [column["name"] for column in columns])
        of_numbers = [column for column in columns if column["kind"] == "numeric"]
        if any(column["flagged"] for column in of_numbers) and any(column["mean"] is None for column in of_numbers):
            raise ValueError("missing cells of some columns, and no means of others")
    known = [width for width in widths if width is not None]
    if len(known) == len(widths) and sum(known) != n_features:
        raise ValueError(f"they make {str(sum(known))[:20]} of a matrix, and the weights are of {n_features}")


def _left_out(numbers: Any, n_columns: int) -> int:
    """How many columns of an array the model was trained without."""
    if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
        raise ValueError("left_out is no list of whole numbers")
    if len(set(numbers)) != len(numbers) or any(not 0 <= number < n_columns for number in numbers):
        raise ValueError(f"left_out names columns twice, or beyond the {str(n_columns)[:20]} there are")
    return len(numbers)


def _width(column: Any) -> int | None:
    """Number of columns of the matrix; None for a kind that is not known here."""
    name, kind, flagged = column["name"], column["kind"], column["flagged"]
    if not (isinstance(name, str) and isinstance(flagged, bool)):
        raise ValueError(f"a column {str(name)[:40]!r}, flagged {str(flagged)[:40]!r}")
    if kind == "text":
        categories = column["categories"]
        if not isinstance(categories, list):
            raise ValueError(f"column {name[:40]!r} has no list of categories")
        _refuse_twice(f"category of column {name[:40]!r}", categories)
        return len(categories) + flagged
    if kind != "numeric":
        return None
    mean = column["mean"]
    if not (mean is None or (type(mean) in (int, float) and math.isfinite(2 * float(mean)))):
        raise ValueError(f"column {name[:40]!r} has the mean {str(mean)[:40]}")
    return 1 + flagged


def _refuse_twice(what: str, names: list[Any]) -> None:
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"a {what} that is no text")
    if len(set(names)) != len(names):
        twice, _ = Counter(names).most_common(1)[0]
        raise ValueError(f"the {what} {twice[:40]!r} twice")
