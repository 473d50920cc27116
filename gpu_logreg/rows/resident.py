"""Rows that live in the memory of one device."""

from __future__ import annotations

import functools
import numbers
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NoReturn, TypeVar

import numpy as np

from gpu_logreg.arrays.blocks import map_in_order, row_blocks
from gpu_logreg.arrays.csr import elements_in_a_row, place_of, rows_at
from gpu_logreg.arrays.device import Device, array_namespace, is_sparse, to_device, to_numpy
from gpu_logreg.errors import DataError
from gpu_logreg.passes import Float64Vector, Moments, Rows, Sums, compute_dtype
from gpu_logreg.passes.choice import Implementation
from gpu_logreg.passes.cpu.sparse_columns import sparse_columns
from gpu_logreg.passes.reference.scores import compiled_row_scores, row_scores, sparse_row_scores
from gpu_logreg.rows.storage import stored

__all__ = ["ResidentDataset", "check_sample_weight", "first_not_finite"]

T = TypeVar("T")

SMALLEST_WEIGHT, LARGEST_WEIGHT = 1e-30, 1e30
"""Between which the largest weight of all rows lies."""

STORED_ELEMENT_COST = 6.0
"""Time in which an element of sparse rows is read, with its column, relative to one of dense rows; for choices that are
flat around their best. From trials on two cores; no row is kept."""

PAIR_COST = 40.0
"""Time in which a pair of elements of a sparse row is added to a Hessian, relative to one of a dense row; likewise."""

_SEARCH_BYTES, _SEARCH_ELEMENTS = 2**24, 2**22
_SCORE_BYTES = 2**20


