"""Labels of a file as classes: refused where they look like measurements or names, and split into training and test."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.command.lines import note
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.labels import encode_labels
from gpu_logreg.files.column_names import Source, list_first

__all__ = ["classes_of", "is_positive", "list_some", "split_rows", "without_full_stop"]

_SHOWN_CLASSES = 8
"""Most classes that a message lists, so that it stays one line."""

MANY_CLASSES = 100
"""Most whole numbers that a column of labels may hold. A column with more is taken for a measurement, such as a price.
The limit is a convention of this program; classes written as text, and ``--positive``, are not bound by it.
"""

MANY_LIBSVM_CLASSES = 1000
"""The same for LIBSVM text, where every label is a number: aloi, of the LIBSVM collection, has 1,000 classes."""

_MANY_TEXTS = 1000
"""Most texts that a column of labels may hold. A column with more is taken for names or identifiers."""

_FEWEST_ROWS = 20
"""Least number of rows for the two checks of rare classes: among fewer rows a class of one row is no surprise."""


def classes_of(
    labels: NDArray[Any], source: Source, name: str, positive: str | None, many: int, *, warn: bool = True
) -> tuple[NDArray[Any], str | None]:
    """The classes of the rows, and the text of the positive one.

    Without ``positive`` these are the labels themselves and None; with it they are the booleans ``labels == positive``.

    Parameters
    ----------
    labels : array of shape (n,)
    source : Source
        Where the rows come from, for messages.
    name : str
        The file and its column of labels, as messages name them.
    positive : str or None
        The label of the second class; all other labels are the first.
    many : int
        Most whole numbers that the labels may hold: `MANY_CLASSES` or `MANY_LIBSVM_CLASSES`.
    warn : bool
        Whether to warn of a class that only one row has.

    Raises
    ------
    DataError
        Labels of one value only, or of so many values that they are measurements or names.
    """
    if positive is not None:
        is_second = is_positive(labels, positive, name)
        if is_second.all():
            raise DataError(f"{name} holds only one class: {positive!r}; at least 2 classes are needed")
        return is_second, str(labels[int(is_second.argmax())])
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise DataError(f"{name} holds only one class: {list_some(classes)}; at least 2 classes are needed")
    _refuse_many(labels, classes, name, many)
    try:
        encode_labels(labels)
    except ValueError as error:
        raise DataError(
            f"{name} holds {len(classes):,} numbers that are not whole: {list_some(classes)}; "
            "classes are text or whole numbers"
        ) from error
    if warn and len(labels) >= _FEWEST_ROWS and counts.min() == 1:
        warnings.warn(
            f"{name}: {_singletons(labels, classes, counts, source)}; is it a class?", UserWarning, stacklevel=2
        )
    return labels, None


def _refuse_many(labels: NDArray[Any], classes: NDArray[Any], name: str, many: int) -> None:
    are_whole = labels.dtype.kind in "iuf" and bool((classes == np.floor(classes)).all())
    are_texts = labels.dtype.kind in "OU"
    what = "texts" if are_texts else "numbers"
    most_are_unique = len(labels) >= _FEWEST_ROWS and 2 * len(classes) > len(labels)
    if (are_texts and (most_are_unique or len(classes) > _MANY_TEXTS)) or (are_whole and most_are_unique):
        other = "" if name.endswith(": the labels") else "name another column with --target, or "
        raise DataError(
            f"{name} holds {len(classes):,} {what} in {len(labels):,} rows: {list_some(classes)}; "
            f"these are no classes: {other}set one label against the rest with --positive LABEL"
        )
    if are_whole and len(classes) > many:
        raise DataError(
            f"{name} holds {len(classes):,} numbers: {list_some(classes)}; more than {many:,} classes are to be "
            "written as text in a table, or set one against the rest with --positive LABEL"
        )


def _singletons(labels: NDArray[Any], classes: NDArray[Any], counts: NDArray[np.intp], source: Source) -> str:
    """Text on the classes that only one row has, with the place of the first such row."""
    singletons = classes[counts == 1]
    row = int(np.argmax(labels == singletons[0]))
    if len(singletons) == 1:
        return f"the class {list_some(singletons)} is in one row only ({source.at(row)})"
    return f"the classes {list_some(singletons)} are in one row each (the first in {source.at(row)})"


def is_positive(labels: NDArray[Any], positive: str, name: str) -> NDArray[np.bool_]:
    """Booleans of shape (n,): which labels are the positive one; refused where none is."""
    matches = np.asarray(labels == positive)
    if labels.dtype.kind in "iuf":
        try:
            matches = np.asarray(labels == float(positive))
        except ValueError:
            matches = np.zeros(len(labels), dtype=bool)
    elif labels.dtype.kind == "b":
        matches = labels == (positive.lower() == "true") if positive.lower() in ("true", "false") else labels & False
    if not matches.any():
        raise DataError(f"{name} never holds the positive label {positive!r}; it holds {list_some(np.unique(labels))}")
    return matches


def list_some(classes: NDArray[Any]) -> str:
    """The first `_SHOWN_CLASSES` of some classes, as messages list them."""
    return list_first(classes, _SHOWN_CLASSES, lambda label: repr(label.item() if hasattr(label, "item") else label))


def split_rows(
    y: NDArray[Any], source: Source, test_size: float, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions of the training rows and of the test rows, both rising, with each class in the same proportion."""
    from sklearn.model_selection import train_test_split

    try:
        train_at, test_at = train_test_split(np.arange(len(y)), test_size=test_size, random_state=seed, stratify=y)
    except ValueError as error:
        classes, counts = np.unique(y, return_counts=True)
        reason = _singletons(y, classes, counts, source) if counts.min() == 1 else str(error)
        raise DataError(f"{source.name}: too few rows for --test-size {test_size:g} ({reason})") from error
    return np.sort(train_at), np.sort(test_at)


def without_full_stop(labels: NDArray[Any], training_labels: NDArray[Any], path: Path) -> NDArray[Any]:
    """Labels without a final full stop, where all training labels have none: UCI Adult's test file writes ``>50K.``."""
    if labels.dtype.kind != "U" or training_labels.dtype.kind != "U":
        return labels
    distinct = np.unique(labels)
    shortened = np.array([label.removesuffix(".") for label in distinct.tolist()])
    if np.isin(distinct, training_labels).any() or not np.isin(shortened, training_labels).all():
        return labels
    note(f"{path}: the labels {list_some(distinct)} are taken as {list_some(shortened)}")
    return shortened[np.searchsorted(distinct, labels)]
