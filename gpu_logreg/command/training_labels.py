"""The labels of a file, as classes to train on and to test on; refused or warned of where they are none."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from gpu_logreg.errors import DataError
from gpu_logreg.estimators.labels import encode_labels
from gpu_logreg.files.column_names import Source

__all__ = ["classes_of", "is_positive", "some", "split_rows"]

_SHOWN_CLASSES = 8

MANY_CLASSES = 100
"""A column of numbers with more values is taken for a measurement, not for classes."""

MANY_LIBSVM_CLASSES = 1000
"""Likewise for the labels of LIBSVM text, where classes have no other names than numbers."""

_MANY_TEXTS = 1000
"""Likewise for texts, which are names or identifiers then."""

_FEWEST_ROWS = 20
"""With fewer rows, most may have a class of their own."""


def classes_of(
    labels: Any, source: Source, name: str, positive: str | None, many: int, *, warn: bool = True
) -> tuple[Any, str | None]:
    """Labels as they are, with None; or ``labels == positive``, with the text of the positive label.

    Parameters
    ----------
    labels : array of shape (n,)
    source : Source
        Of the rows.
    name : str
        Of the file and the labels in it, for messages.
    positive : str or None
        The label that is set against all others.
    many : int
        More whole numbers are refused.
    warn : bool
        Whether to warn of classes of one row.

    Raises
    ------
    DataError
        Labels that are no classes: one value only, or so many values that they are measurements or names.
    """
    if positive is not None:
        chosen = is_positive(labels, positive, name)
        if chosen.all():
            raise DataError(f"{name} holds only one class: {positive!r}; at least 2 classes are needed")
        return chosen, str(labels[int(chosen.argmax())])
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise DataError(f"{name} holds only one class: {some(classes)}; at least 2 classes are needed")
    _refuse_many(labels, classes, name, many)
    try:
        encode_labels(labels)
    except ValueError as error:
        raise DataError(
            f"{name} holds {len(classes):,} numbers that are not whole: {some(classes)}; "
            "classes are text or whole numbers"
        ) from error
    if warn and len(labels) >= _FEWEST_ROWS and counts.min() == 1:
        warnings.warn(f"{name}: {_alone(labels, classes, counts, source)}; is it a class?", UserWarning, stacklevel=2)
    return labels, None


def _refuse_many(labels: Any, classes: Any, name: str, many: int) -> None:
    numbers = labels.dtype.kind in "iuf" and bool((classes == np.floor(classes)).all())
    texts = labels.dtype.kind in "OU"
    what = "texts" if texts else "numbers"
    of_their_own = len(labels) >= _FEWEST_ROWS and 2 * len(classes) > len(labels)
    if (texts and (of_their_own or len(classes) > _MANY_TEXTS)) or (numbers and of_their_own):
        other = "" if name.endswith(": the labels") else "name another column with --target, or "
        raise DataError(
            f"{name} holds {len(classes):,} {what} in {len(labels):,} rows: {some(classes)}; these are no classes: "
            f"{other}set one label against the rest with --positive LABEL"
        )
    if numbers and len(classes) > many:
        raise DataError(
            f"{name} holds {len(classes):,} numbers: {some(classes)}; more than {many:,} classes are to be "
            "written as text in a table, or set one against the rest with --positive LABEL"
        )


def _alone(labels: Any, classes: Any, counts: Any, source: Source) -> str:
    """The first of the classes that have one row, with its place."""
    alone = classes[counts == 1]
    row = int(np.argmax(labels == alone[0]))
    if len(alone) == 1:
        return f"the class {some(alone)} is in one row only ({source.at(row)})"
    return f"the classes {some(alone)} are in one row each (the first in {source.at(row)})"


def is_positive(labels: Any, positive: str, name: str) -> Any:
    """Whether each label is the positive one, which must be among them."""
    found = np.asarray(labels == positive)
    if labels.dtype.kind in "iuf":
        try:
            found = np.asarray(labels == float(positive))
        except ValueError:
            found = np.zeros(len(labels), dtype=bool)
    elif labels.dtype.kind == "b":
        found = labels == (positive.lower() == "true") if positive.lower() in ("true", "false") else labels & False
    if not found.any():
        raise DataError(f"{name} never holds the positive label {positive!r}; it holds {some(np.unique(labels))}")
    return found


def some(classes: Any) -> str:
    """The first of some classes, for messages."""
    texts = [repr(label.item() if hasattr(label, "item") else label) for label in classes[:_SHOWN_CLASSES]]
    return ", ".join(texts) + (", ..." if len(classes) > _SHOWN_CLASSES else "")


def split_rows(y: Any, source: Source, test_size: float, seed: int) -> tuple[Any, Any]:
    """Positions of the rows to train on and of those held back, each class in the same share."""
    from sklearn.model_selection import train_test_split

    try:
        train_at, test_at = train_test_split(np.arange(len(y)), test_size=test_size, random_state=seed, stratify=y)
    except ValueError as error:
        classes, counts = np.unique(y, return_counts=True)
        reason = _alone(y, classes, counts, source) if counts.min() == 1 else str(error)
        raise DataError(f"{source.name}: too few rows for --test-size {test_size:g} ({reason})") from error
    return np.sort(train_at), np.sort(test_at)
