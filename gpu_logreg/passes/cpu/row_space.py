"""Sums over few sparse rows of many columns, all less one row: see `gpu_logreg.passes.reference.row_space`.

The weights of all classes of a text have millions of numbers, but those of a few classes fit the cache of a core. So a
thread takes a few classes at a time, in all rows, and of a product with the Gram matrix no more weights ever exist. All
sums are taken over the rows in their order: bits do not depend on the threads.
"""

from __future__ import annotations

import numpy as np

from gpu_logreg.arrays.blocks import map_in_order, n_threads
from gpu_logreg.arrays.compiled import Loop
from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["image_of_sparse_rows", "products_with_sparse_rows", "sums_of_sparse_rows"]

_add_outer_products_of_rows = Loop("gpu_logreg.passes.cpu.loops.sparse_products", "add_outer_products_of_rows")
_fill_products_of_rows = Loop("gpu_logreg.passes.cpu.loops.sparse_products", "fill_products_of_rows")

CLASSES = 32
"""Most classes that are summed at a time: four cache lines of each column, for one look at an element of a row."""


def image_of_sparse_rows(data: ResidentDataset, V: Float64Matrix, centre: Float64Vector) -> Float64Matrix:
    """``G V`` with ``G_il = (x_i - m) @ (x_l - m)``, of shape (n, K)."""
    V = np.ascontiguousarray(V, np.float64)
    Z = np.empty(V.shape)

    def of_classes(first: int, last: int) -> None:
        _multiply(data, _sums(data, V, centre, first, last), centre, first, Z)

    map_in_order(of_classes, *_few_classes(V.shape[1]))
    return Z


def sums_of_sparse_rows(data: ResidentDataset, V: Float64Matrix, centre: Float64Vector) -> Float64Matrix:
    """``sum_i v_i (x_i - m).T``, of shape (K, d), for ``V`` of shape (n, K)."""
    V = np.ascontiguousarray(V, np.float64)
    W = np.empty((V.shape[1], data.n_columns))

    def of_classes(first: int, last: int) -> None:
        W[first:last] = _sums(data, V, centre, first, last).T

    map_in_order(of_classes, *_few_classes(V.shape[1]))
    return W


def products_with_sparse_rows(data: ResidentDataset, W: Float64Matrix, centre: Float64Vector) -> Float64Matrix:
    """``W (x_i - m)`` of every row, of shape (n, K), for ``W`` of shape (K, d)."""
    Z = np.empty((data.n_rows, len(W)))

    def of_classes(first: int, last: int) -> None:
        _multiply(data, np.ascontiguousarray(W[first:last].T, np.float64), centre, first, Z)

    map_in_order(of_classes, *_few_classes(len(W)))
    return Z


def _sums(data: ResidentDataset, V: Float64Matrix, centre: Float64Vector, first: int, last: int) -> Float64Matrix:
    """``sum_i (x_i - m) v_i.T`` of the classes ``first`` to ``last``, of shape (d, last - first)."""
    X, total = data.rows.X, V[:, first:last].sum(axis=0)
    sums: Float64Matrix = np.multiply.outer(-centre, total) if centre.any() else np.zeros((len(centre), last - first))
    _add_outer_products_of_rows(X.data, X.indices, X.indptr, V, first, sums)
    return sums


def _multiply(data: ResidentDataset, W: Float64Matrix, centre: Float64Vector, first: int, Z: Float64Matrix) -> None:
    """``W.T (x_i - m)`` of all rows, into the columns of ``Z`` from ``first`` on."""
    X = data.rows.X
    shift = -(centre @ W) if centre.any() else np.zeros(W.shape[1])
    _fill_products_of_rows(X.data, X.indices, X.indptr, W, shift, first, Z)


def _few_classes(n_classes: int) -> tuple[list[int], list[int]]:
    """First classes of the groups that are summed together, and those after their last ones."""
    count = max(-(-n_classes // CLASSES), min(n_threads(), n_classes))
    edges = [n_classes * k // count for k in range(count + 1)]
    return edges[:-1], edges[1:]