@dataclass(frozen=True)
class ResidentDataset:
    """Rows in the memory of one device, dense or sparse, neither copied nor converted as a whole.

    Attributes
    ----------
    rows : Rows
    weight_total : float
        ``sum(s)``, or the number of rows without weights.
    column_names : sequence of str or None
        For messages.
    computed_in : dtype or None
        What the passes compute in; None for what `gpu_logreg.passes.compute_dtype` says of the dtype of ``X``.
    """

    rows: Rows
    weight_total: float
    column_names: Any = None
    computed_in: Any = None

    @classmethod
    def from_arrays(
        cls,
        X: Any,
        y: Any,
        sample_weight: Any,
        device: Device,
        column_names: Any = None,
        storage: str | None = "auto",
        told: Any = None,
    ) -> ResidentDataset:
        """Bring arrays to ``device`` and check what the passes take for granted.

        Parameters
        ----------
        X : array of shape (n, d), real, or what `gpu_logreg.arrays.csr.csr_rows` gives
        y : array of shape (n,), in [0, 1], or ``int32`` numbers of classes
            Whole labels are stored as ``uint8``, soft ones in the dtype the pass computes in.
        sample_weight : array of shape (n,) or None
        storage, told
            As for `gpu_logreg.rows.storage.stored`.

        Raises
        ------
        DataError
        DeviceError
            If the rows do not fit the memory of the device.
        """
        n = X.shape[0]
        if X.dtype.kind not in "fiub" and X.dtype.name != "bfloat16":
            raise DataError(f"X has dtype {X.dtype}; the passes read real numbers")
        if y.shape != (n,):
            raise DataError(f"y has shape {y.shape}, and X has {n} rows")
        sample_weight = check_sample_weight(sample_weight, n)
        weight_total = float(n) if sample_weight is None else float(sample_weight.sum(dtype=np.float64))
        X, dtype = stored(X, device, storage, told)
        y = y if y.dtype == np.int32 else _stored_labels(y, dtype)
        rows = Rows(X, to_device(y, device), to_device(sample_weight, device))
        return cls(rows, weight_total, column_names, dtype)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.rows.X.shape[0])

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return int(self.rows.X.shape[1])

    @property
    def compute_dtype(self) -> np.dtype[Any]:
        """Dtype in which the passes compute."""
        return np.dtype(self.computed_in or compute_dtype(self.rows.X.dtype))

    @property
    def read_cost(self) -> float:
        """Time of a read, relative to one of as many dense rows."""
        X = self.rows.X
        if not is_sparse(X):
            return 1.0
        elements = self.n_rows * elements_in_a_row(X)
        return min(1.0, STORED_ELEMENT_COST * elements / max(1, self.n_rows * self.n_columns))

    @property
    def curvature_cost(self) -> float:
        """Time of a Hessian of two classes, without its factorisation, relative to one of as many dense rows."""
        X = self.rows.X
        if not is_sparse(X):
            return 1.0
        lengths = np.diff(X.indptr)
        pairs = float(np.einsum("i,i->", lengths, lengths, dtype=np.float64))  # converted a few at a time
        return min(1.0, PAIR_COST * pairs / max(1, self.n_rows * self.n_columns**2))

    def in_float64(self) -> ResidentDataset:
        """The same rows, where they lie, for passes that compute in float64: a block is widened as it is walked."""
        return replace(self, computed_in=np.dtype(np.float64))

    def by_columns(self, compiled: bool = False) -> Callable[[Any], ResidentDataset]:
        """A function from numbers of columns, which rise, to the same rows with these columns alone, copied."""
        X = self.rows.X

        def some(columns: Any) -> ResidentDataset:
            names = None if self.column_names is None else [self.column_names[column] for column in columns]
            if is_sparse(X):
                taken = sparse_columns(X, columns, compiled)
            else:
                xp = array_namespace(X)
                taken = xp.ascontiguousarray(X[:, xp.asarray(columns)])
            return replace(self, rows=self.rows._replace(X=taken), column_names=names)

        return some

    def sum(self, implementation: Implementation, w: Float64Vector, b: Any) -> Sums:
        """Loss and gradient sums over all rows; one walk."""
        dtype = self.compute_dtype
        parts = self._map(lambda block: implementation.sums(block, w, b, dtype), implementation.block_bytes)
        if not parts:  # no rows
            return Sums(0.0, np.zeros(np.shape(w)), 0.0 * b)
        return functools.reduce(operator.add, parts)

    def moments(self, implementation: Implementation) -> Moments:
        """Sums of the columns and of their squares over all rows; one walk."""
        total = Moments(np.zeros(self.n_columns), np.zeros(self.n_columns))
        for part in self._map(implementation.moments, implementation.moments_block_bytes):
            total = total + part
        return total

    def take(self, indices: Any, dtype: Any = None) -> Rows:
        """Some rows, in the order of ``indices``: ``X`` as a dense C-ordered copy in the dtype of the pass."""
        X, y, sample_weight = self.rows
        xp = array_namespace(X)
        at = xp.asarray(indices)
        s = None if sample_weight is None else sample_weight[at]
        return Rows(xp.ascontiguousarray(rows_at(X, at, dtype or self.compute_dtype)), y[at], s)

    def row_scores(
        self, mean: Float64Vector, inverse_variance: Float64Vector, unseen: float, compiled: bool = False
    ) -> Float64Vector:
        """Squared length of every row in standardised columns, on the host; one walk."""
        if is_sparse(self.rows.X):
            scores: Float64Vector = sparse_row_scores(self.rows, mean, inverse_variance, unseen, compiled)
            return scores
        score = compiled_row_scores if compiled else row_scores
        parts = self._map(lambda rows: score(rows, mean, inverse_variance, unseen), _SCORE_BYTES)
        return np.concatenate([to_numpy(part) for part in parts])

    def _map(self, function: Callable[[Rows], T], block_bytes: int | None) -> list[T]:
        """``function`` of every block of rows, in order; on the host, of several blocks at once.

        Blocks are converted to the dtype of the pass one at a time where they need it.
        """
        X, y, sample_weight = self.rows
        dtype = self.compute_dtype
        if block_bytes is None or is_sparse(X):
            return [function(self.rows)]
        on_host = array_namespace(X) is np
        if not on_host and X.dtype == dtype and X.flags.f_contiguous:
            return [function(self.rows)]  # CuPy would copy a block of rows of such an X for every product
        blocks = row_blocks(self.n_rows, max(1, self.n_columns) * dtype.itemsize, block_bytes)

        def of_block(part: slice) -> T:
            s = None if sample_weight is None else sample_weight[part]
            return function(Rows(X[part].astype(dtype, copy=False), y[part], s))

        return map_in_order(of_block, blocks) if on_host else [of_block(part) for part in blocks]

    def refuse_not_finite(self) -> NoReturn:
        """Raise a `DataError` that names the first NaN or infinity in ``X``."""
        found = first_not_finite(self.rows.X)
        if found is None:
            raise DataError("the sums over X overflow; scale its columns to smaller numbers")
        row, column, value = found
        name = f" ({self.column_names[column]!r})" if self.column_names is not None else ""
        kind = "NaN" if np.isnan(value) else "infinity"
        raise DataError(f"Input X contains {kind} at row {row}, column {column}{name}; remove or impute it")


