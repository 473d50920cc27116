"""A first look at a block of rows, on its worker, and the part that is made of it there.

A block is one task of the scheduler and stays on its worker: what is asked of it later are calls, many blocks at a time
(`gpu_logreg.estimators.distributed.workers.DaskParts`). What a part needs of other blocks, the classes and their
weights, comes with every call, so that a block that was made anew after a death becomes the same part.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.checks import check_sample_weight, first_not_finite, not_finite_error
from gpu_logreg.arrays.device import Device, cupy_to_device, numpy_defaults, to_device, to_numpy
from gpu_logreg.arrays.device_choice import resolve_device
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.errors import DataError, GpuLogregError
from gpu_logreg.estimators.inputs import given_column
from gpu_logreg.estimators.labels import two_classes
from gpu_logreg.estimators.linear.model import LogisticRegression
from gpu_logreg.estimators.streamed_labels import narrow_codes
from gpu_logreg.estimators.target import Target
from gpu_logreg.mathematics.losses import Labels
from gpu_logreg.passes.choice import choose
from gpu_logreg.rows.part import Part
from gpu_logreg.rows.resident import ResidentDataset

__all__ = [
    "Block",
    "Look",
    "Options",
    "Setting",
    "look_at",
    "look_of",
    "refuse_other_than_rows",
    "refuse_unequal",
    "split_block",
    "weights_of",
    "with_place",
]

_MOST_NUMBERS = 2**16
"""Most whole numbers from the least label to the largest that are told apart by a table, and not by sorting them."""

_SAFE = 2**62
"""Size of labels up to which differences to the least one are int64."""


class Options(NamedTuple):
    """What is asked of every worker.

    Attributes
    ----------
    device, impl, storage : str
        As of `gpu_logreg.LogisticRegression`.
    """

    device: str = "auto"
    impl: str = "auto"
    storage: str = "auto"


class Setting(NamedTuple):
    """What is known when all blocks were looked at.

    Attributes
    ----------
    target : Target
    by_class : ndarray of shape (K,) or None
        Weight of every class; None for 1.
    options : Options
    """

    target: Target
    by_class: Float64Vector | None
    options: Options


class Look(NamedTuple):
    """What a first look at a block tells.

    Attributes
    ----------
    n_rows, n_columns : int
    names : list of str or None
    labels : ndarray
        All that occur, once each, ascending.
    weights : ndarray
        Sum of the weights of the rows with each.
    """

    n_rows: int
    n_columns: int
    names: list[str] | None
    labels: NDArray[Any]
    weights: Float64Vector

    def weight(self, classes: NDArray[Any], by_class: Float64Vector | None) -> float:
        """Sum of the weights of the rows, times those of their classes."""
        of_labels = 1.0 if by_class is None else by_class[np.searchsorted(classes, self.labels)]
        return float(np.sum(self.weights * of_labels))


class Block:
    """Validated rows of a block, and from the first call with a `Setting` on the part that is made of them.

    Parameters
    ----------
    k : int
        Number of the partition.
    look : Look or None
        None where there are no rows.
    rows : (X, codes, weights) or None
        Codes are numbers of ``look.labels``.
    """

    def __init__(self, k: int, look: Look | None = None, rows: tuple[Any, Any, Any] | None = None) -> None:
        self.k, self.look = k, look
        self._rows = rows
        self._part: Part | None = None

    def refuse_not_finite(self) -> None:
        """Refuse NaN and infinity where all rows have the weight 0, and no part is made of them."""
        assert self.look is not None
        assert self._rows is not None
        bad, names = first_not_finite(self._rows[0]), self.look.names
        if bad is not None:
            name = "" if names is None else f" ({names[bad[1]]!r})"
            raise with_place(self.k, not_finite_error(*bad, name))

    def part(self, setting: Setting) -> Part:
        """The part, which is kept; all calls have the same setting."""
        rows = self._rows  # first: a call that nobody waits for any more may be making the part in another thread
        if self._part is None:
            self._part = self._make(setting, rows)
            self._rows = None
        return self._part

    def _make(self, setting: Setting, rows: tuple[Any, Any, Any] | None) -> Part:
        target, by_class, options = setting
        look, loss = self.look, target.loss
        assert look is not None
        assert rows is not None
        assert not isinstance(loss, Labels)
        X, codes, weights = rows
        # Each label twice: scikit-learn warns where most labels occur once.
        table = target.encode(np.repeat(look.labels, 2))[::2]
        if codes.dtype != table.dtype or not np.array_equal(table, np.arange(len(table))):
            codes = table[codes]
        if by_class is not None:
            weights = by_class[codes] if weights is None else weights * by_class[codes]
        device = resolve_device(options.device, X)
        try:
            data = ResidentDataset.from_arrays(
                X,
                to_device(codes, device),
                to_device(weights, device),
                device,
                look.names,
                options.storage,
                encoded=True,
            )
            return Part(data, choose(options.impl, data.rows, device, loss), f"partition {self.k}: ")
        except DataError as error:
            raise with_place(self.k, error) from error


def look_at(k: int, X: Any, y: Any, s: Any) -> Block:
    """A task on the worker of a block."""
    with numpy_defaults():
        found = _validated(k, (X, y, s))
        if found is None:
            return Block(k)
        X, y, s, names = found
        try:
            weights = weights_of(s, X.shape[0])
        except DataError as error:
            raise with_place(k, error) from error
        labels, codes = _coded(to_numpy(y))
        sums = _weights_by_label(codes, weights, len(labels))
        return Block(k, Look(X.shape[0], X.shape[1], names, labels, sums), (X, codes, weights))


def look_of(block: Block) -> Look | None:
    """What the look told; a function for `gpu_logreg.rows.part.Parts.each`."""
    return block.look


def split_block(X: Any, y: Any, s: Any) -> tuple[Any, Any, Any]:
    """Rows, labels and weights of a block, which may come as one."""
    if y is not None:
        return X, y, s
    if not isinstance(X, tuple) or len(X) not in (2, 3):
        raise DataError("the block is no tuple of rows and labels; give (X, y) or (X, y, sample_weight)")
    return X[0], X[1], X[2] if len(X) == 3 else None


def _validated(k: int, block: tuple[Any, Any, Any]) -> tuple[Any, Any, Any, list[str] | None] | None:
    """The rows of a block as an estimator takes them; None where there are none."""
    try:
        X, y, s = split_block(*block)
        refuse_other_than_rows(X)
        refuse_unequal(X, y)
        if len(getattr(X, "shape", ())) and X.shape[0] == 0:
            return None
        model = LogisticRegression()
        X, y = model._validated(X, y, reset=True)
        names = getattr(model, "feature_names_in_", None)
        return X, y, given_column(s, "sample_weight"), None if names is None else list(names)
    except (GpuLogregError, ValueError, TypeError) as error:
        raise with_place(k, error) from error


def refuse_other_than_rows(X: Any) -> None:
    """Raise a `DataError` for rows that have not two dimensions; scikit-learn would show all their values."""
    n_axes = len(getattr(X, "shape", (0, 0)))
    if n_axes != 2:
        raise DataError(
            f"Expected 2D array, got {n_axes}D array instead: X is of type {type(X).__name__}; give rows and columns"
        )


def refuse_unequal(X: Any, y: Any) -> None:
    """Raise a `DataError` where rows and labels of a block are not as many, be it one without rows."""
    rows, labels = (getattr(one, "shape", ()) for one in (X, y))
    if rows and labels and rows[0] != labels[0]:
        raise DataError(
            f"Found input variables with inconsistent numbers of samples: X has {rows[0]} rows, and y has {labels[0]} "
            "labels; rechunk or repartition one as the other"
        )


def with_place(k: int, error: Exception) -> DataError:
    """An error of a partition, in one line that names it."""
    return DataError(f"partition {k}: {' '.join(str(error).split())}")


def weights_of(s: Any, n: int) -> Float64Vector | None:
    """Checked weights of the rows of a block, which may all be zero, if those of others are not."""
    s = None if s is None else to_numpy(cupy_to_device(given_column(s, "sample_weight"), Device("cpu")))
    if s is None or (s.shape == (n,) and not np.any(s)):
        return None if s is None else np.zeros(n)
    return np.asarray(check_sample_weight(s, n), np.float64)


def _weights_by_label(codes: NDArray[Any], weights: Float64Vector | None, n_labels: int) -> Float64Vector:
    """Sum of the weights of the rows with each label."""
    if weights is None and n_labels == 2:  # in a tenth of the time that counting whole numbers takes
        ones = int(np.count_nonzero(codes))
        return np.array([len(codes) - ones, ones], np.float64)
    return np.bincount(codes, weights, minlength=n_labels).astype(np.float64)


def _coded(y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """All labels that occur, ascending, and for every row the number of its label in the narrowest dtype.

    Examples
    --------
    >>> _coded(np.array([7.0, 3.0, 5.0, 7.0]))
    (array([3., 5., 7.]), array([2, 0, 1, 2], dtype=uint8))
    """
    two = two_classes(y)
    if two is not None:
        return two
    whole = y
    if y.dtype.kind == "f" and np.abs(y).max() < _SAFE:
        whole = y.astype(np.int64)
        whole = whole if np.array_equal(whole, y) else y
    if whole.dtype.kind in "biu":
        least, largest = int(whole.min()), int(whole.max())
        if largest - least < _MOST_NUMBERS and least > -_SAFE and largest < _SAFE:
            at = whole.astype(np.int64) - least
            occurs = np.bincount(at) > 0
            labels = np.flatnonzero(occurs)
            return (labels + least).astype(y.dtype), narrow_codes(np.cumsum(occurs) - 1, len(labels))[at]
    labels, codes = np.unique(y, return_inverse=True)
    return labels, narrow_codes(codes, len(labels))
