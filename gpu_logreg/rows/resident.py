"""Rows that live in the memory of one device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NoReturn

import numpy as np

from gpu_logreg.arrays.block_sizes import GATHERED, BlockSize
from gpu_logreg.arrays.blocks import map_row_blocks
from gpu_logreg.arrays.cached_attribute import cached_attribute
from gpu_logreg.arrays.checks import check_sample_weight, first_not_finite, not_finite_error
from gpu_logreg.arrays.csr import all_finite, in_order, rows_at, stored_in_a_row
from gpu_logreg.arrays.device import Device, array_namespace, is_sparse, to_device
from gpu_logreg.arrays.vector import Array, ArrayNamespace, ArrayOfRows, DType, DTypeLike, Float64Vector, IntVector
from gpu_logreg.errors import DataError
from gpu_logreg.rows.block import Rows, compute_dtype
from gpu_logreg.rows.drawing import Drawing
from gpu_logreg.rows.sparse_costs import sparse_curvature_cost, sparse_read_cost
from gpu_logreg.rows.storage import store

__all__ = ["ResidentDataset"]


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
        Dtype of the arithmetic of the passes; None for `gpu_logreg.rows.block.compute_dtype` of the dtype of ``X``.
    n_rows, n_columns : int
    is_sparse : bool
        Whether the rows are stored as CSR.
    on_host : bool
        Whether the rows are in the memory of the host, where several threads work on them.
    xp : module
        NumPy or CuPy, whichever the rows are arrays of; NumPy for sparse rows.
    compute_dtype : dtype
        In which the passes compute.
    largest_sample : int
        Most rows of a sample that is kept in memory: all.
    is_resident : bool
        True: all rows are in memory.

    Examples
    --------
    >>> rows = ResidentDataset.from_arrays(np.eye(3, dtype=np.float32), np.array([0, 1, 1]), None, Device("cpu"))
    >>> rows.n_rows, rows.n_columns, rows.rows.y.dtype, rows.compute_dtype
    (3, 3, dtype('uint8'), dtype('float32'))
    """

    rows: Rows
    weight_total: float
    column_names: Sequence[str] | None = None
    computed_in: DType | None = None
    n_rows: int = field(init=False)
    n_columns: int = field(init=False)
    is_sparse: bool = field(init=False)
    on_host: bool = field(init=False)
    xp: ArrayNamespace = field(init=False)
    compute_dtype: DType = field(init=False)
    largest_sample: int = field(init=False)
    is_resident: ClassVar[bool] = True

    def __post_init__(self) -> None:
        X = self.rows.X
        (n, d), is_plain = X.shape, type(X) is np.ndarray
        xp = np if is_plain else array_namespace(X)
        self.__dict__.update(is_sparse=not is_plain and is_sparse(X), on_host=xp is np, xp=xp)
        dtype = np.dtype(self.computed_in or compute_dtype(X.dtype))
        self.__dict__.update(n_rows=int(n), largest_sample=int(n), n_columns=int(d), compute_dtype=dtype)

    @classmethod
    def from_arrays(
        cls,
        X: ArrayOfRows,
        y: Array,
        sample_weight: Array | None,
        device: Device,
        column_names: Sequence[str] | None = None,
        storage: str | None = "auto",
        progress: Callable[[int, int], None] | None = None,
        *,
        encoded: bool = False,
    ) -> ResidentDataset:
        """Copy arrays to ``device`` where they are elsewhere, and check what the passes rely on.

        Parameters
        ----------
        X : array of shape (n, d), real, or a CSR array from `gpu_logreg.arrays.csr.csr_rows`
        y : array of shape (n,), in [0, 1]
            Whole labels are stored as ``uint8``, soft ones in the dtype the pass computes in.
        sample_weight : array of shape (n,) or None
        storage, progress
            As for `gpu_logreg.rows.storage.store`.
        encoded : bool
            Whether ``y`` is encoded and checked already, in the dtype of the loss
            (`gpu_logreg.mathematics.loss_protocols.Output`): numbers of classes, of shape (n,), or zeros and ones of
            labels, of shape (n, L). Such labels are stored unchanged.

        Raises
        ------
        DataError
        DeviceError
            If the rows do not fit the memory of the device.
        """
        n = X.shape[0]
        if X.dtype.kind not in "fiub" and X.dtype.name != "bfloat16":
            raise DataError(f"X has dtype {X.dtype}; the passes read real numbers")
        if y.shape != (n, *y.shape[1:]) or not (encoded or y.ndim == 1):
            raise DataError(f"y has shape {y.shape}, and X has {n} rows")
        sample_weight = check_sample_weight(sample_weight, n)
        weight_total = float(n) if sample_weight is None else float(sample_weight.sum(dtype=np.float64))
        X, dtype = store(X, device, storage, progress)
        y = y if encoded else _narrow_labels(y, dtype)
        rows = Rows(X, to_device(y, device), to_device(sample_weight, device))
        return cls(rows, weight_total, column_names, dtype)

    @property
    def n_stored(self) -> int:
        """Elements in memory: all of dense rows, the stored ones of sparse rows."""
        return int(self.rows.X.size)  # of a CSR array SciPy counts the stored elements

    @property
    def storage_name(self) -> str:
        """Name of the dtype that the rows are stored in."""
        return str(self.rows.X.dtype.name)

    @property
    def batch_dtype(self) -> DType:
        """Dtype in which steps on batches compute: the passes', but of sparse rows, whose batches are made dense."""
        return compute_dtype(self.rows.X.dtype) if self.is_sparse else self.compute_dtype

    @property
    def read_cost(self) -> float:
        """Time of a read, relative to one of as many dense rows."""
        X = self.rows.X
        if not self.is_sparse:
            return 1.0
        elements = self.n_rows * stored_in_a_row(X)
        return sparse_read_cost(self.n_rows, self.n_columns, elements)

    def curvature_cost(self, n_logits: int) -> float:
        """Time of a Hessian, without its factorisation, relative to one of as many dense rows."""
        if not self.is_sparse:
            return 1.0
        return sparse_curvature_cost(self.n_rows, self.n_columns, self._n_pairs, n_logits)

    @cached_attribute
    def _n_pairs(self) -> float:
        """Sum over sparse rows of the squares of the numbers of their stored elements."""
        lengths = np.diff(self.rows.X.indptr)
        # einsum converts to float64 a few lengths at a time; in int32 their products would overflow.
        return float(np.einsum("i,i->", lengths, lengths, dtype=np.float64))

    @property
    def least_weight(self) -> float:
        """The least positive weight of a row."""
        s = self.rows.sample_weight
        return 1.0 if s is None else float(s[s > 0].min())

    def weights_of_classes(self, loss: Any) -> Float64Vector:
        """Sum of the row weights of every class, for a loss of classes."""
        sums: Float64Vector = loss.weights_of_classes(self.rows.y, self.rows.sample_weight, self.weight_total)
        return sums

    def blocks(self) -> Iterator[ResidentDataset]:
        """These rows: all of them are in memory."""
        yield self

    def map_blocks(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """``function`` of these rows and the arguments, in a list of one."""
        return [function(self, *arguments)]

    def drawing(self, n_classes: int) -> Drawing:
        """What samples of the rows are drawn by."""
        y = self.rows.y
        labels = y if y.ndim == 1 else y[:, 0]  # without what stands beside them
        if labels.dtype.kind == "f":  # soft ones are strata by what they are nearest to
            labels = self.xp.rint(labels).astype(np.int32)
        return Drawing(labels, self.rows.sample_weight, n_classes)

    def gather(self, indices: IntVector) -> tuple[ResidentDataset, IntVector]:
        """A data set in memory that holds the rows ``indices``, which ascend, and their numbers in it."""
        return self, indices

    def labels_and_weights(self, indices: IntVector, weight: Float64Vector) -> tuple[Array, Array]:
        """Labels of rows, and their weights times ``weight``, where the rows live."""
        _, y, sample_weight = self.rows
        at, s = self.xp.asarray(indices), self.xp.asarray(weight)
        return y[at], s if sample_weight is None else s * sample_weight[at]

    def reads_of_sample(self, size: int) -> float:
        """Share of a read that a sample of so many rows takes."""
        return size / self.n_rows

    def in_float64(self) -> ResidentDataset:
        """The same rows, uncopied, for passes that compute in float64: each block is converted as it is walked."""
        return replace(self, computed_in=np.dtype(np.float64))

    def take(self, indices: IntVector, dtype: DTypeLike | None = None) -> Rows:
        """Copies of the rows ``indices``, in that order: ``X`` dense, in C order and in the dtype of the pass."""
        X, y, sample_weight = self.rows
        xp = self.xp
        at = xp.asarray(indices)
        s = None if sample_weight is None else sample_weight[at]
        if self.is_sparse or not self.on_host:
            return Rows(xp.ascontiguousarray(rows_at(X, at, dtype or self.compute_dtype)), y[at], s)
        taken = np.empty((len(at), X.shape[1]), dtype or self.compute_dtype)

        def gather(part: slice) -> None:
            taken[part] = X[at[part]]

        map_row_blocks(gather, taken, GATHERED)
        return Rows(taken, y[at], s)

    def take_parts(self, parts: Iterable[IntVector], dtype: DTypeLike) -> Iterator[Rows]:
        """`take` of each of several vectors, which ascend together."""
        return (self.take(indices, dtype) for indices in parts)

    def every(self, k: int) -> ResidentDataset:
        """Every k-th row, with its label and its weight."""
        X, y, s = self.rows
        contiguous = self.xp.ascontiguousarray  # the kernels take no strided arrays
        part = X[::k] if self.is_sparse else contiguous(X[::k])
        labels = contiguous(y[::k])
        weights = None if s is None else contiguous(s[::k])
        total = float(len(labels)) if weights is None else float(weights.sum(dtype=np.float64))
        return replace(self, rows=Rows(part, labels, weights), weight_total=total, computed_in=self.compute_dtype)

    def block_bytes(self, size: BlockSize) -> int:
        """Bytes of a block of that size in the memory where the rows are."""
        return size.host if self.on_host else size.device

    @property
    def widest_dtype(self) -> DType:
        """The most precise dtype of the arithmetic where the rows are."""
        return np.dtype(np.longdouble if self.on_host else np.float64)

    def all_finite(self) -> bool:
        """Whether every stored value is finite."""
        X = self.rows.X
        return X.dtype.kind != "f" or bool(all_finite(X))

    def sparse_rows(self, indices: IntVector, y: Array, sample_weight: Array) -> ResidentDataset:
        """The sparse rows ``indices``, which ascend, with other labels and weights, for passes in float64."""
        X = self.rows.X if len(indices) == self.n_rows else self.rows.X[indices]
        total = float(sample_weight.sum(dtype=np.float64))
        return ResidentDataset(Rows(in_order(X), y, sample_weight), total, computed_in=np.dtype(np.float64))

    def refuse_not_finite(self) -> NoReturn:
        """Raise a `DataError` that names the first NaN or infinity in ``X``."""
        found = first_not_finite(self.rows.X)
        if found is None:
            raise DataError("the sums over X overflow; scale its columns to smaller numbers")
        raise not_finite_error(*found, self.column_name(found[1]))

    def column_name(self, column: int) -> str:
        """The name of a column, for a message that has named its number; empty where columns have no names."""
        return "" if self.column_names is None else f" ({self.column_names[column]!r})"


def _narrow_labels(y: Array, dtype: DType) -> Array:
    """Labels as ``uint8`` where all are 0 or 1, else in ``dtype``; a `DataError` where one is outside [0, 1]."""
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
