"""Walks over all rows of a data set: it is cut into blocks, each goes to a pass, and what comes back is added in order.

Only this module knows that blocks are worked on by several threads on the host and one after the other on a device.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from gpu_logreg.arrays.blocks import map_in_order, row_blocks
from gpu_logreg.arrays.device import array_namespace, is_sparse, to_numpy
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.passes.choice import Implementation
from gpu_logreg.passes.cpu.scores import compiled_row_scores, sparse_row_scores
from gpu_logreg.passes.cpu.sparse_columns import sparse_columns
from gpu_logreg.passes.reference.scores import row_scores
from gpu_logreg.passes.sums import Moments, Sums
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["column_moments", "columns_of", "loss_and_gradient_sums", "scores_of_rows"]

T = TypeVar("T")

_SCORE_BYTES = 2**20


def loss_and_gradient_sums(dataset: ResidentDataset, implementation: Implementation, w: Float64Vector, b: Any) -> Sums:
    """Loss and gradient sums over all rows; one walk."""
    dtype = dataset.compute_dtype
    parts = _map_blocks(dataset, lambda block: implementation.sums(block, w, b, dtype), implementation.block_bytes)
    if not parts:  # no rows
        return Sums(0.0, np.zeros(np.shape(w)), 0.0 * b)
    return functools.reduce(operator.add, parts)


def column_moments(dataset: ResidentDataset, implementation: Implementation) -> Moments:
    """Sums of the columns and of their squares over all rows; one walk."""
    total = Moments(np.zeros(dataset.n_columns), np.zeros(dataset.n_columns))
    for part in _map_blocks(dataset, implementation.moments, implementation.moments_block_bytes):
        total = total + part
    return total


def scores_of_rows(
    dataset: ResidentDataset,
    mean: Float64Vector,
    inverse_variance: Float64Vector,
    unseen: float,
    compiled: bool = False,
) -> Float64Vector:
    """Squared length of every row in standardised columns, on the host; one walk."""
    if is_sparse(dataset.rows.X):
        scores: Float64Vector = sparse_row_scores(dataset.rows, mean, inverse_variance, unseen, compiled)
        return scores
    score = compiled_row_scores if compiled else row_scores
    parts = _map_blocks(dataset, lambda rows: score(rows, mean, inverse_variance, unseen), _SCORE_BYTES)
    return np.concatenate([to_numpy(part) for part in parts])


def columns_of(dataset: ResidentDataset, compiled: bool = False) -> Callable[[Any], ResidentDataset]:
    """A function from numbers of columns, which rise, to the same rows with these columns alone, copied."""
    X = dataset.rows.X

    def some(columns: Any) -> ResidentDataset:
        names = None if dataset.column_names is None else [dataset.column_names[column] for column in columns]
        if is_sparse(X):
            taken = sparse_columns(X, columns, compiled)
        else:
            xp = array_namespace(X)
            taken = xp.ascontiguousarray(X[:, xp.asarray(columns)])
        return replace(dataset, rows=dataset.rows._replace(X=taken), column_names=names)

    return some


def _map_blocks(dataset: ResidentDataset, function: Callable[[Rows], T], block_bytes: int | None) -> list[T]:
    """``function`` of every block of rows, in order; on the host, of several blocks at once.

    Blocks are converted to the dtype of the pass one at a time where they need it.
    """
    X, y, sample_weight = dataset.rows
    dtype = dataset.compute_dtype
    if block_bytes is None or is_sparse(X):
        return [function(dataset.rows)]
    on_host = array_namespace(X) is np
    if not on_host and X.dtype == dtype and X.flags.f_contiguous:
        return [function(dataset.rows)]  # CuPy would copy a block of rows of such an X for every product
    blocks = row_blocks(dataset.n_rows, max(1, dataset.n_columns) * dtype.itemsize, block_bytes)

    def of_block(part: slice) -> T:
        s = None if sample_weight is None else sample_weight[part]
        return function(Rows(X[part].astype(dtype, copy=False), y[part], s))

    return map_in_order(of_block, blocks) if on_host else [of_block(part) for part in blocks]