def first_not_finite(X: Any) -> tuple[int, int, float] | None:
    """Row, column and value of the first NaN or infinity of ``X``; None if every value is finite.

    Looks at a few rows at a time, so nothing of the size of ``X`` is allocated.
    """
    if X.dtype.kind != "f" and X.dtype.name != "bfloat16":
        return None
    if is_sparse(X):
        for first in range(0, X.nnz, _SEARCH_ELEMENTS):
            bad = np.flatnonzero(~np.isfinite(X.data[first : first + _SEARCH_ELEMENTS]))
            if len(bad):
                element = first + int(bad[0])
                return *place_of(X, element), float(X.data[element])
        return None
    xp = array_namespace(X)
    step = max(1, _SEARCH_BYTES // max(1, X.shape[1] * X.dtype.itemsize))
    for start in range(0, X.shape[0], step):
        bad = ~xp.isfinite(X[start : start + step])
        if bool(bad.any()):
            row, column = place_of(X, int(bad.argmax()))
            return start + row, column, float(X[start + row, column])
    return None


def check_sample_weight(sample_weight: Any, n: int) -> Any:
    """Row weights as float32 or float64 of shape (n,), checked; None stays None.

    Raises
    ------
    DataError
        Weights of another length, negative, not finite, or all zero.
    """
    if sample_weight is None:
        return None
    xp = array_namespace(sample_weight)
    weights = xp.asarray(sample_weight)
    if weights.dtype.kind == "O":
        _refuse_no_weights(weights)
        weights = weights.astype(np.float64)
    if weights.dtype.kind not in "fiub":
        raise DataError(f"sample_weight has dtype {weights.dtype}; weights are numbers")
    if weights.dtype not in (np.float32, np.float64):
        weights = weights.astype(np.float64)
    if weights.ndim == 0:
        weights = xp.full(n, float(weights))
    if weights.ndim != 1:
        raise DataError(f"Sample weights must be 1D array or scalar, and have shape {weights.shape}")
    if weights.shape != (n,):
        raise DataError(f"sample_weight has length {weights.shape[0]}, and X has {n} rows")
    low = float(weights.min()) if n else 0.0
    total = float(weights.sum(dtype=np.float64))
    if not np.isfinite(total):
        raise DataError(f"sample_weight contains NaN or infinity at row {int(xp.isfinite(weights).argmin())}")
    if low < 0:
        raise DataError(f"sample_weight holds a negative weight, {low:g}, at row {int(weights.argmin())}")
    if total <= 0:
        raise DataError("sample_weight is zero for every row; at least one must be positive")
    high = float(weights.max())
    if not SMALLEST_WEIGHT <= high <= LARGEST_WEIGHT:  # in float32 they would be zero, or infinity
        raise DataError(f"sample_weight is at most {high:g}; multiply the weights by a constant and divide C by it")
    return xp.ascontiguousarray(weights)


def _refuse_no_weights(weights: Any) -> None:
    for row, value in enumerate(weights.ravel().tolist()):
        if not isinstance(value, numbers.Real | Decimal):
            raise DataError(f"sample_weight has dtype object; weights are numbers, and row {row} holds {value!r}")


def _stored_labels(y: Any, dtype: np.dtype[Any]) -> Any:
    """Labels as ``uint8`` where they are 0 and 1, else in ``dtype``; refused outside [0, 1]."""
    xp = array_namespace(y)
    if y.dtype == np.bool_ or y.dtype == np.uint8:
        y = y.view(np.uint8)
        if y.size and int(y.max()) > 1:
            raise DataError(f"y holds {int(y.max())}; labels lie in [0, 1]")
        return xp.ascontiguousarray(y)
    if y.dtype.kind not in "fiu":
        raise DataError(f"y has dtype {y.dtype}; labels are numbers in [0, 1]")
    if y.size and not (float(y.min()) >= 0 and float(y.max()) <= 1):
        raise DataError("y holds values outside [0, 1], or NaN; labels lie in [0, 1]")
    whole = y.astype(np.uint8)
    return whole if bool((whole == y).all()) else xp.ascontiguousarray(y.astype(dtype, copy=False))
