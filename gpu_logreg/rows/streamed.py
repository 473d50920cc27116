"""Rows that need not fit the memory of the host: they are walked block by block, and read again in every walk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, TypeAlias

import numpy as np

from gpu_logreg.arrays.checks import first_not_finite, not_finite_error
from gpu_logreg.arrays.csr import all_finite
from gpu_logreg.arrays.device import is_sparse
from gpu_logreg.arrays.kinds import KindOfRows
from gpu_logreg.arrays.vector import (
    Array,
    ArrayNamespace,
    ArrayOfRows,
    DType,
    DTypeLike,
    Float64Vector,
    HostArray,
    IntVector,
)
from gpu_logreg.errors import DataError
from gpu_logreg.rows.apart import RowsApart
from gpu_logreg.rows.block import Rows, compute_dtype
from gpu_logreg.rows.block_store import BlockStore
from gpu_logreg.rows.device_blocks import DeviceBlocks, bytes_on_device
from gpu_logreg.rows.drawing import DrawingByStretches
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.rows.row_labels import RowLabels

__all__ = ["Dataset", "StreamedDataset"]


@dataclass(frozen=True)
class StreamedDataset(RowsApart):
    """As `gpu_logreg.rows.resident.ResidentDataset`, of rows that are read block by block.

    Attributes
    ----------
    store : BlockStore
    labels : RowLabels
    column_names : sequence of str or None
    computed_in : dtype or None
    n_stored, n_pairs : int or None
        Stored elements of sparse rows, and the sum of the squares of their numbers by rows.
    of_block : function ResidentDataset -> ResidentDataset, or None
        What is made of every block that is read: the same rows with some of the columns.
    on_device : DeviceBlocks or None
        Where the blocks lie on a GPU, if sums over them are made there; samples are of the host in any case.
    n_columns : int
    weight_total : float
    least_weight : float
        The least positive weight of a row.
    sums_of_weights : ndarray of shape (K,)
        By class.

    Examples
    --------
    See `gpu_logreg.Stream`, which makes them.
    """

    store: BlockStore
    labels: RowLabels
    n_classes: int
    column_names: Sequence[str] | None = None
    computed_in: DType | None = None
    n_stored: int = 0
    n_pairs: float = 0.0
    of_block: Callable[[ResidentDataset], ResidentDataset] | None = None
    on_device: DeviceBlocks | None = None
    n_columns: int = -1
    weight_total: float = field(default=-1.0)
    least_weight: float = 1.0
    sums_of_weights: Float64Vector = field(default_factory=lambda: np.zeros(0))
    on_host: bool = True
    xp: ArrayNamespace = np

    def __post_init__(self) -> None:
        if self.n_columns < 0:
            self.__dict__.update(n_columns=self.store.source.n_columns)
        if self.weight_total < 0.0:
            self.__dict__.update(self._weight_sums())

    def _weight_sums(self) -> dict[str, Any]:
        """Sums of the weights, added block by block."""
        sums, least = np.zeros(self.n_classes), np.inf
        for part in self.store.parts:
            s = self.labels.weights(part)
            sums += np.bincount(self.labels.codes[part], s, minlength=self.n_classes)
            if s is not None and len(s):
                least = min(least, float(s.min(where=s > 0, initial=np.inf)))
        total = float(sums.sum())
        return {"weight_total": total, "sums_of_weights": sums, "least_weight": least if np.isfinite(least) else 1.0}

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.store.source.n_rows

    @property
    def kind(self) -> KindOfRows:
        """How the blocks are stored."""
        return self.store.source.kind

    @property
    def compute_dtype(self) -> DType:
        """In which the passes compute: float64 for sparse rows."""
        return np.dtype(self.computed_in or (np.float64 if self.is_sparse else compute_dtype(self.store.source.dtype)))

    @property
    def storage_name(self) -> str:
        """Name of the dtype of the blocks, where they are walked."""
        return str(self.store.source.dtype.name if self.on_device is None else self.on_device.dtype.name)

    @property
    def widest_dtype(self) -> DType:
        """The most precise dtype of the arithmetic on the host."""
        return np.dtype(np.longdouble)

    @property
    def batch_dtype(self) -> DType:
        """Dtype in which steps on batches compute; see `gpu_logreg.rows.resident.ResidentDataset.batch_dtype`."""
        return compute_dtype(self.store.source.dtype)

    def blocks(self) -> Iterator[ResidentDataset]:
        """The blocks, in order; each is valid until the next is asked for."""
        for number, X in self.store.walk():
            yield self._block(number, X)

    def blocks_on_device(self) -> Iterator[ResidentDataset]:
        """The blocks on the GPU, in order; each is valid until the next is asked for."""
        assert self.on_device is not None
        parts, dtype = self.store.parts, self.compute_dtype
        rows = max(part.stop - part.start for part in parts)
        shape = rows, self.store.source.n_columns
        largest = bytes_on_device(shape, self.on_device.dtype, self.labels.dtype, self.labels.weight_dtype)
        for rows_there, total in self.on_device.walk(range(len(parts)), largest, self._of_host):
            block = ResidentDataset(rows_there, total, self.store_names, dtype)
            yield block if self.of_block is None else self.of_block(block)

    def blocks_there(self) -> Iterator[ResidentDataset]:
        """The blocks where sums over them are made: on the GPU, or the host."""
        return self.blocks() if self.on_device is None else self.blocks_on_device()

    def there(self, rows: Rows) -> Rows:
        """Rows of the host where steps on them are made: a copy on the GPU, or themselves."""
        return rows if self.on_device is None else self.on_device.copy(rows)

    def _of_host(self, numbers: Sequence[int]) -> Iterator[tuple[int, Rows, float]]:
        for number, X in self.store.walk(numbers):
            yield number, *self._rows_of_block(number, X)

    def map_blocks(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """``function`` of every block and the arguments, in the order of the blocks; one read."""
        return [function(block, *arguments) for block in self.blocks()]

    def _block(self, number: int, X: ArrayOfRows) -> ResidentDataset:
        block = ResidentDataset(*self._rows_of_block(number, X), self.store_names, self.compute_dtype)
        return block if self.of_block is None else self.of_block(block)

    def _rows_of_block(self, number: int, X: ArrayOfRows) -> tuple[Rows, float]:
        """Rows with their labels and weights, and the sum of the weights."""
        part = self.store.parts[number]
        s = self.labels.weights(part)
        total = float(X.shape[0]) if s is None else float(s.sum(dtype=np.float64))
        return Rows(X, self.labels.labels(part), s), total

    @property
    def store_names(self) -> Sequence[str] | None:
        """Names of the columns that are read."""
        return None if self.of_block is not None else self.column_names

    def template(self) -> Rows:
        """Rows of this shape and dtype without memory of their own, for the choice of an engine."""
        X = self.kind.template(self.n_rows, self.n_columns, self.store.source.dtype)
        return Rows(X, self.labels.labels(slice(0, 1)), self.labels.weights(slice(0, 1)))

    def template_there(self) -> Rows:
        """`template` where steps on the rows are made."""
        if self.on_device is None:
            return self.template()
        return self.on_device.template(self.n_columns, self.labels.dtype, self.labels.weight_dtype)

    def weights_of_classes(self, loss: Any) -> Float64Vector:
        """Sum of the row weights of every class."""
        return self.sums_of_weights

    def drawing(self, n_classes: int) -> DrawingByStretches:
        """What samples of the rows are drawn by."""
        weights = self.labels.float64_weights if self.labels.is_weighted else None
        return DrawingByStretches(self.labels.codes, weights, n_classes)

    def labels_and_weights(self, indices: IntVector, weight: Float64Vector) -> tuple[HostArray, HostArray]:
        """Labels of rows, and their weights times ``weight``."""
        s = self.labels.weights(indices)
        return self.labels.labels(indices), weight if s is None else weight * s

    def reads_of_sample(self, size: int) -> float:
        """1: all blocks are read for a sample."""
        return 1.0

    def _rows(self, indices: IntVector) -> ArrayOfRows:
        return self.kind.joined([X[at] for X, at in self._at(indices)])

    def take_parts(self, parts: Iterable[IntVector], dtype: DTypeLike) -> Iterator[Rows]:
        """Copies of the rows of each of several vectors, which ascend together, dense and in a dtype; one read of all.

        The labels and weights of the result are not those of its rows.
        """
        parts = list(parts)
        out, filled, k = self._empty(parts, 0, dtype), 0, 0
        for X, at in self._at(np.concatenate(parts)):
            rows = X[at].toarray() if is_sparse(X) else X[at]
            first = 0
            while first < len(rows):
                n = min(len(rows) - first, len(out) - filled)
                out[filled : filled + n] = rows[first : first + n]
                first, filled = first + n, filled + n
                if filled == len(out):
                    yield Rows(out, np.zeros(0, np.uint8), None)
                    k, filled = k + 1, 0
                    out = self._empty(parts, k, dtype)

    def room_for(self, n_rows: int) -> HostArray | None:
        """An array for rows as the source gives them; None for sparse rows, which are joined instead."""
        return None if self.is_sparse else np.empty((n_rows, self.n_columns), self.store.source.dtype)

    def _empty(self, parts: list[IntVector], k: int, dtype: DTypeLike) -> HostArray:
        return np.empty((len(parts[k]) if k < len(parts) else 0, self.n_columns), dtype)

    def _at(self, indices: IntVector) -> Iterator[tuple[ArrayOfRows, IntVector]]:
        """Blocks that hold some of the rows, and the numbers of these rows in them."""
        parts = self.store.parts
        edges = np.searchsorted(indices, [part.start for part in parts] + [parts[-1].stop])
        for number, X in self.store.walk([k for k in range(len(parts)) if edges[k] < edges[k + 1]]):
            block = X if self.of_block is None else self._block(number, X).rows.X
            yield block, indices[edges[number] : edges[number + 1]] - parts[number].start

    def in_float64(self) -> StreamedDataset:
        """The same rows for passes that compute in float64."""
        return replace(self, computed_in=np.dtype(np.float64))

    def with_columns(
        self, columns: IntVector, of_block: Callable[[ResidentDataset], ResidentDataset]
    ) -> StreamedDataset:
        """The same rows with some of the columns, which are taken of every block that is read."""
        names = None if self.column_names is None else [self.column_names[column] for column in columns]
        return replace(self, column_names=names, of_block=of_block, n_columns=len(columns))

    def all_finite(self) -> bool:
        """Whether every stored value is finite; one read."""
        if self.store.source.dtype.kind != "f":
            return True
        return all(bool(all_finite(X)) for _, X in self.store.walk())

    def refuse_not_finite(self) -> NoReturn:
        """Raise a `DataError` that names the first NaN or infinity, and its file where rows are of several."""
        for number, X in self.store.walk():
            found = first_not_finite(X)
            if found is not None:
                row = found[0] + self.store.parts[number].start
                name = "" if self.store_names is None else f" ({self.store_names[found[1]]!r})"
                error = not_finite_error(row, *found[1:], name)
                raise DataError(f"{self.store.source.place(row)}{error}")
        raise DataError("the sums over X overflow; scale its columns to smaller numbers")

    def every(self, k: int) -> Array:
        """For samples alone, which are in memory."""
        raise NotImplementedError

    sparse_rows = take = every


Dataset: TypeAlias = Any
"""The rows of a fit: a `ResidentDataset`, or a `StreamedDataset`."""
