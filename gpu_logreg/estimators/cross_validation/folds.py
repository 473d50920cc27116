"""Folds of cross-validation: which rows a model learns from and which it is tested on, as weights of the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpu_logreg.arrays.cached_attribute import cached_attribute
from gpu_logreg.arrays.vector import Array, HostArray, IntVector
from gpu_logreg.errors import DataError
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["Folds", "folds_of", "rows_of_fold"]

FEW = 0.5
"""Share of the rows below which those that a fold learns from are copied; others are left out by a weight of 0, which
takes no memory, and a read no less time."""


@dataclass(frozen=True)
class Folds:
    """The rows that each of several models learns from and is tested on.

    Attributes
    ----------
    train, test : list of ndarray
        Numbers of rows; those to learn from may be repeated.
    n_rows : int
    """

    train: list[IntVector]
    test: list[IntVector]
    n_rows: int

    def __len__(self) -> int:
        return len(self.train)

    @cached_attribute
    def left_out_by(self) -> HostArray | None:
        """The fold that leaves each row out, the number of folds for none; None if a row is left out by several.

        Also None where a fold repeats rows, or leaves out more than those that it is tested on.
        """
        by = np.full(self.n_rows, len(self), dtype=np.min_scalar_type(len(self)))
        for fold, (train, test) in enumerate(zip(self.train, self.test, strict=True)):
            if len(train) + len(test) != self.n_rows or (by[test] != len(self)).any():
                return None
            by[test] = fold
            if (by[train] == fold).any():
                return None
        n_tested = sum(len(test) for test in self.test)
        repeated = int((by < len(self)).sum()) != n_tested or any(_repeats(train, self.n_rows) for train in self.train)
        return None if repeated else by


def folds_of(splits: Iterable[Sequence[Any]], n_rows: int) -> Folds:
    """The folds that a splitter gives.

    Parameters
    ----------
    splits : iterable of (train, test)
        Numbers of rows, or a boolean for every row.
    n_rows : int

    Raises
    ------
    DataError
        If there are none, or one has no rows, or a number of a row that is none.

    Examples
    --------
    >>> folds = folds_of([([0, 1], [2]), ([2], [0, 1])], 3)
    >>> folds.left_out_by
    array([1, 1, 0], dtype=uint8)
    """
    train, test = [], []
    for fold, split in enumerate(splits):
        try:
            ours, theirs = split
        except (TypeError, ValueError):
            raise DataError(f"cv: split {fold} is no pair of rows to train on and rows to test on") from None
        train.append(_numbers(ours, n_rows, fold, "train"))
        test.append(_numbers(theirs, n_rows, fold, "test"))
    if not train:
        raise DataError("cv gives no splits; at least one is needed")
    return Folds(train, test, n_rows)


def rows_of_fold(data: ResidentDataset, train: IntVector) -> ResidentDataset:
    """The rows that a fold learns from: copies of them where they are few, else all, with a weight of 0 for others."""
    X, y, s = data.rows
    counts = np.bincount(train, minlength=data.n_rows)
    present = np.flatnonzero(counts)
    if len(present) < FEW * data.n_rows:
        at = data.xp.asarray(present)
        rows = Rows(X[at], y[at], _weights(data, None if s is None else s[at], counts[present]))
    else:
        rows = Rows(X, y, _weights(data, s, counts))
    assert rows.sample_weight is not None
    return replace(data, rows=rows, weight_total=float(rows.sample_weight.sum(dtype=np.float64)))


def _weights(data: ResidentDataset, s: Array | None, counts: IntVector) -> Array:
    weights = data.xp.asarray(counts.astype(np.float64))
    return weights if s is None else weights * s


def _numbers(rows: Any, n_rows: int, fold: int, name: str) -> IntVector:
    numbers = np.asarray(rows)
    if numbers.dtype == np.bool_ and numbers.shape == (n_rows,):
        numbers = np.flatnonzero(numbers)
    if numbers.ndim != 1 or (len(numbers) and numbers.dtype.kind not in "iu"):
        raise DataError(f"cv: the rows to {name} on of split {fold} are no vector of numbers of rows")
    if not len(numbers):
        raise DataError(f"cv: split {fold} has no rows to {name} on")
    numbers = numbers.astype(np.int64)
    least, largest = numbers.min(), numbers.max()
    if least < -n_rows or largest >= n_rows:
        outside = (numbers < -n_rows) | (numbers >= n_rows)
        raise DataError(f"cv: split {fold} names row {numbers[outside.argmax()]}, and X has {n_rows} rows")
    return numbers if least >= 0 else np.where(numbers < 0, numbers + n_rows, numbers)


def _repeats(numbers: IntVector, n_rows: int) -> bool:
    """Whether a number comes twice."""
    seen = np.zeros(n_rows, dtype=bool)
    seen[numbers] = True
    return int(seen.sum()) != len(numbers)
