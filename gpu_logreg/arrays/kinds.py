"""The two kinds of rows, dense and sparse: how blocks of either are joined, and rows that stand for those of a kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from scipy import sparse

from gpu_logreg.arrays.device import is_sparse
from gpu_logreg.arrays.vector import ArrayOfRows, DTypeLike

__all__ = ["DENSE_ROWS", "SPARSE_ROWS", "KindOfRows", "kind_of"]


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

    def template(self, n_rows: int, n_columns: int, dtype: DTypeLike) -> ArrayOfRows:
        """Rows of this kind and dtype without memory of their own, for the choice of an engine."""

    def joined(self, blocks: Sequence[Any]) -> ArrayOfRows:
        """Blocks of rows, one after the other, as one; the block itself where there is one."""


class _Dense:
    name = "dense"
    is_sparse = False

    def template(self, n_rows: int, n_columns: int, dtype: DTypeLike) -> ArrayOfRows:
        return np.broadcast_to(np.zeros((1, 1), dtype), (n_rows, n_columns))

    def joined(self, blocks: Sequence[Any]) -> ArrayOfRows:
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


class _Sparse:
    name = "sparse"
    is_sparse = True

    def template(self, n_rows: int, n_columns: int, dtype: DTypeLike) -> ArrayOfRows:
        return sparse.csr_array((1, n_columns), dtype=dtype)

    def joined(self, blocks: Sequence[Any]) -> ArrayOfRows:
        return blocks[0] if len(blocks) == 1 else sparse.vstack(blocks, format="csr")


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
