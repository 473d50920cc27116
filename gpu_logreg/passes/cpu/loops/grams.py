"""Weighted sums of the products of columns, and the leverage of rows: products of matrices, in tiles; in float64.

64 rows are copied into whole tiles of columns, zeros behind the last one, and stay in the cache for all sums of them.
"""

from __future__ import annotations

from typing import Any

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.elementary import smaller
from gpu_logreg.passes.cpu.loops.memory import flat, release, scratch, zeros
from gpu_logreg.passes.cpu.loops.tiles import HIGH_LINES, HIGH_VECTORS, high_tile

__all__ = ["add_grams", "add_to_groups", "sum_squares"]

_ROWS = 64
"""Rows of a copy; they decide the order of additions, and so the bits."""

_OPTIONS: dict[str, Any] = {"fastmath": LIBERTIES | {"reassoc"}}


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def add_grams(vector: Any, X: Any, factors: Any, ones: Any, sums: Any) -> None:
    """Add ``sum_i factors[f, i] u_i u_i.T`` to ``sums[f]``, of which the lower triangle is right.

    Parameters
    ----------
    vector : tuple
        Of the length of a register.
    X : array of shape (m, d), C order
    factors : float64 array of shape (n, m)
    ones : bool
        Whether ``u`` is ``x`` with a 1 behind it.
    sums : float64 array of shape (n, width, width), C order
        ``width`` is that of whole tiles.
    """
    (m, d), n, width = X.shape, sums.shape[0], sums.shape[1]
    p, length = d + ones, len(vector)
    step = HIGH_VECTORS * length
    U, scaled, totals = zeros(_ROWS * width, sums), zeros(_ROWS * width, sums), flat(sums)
    for first in range(0, m, _ROWS):
        rows = smaller(_ROWS, m - first)
        _copy_rows(X, first, rows, ones, U, width)
        for f in range(n):
            for r in range(rows):
                factor, at = factors[f, first + r], r * width
                for line in range(0, p, HIGH_LINES):
                    target = line * _ROWS + r * HIGH_LINES
                    for j in range(HIGH_LINES):
                        scaled[target + j] = factor * U[at + line + j]
            for column in range(0, p, step):
                for line in range(column - column % HIGH_LINES, p, HIGH_LINES):
                    n_vectors = (line + HIGH_LINES - 1 - column) // length + 1
                    target = (f * width + line) * width + column
                    high_tile(
                        vector, n_vectors, rows, scaled, line * _ROWS, 1, HIGH_LINES, U, column, width, totals, target, False,
                    )  # fmt: skip
    release(U)
    release(scaled)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def sum_squares(vector: Any, X: Any, ones: Any, root: Any, out: Any) -> None:
    """``out[i] = sum_k (sum_j u_ij root[j, k])**2`` with the lower triangle ``root``.

    Parameters
    ----------
    vector, X, ones : as of `add_grams`
    root : float64 array of shape (width, width), C order
        Zeros above the diagonal and beyond the columns.
    out : float64 array of shape (m,)
    """
    (m, d), width = X.shape, root.shape[1]
    p, length = d + ones, len(vector)
    step = HIGH_VECTORS * length
    U, product, flat_root = zeros(_ROWS * width, root), scratch(_ROWS * width, root, 0), flat(root)
    for first in range(0, m, _ROWS):
        rows = smaller(_ROWS, m - first)
        _copy_rows(X, first, rows, ones, U, width)
        for column in range(0, p, step):
            n_vectors = (p - 1 - column) // length + 1
            for line in range(0, rows, HIGH_LINES):
                high_tile(
                    vector, n_vectors, p - column, U, line * width + column, width, 1, flat_root, column * width + column, width,
                    product, line * width + column, True,
                )  # fmt: skip
        for r in range(rows):
            total = 0.0
            for k in range(r * width, r * width + p):
                total += product[k] * product[k]
            out[first + r] = total
    release(U)
    release(product)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _copy_rows(X: Any, first: Any, rows: Any, ones: Any, U: Any, width: Any) -> None:
    d = X.shape[1]
    for r in range(rows):
        x, at = X[first + r], r * width
        for j in range(d):
            U[at + j] = x[j]
        if ones:
            U[at + d] = 1.0


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def add_to_groups(codes: Any, X: Any, residuals: Any, s: Any, ones: Any, sums: Any, weights: Any) -> None:
    """Add ``residuals[i] kron u_i`` to ``sums[codes[i]]``, and ``s[i]`` to ``weights[codes[i]]``.

    Parameters
    ----------
    codes : integer array of shape (m,)
    X : array of shape (m, d), C order
    residuals : float64 array of shape (m, L), C order
    s : float64 array of shape (m,)
    ones : bool
    sums, weights : float64 arrays of shape (G, L p) and (G,)
    """
    (m, d), L = X.shape, residuals.shape[1]
    for i in range(m):
        x, total = X[i], sums[codes[i]]
        weights[codes[i]] += s[i]
        for k in range(L):
            r, at = residuals[i, k], k * (d + ones)
            for j in range(d):
                total[at + j] += r * x[j]
            if ones:
                total[at + d] += r
