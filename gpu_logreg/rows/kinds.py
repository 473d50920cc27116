"""The two kinds of rows, dense and sparse, and what differs by it where rows are not one array: costs, copies, cuts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from scipy import sparse

from gpu_logreg.arrays.device import is_sparse
from gpu_logreg.arrays.vector import ArrayOfRows, DType, DTypeLike
from gpu_logreg.rows.block import compute_dtype

__all__ = ["DENSE_ROWS", "SPARSE_ROWS", "KindOfRows", "kind_of", "sparse_curvature_cost", "sparse_read_cost"]

STORED_ELEMENT_COST = 6.0
"""Time to read a stored element of sparse rows with its column index, over that of an element of dense rows.

It decides the sizes of samples, whose cost is flat around the optimum, so that a factor of two does little. From trials
on two cores whose figures are not in ``bench/results/``."""

PAIR_COST = 40.0
"""Time to add a pair of elements of a sparse row to a Hessian, over that of a dense row; from the same trials."""


def sparse_read_cost(n_rows: int, n_columns: int, elements: float) -> float:
    """Time of a read of sparse rows, relative to one of as many dense rows."""
    return min(1.0, STORED_ELEMENT_COST * elements / max(1, n_rows * n_columns))


def sparse_curvature_cost(n_rows: int, n_columns: int, pairs: float) -> float:
    """Time of their Hessian of two classes, without its factorisation, relative to one of as many dense rows.

    ``pairs`` is the sum over the rows of the squares of the numbers of their stored elements.
    """
    return min(1.0, PAIR_COST * pairs / max(1, n_rows * n_columns**2))


class KindOfRows(Protocol):
    """How rows are stored. There are two: `DENSE_ROWS` and `SPARSE_ROWS`.

    Attributes
    ----------
    name : str
        For messages.
    is_sparse : bool
    """

    name: str
    is_sparse: bool

    def compute_dtype(self, stored: DTypeLike) -> DType:
        """In which the passes over blocks of rows compute."""

    def read_cost(self, n_rows: int, n_columns: int, n_stored: int) -> float:
        """Time of a read, relative to one of as many dense rows."""

    def curvature_cost(self, n_rows: int, n_columns: int, n_pairs: float) -> float:
        """Time of a Hessian of two classes, relative to one of as many dense rows."""

    def template(self, n_rows: int, n_columns: int, dtype: DTypeLike) -> ArrayOfRows:
        """Rows of this kind and dtype without memory of their own, for the choice of an engine."""

    def joined(self, blocks: Sequence[Any]) -> ArrayOfRows:
        """Blocks of rows, one after the other, as one; the block itself where there is one."""

    def largest_block(self, parts: Sequence[slice], row_bytes: int) -> int:
        """Bytes of the largest of some blocks by the bytes of a dense row; 0 where only a read tells."""


class _Dense:
    name = "dense"
    is_sparse = False

    def compute_dtype(self, stored: DTypeLike) -> DType:
        return compute_dtype(stored)

    def read_cost(self, n_rows: int, n_columns: int, n_stored: int) -> float:
        return 1.0

    def curvature_cost(self, n_rows: int, n_columns: int, n_pairs: float) -> float:
        return 1.0

    def template(self, n_rows: int, n_columns: int, dtype: DTypeLike) -> ArrayOfRows:
        return np.broadcast_to(np.zeros((1, 1), dtype), (n_rows, n_columns))

    def joined(self, blocks: Sequence[Any]) -> ArrayOfRows:
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def largest_block(self, parts: Sequence[slice], row_bytes: int) -> int:
        rows: int = max(part.stop - part.start for part in parts)
        return rows * row_bytes


class _Sparse:
    name = "sparse"
    is_sparse = True

    def compute_dtype(self, stored: DTypeLike) -> DType:
        return np.dtype(np.float64)

    def read_cost(self, n_rows: int, n_columns: int, n_stored: int) -> float:
        return sparse_read_cost(n_rows, n_columns, max(n_rows, n_stored))

    def curvature_cost(self, n_rows: int, n_columns: int, n_pairs: float) -> float:
        return sparse_curvature_cost(n_rows, n_columns, n_pairs)

    def template(self, n_rows: int, n_columns: int, dtype: DTypeLike) -> ArrayOfRows:
        return sparse.csr_array((1, n_columns), dtype=dtype)

    def joined(self, blocks: Sequence[Any]) -> ArrayOfRows:
        return blocks[0] if len(blocks) == 1 else sparse.vstack(blocks, format="csr")

    def largest_block(self, parts: Sequence[slice], row_bytes: int) -> int:
        return 0


DENSE_ROWS: KindOfRows = _Dense()
SPARSE_ROWS: KindOfRows = _Sparse()


def kind_of(X: Any) -> KindOfRows:
    """The kind of an array of rows.

    Examples
    --------
    >>> kind_of(np.eye(2)).name, kind_of(sparse.eye_array(2)).name
    ('dense', 'sparse')
    """
    return SPARSE_ROWS if is_sparse(X) else DENSE_ROWS
