"""The walk over all rows of a data set, cut into blocks: a pass computes each, and results come in their order."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from gpu_logreg.arrays.block_sizes import BlockSize
from gpu_logreg.arrays.blocks import map_row_blocks
from gpu_logreg.arrays.device import array_namespace
from gpu_logreg.arrays.vector import ArrayOfRows, Float64Vector, IntVector
from gpu_logreg.passes.sums import Sums
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["add_all", "dense_columns", "map_blocks", "with_columns"]

T = TypeVar("T")


def map_blocks(function: Callable[[Rows], T], data: ResidentDataset, size: BlockSize) -> list[T]:
    """``function`` of every block of dense rows, in order; on the host several blocks are computed at once.

    A block that is stored in another dtype than ``data`` is computed in is converted first.
    """
    X, y, sample_weight = data.rows
    dtype = data.compute_dtype
    if X.dtype == dtype and X.flags.f_contiguous and not data.on_host:
        return [function(data.rows)]  # CuPy would copy a block of a column-major X for every product

    def of_block(part: slice) -> T:
        s = None if sample_weight is None else sample_weight[part]
        return function(Rows(X[part].astype(dtype, copy=False), y[part], s))

    return map_row_blocks(of_block, X, size, row_bytes=max(1, data.n_columns) * dtype.itemsize)


def add_all(parts: list[Sums], w: Float64Vector, b: Any) -> Sums:
    """Add the sums of blocks in their order; zeros of the shapes of ``w`` and ``b`` where there are no rows."""
    return functools.reduce(operator.add, parts) if parts else Sums(0.0, np.zeros(np.shape(w)), 0.0 * b)


def dense_columns(data: ResidentDataset) -> Callable[[IntVector], ResidentDataset]:
    """`gpu_logreg.passes.engine.Engine.columns` for dense rows."""

    def take(columns: IntVector) -> ResidentDataset:
        xp = array_namespace(data.rows.X)
        return with_columns(data, columns, xp.ascontiguousarray(data.rows.X[:, xp.asarray(columns)]))

    return take


def with_columns(data: ResidentDataset, columns: IntVector, X: ArrayOfRows) -> ResidentDataset:
    """The same rows with ``X``, a copy of their columns ``columns``, in place of all columns."""
    names = None if data.column_names is None else [data.column_names[column] for column in columns]
    return replace(data, rows=data.rows._replace(X=X), column_names=names)
