"""Weighted sums of the products of columns, and the leverage of rows: products of matrices, in tiles.

64 rows are copied into whole tiles of columns, zeros behind the last one, and stay in the cache for all sums of them.
"""

from __future__ import annotations

from typing import Any

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.elementary import smaller
from gpu_logreg.passes.cpu.loops.memory import flat, release, scratch, zeros
from gpu_logreg.passes.cpu.loops.tiles import HIGH_LINES, HIGH_VECTORS, high_tile
from gpu_logreg.passes.cpu.loops.vectors import converted_into, multiple_into, prefetch_behind, squares_of

__all__ = [
    "ROWS",
    "add_grams",
    "add_lower",
    "add_to_groups",
    "add_whitened_gram",
    "copy_rows",
    "scale_row",
    "square_of",
    "sum_squares",
    "sum_squares_of_columns",
]

ROWS = 64
"""Rows of a copy; they decide the order of additions, and so the bits."""

_TILE_LINES = (0,) * HIGH_LINES

_OPTIONS: dict[str, Any] = {"fastmath": LIBERTIES | {"reassoc"}}


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def add_grams(vector: Any, X: Any, scale: Any, factors: Any, ones: Any, like: Any, sums: Any) -> None:
    """Add ``sum_i factors[f, i] u_i u_i.T`` to ``sums[f]``, of which the lower triangle is right.

    Parameters
    ----------
    vector : tuple
        Of the length of a register.
    X : float64 array of shape (m, d), C order
    scale : float64 array of shape (p,)
        What the columns are multiplied by.
    factors : float64 array of shape (n, m)
    ones : bool
        Whether ``u`` is ``x`` with a 1 behind it.
    like : array
        Of the dtype of the products; sums of 64 rows are added to those in float64.
    sums : float64 array of shape (n, width, width), C order
        ``width`` is that of whole tiles.
    """
    (m, d), n, width = X.shape, sums.shape[0], sums.shape[1]
    U, scaled, gain = zeros(ROWS * width, like), zeros(ROWS * width, like), zeros(1, like)
    flat_X, totals = flat(X), flat(sums)
    for first in range(0, m, ROWS):
        rows = smaller(ROWS, m - first)
        copy_rows(vector, flat_X, scale, d, first, rows, ones, U, width)
        for f in range(n):
            for r in range(rows):
                gain[0] = factors[f, first + r]
                scale_row(gain[0], U, r, d + ones, width, scaled)
            ahead = (first + ROWS) * d if f == 0 else flat_X.size
            add_lower(vector, rows, d + ones, scaled, U, width, totals, f * width * width, flat_X, ahead)
    release(U)
    release(scaled)
    release(gain)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def add_whitened_gram(
    vector: Any, X: Any, scale: Any, ones: Any, root: Any, curvature: Any, factors: Any, is_half: Any, largest: Any,
    leverages: Any, sums: Any,
) -> None:  # fmt: skip
    """Add ``sum_i factors[i] / (1 - h_i)**(2 a) t_i t_i.T`` with ``h_i = curvature[i] |t_i|**2``.

    There ``t = root.T (scale u)``: see `gpu_logreg.mathematics.whitening.Whitening`. Rows and products are in the dtype
    of ``root``; sums of 64 rows are added to those in float64. Rows of a larger ``h`` than ``largest`` are left out.

    Parameters
    ----------
    vector, X, scale, ones : as of `add_grams`
    root : array of shape (width, width), C order
        Zeros above the diagonal and beyond the columns.
    curvature, factors : float64 arrays of shape (m,)
    is_half : bool
        Whether ``a`` is 1/2; else it is 1.
    largest : float
    leverages : float64 array of shape (m,)
        Gets ``h``.
    sums : float64 array of shape (width, width), C order
        The lower triangle is right.
    """
    (m, d), width = X.shape, root.shape[1]
    p, flat_X, flat_root, totals = d + ones, flat(X), flat(root), flat(sums)
    U, T = zeros(ROWS * width, root), zeros(ROWS * width, root)
    scaled, gains = zeros(ROWS * width, root), zeros(ROWS, root)
    for first in range(0, m, ROWS):
        rows = smaller(ROWS, m - first)
        copy_rows(vector, flat_X, scale, d, first, rows, ones, U, width)
        _times_root(vector, rows, p, U, flat_root, width, T)
        for r in range(rows):
            h = curvature[first + r] * square_of(vector, T, r, p, width)
            leverages[first + r] = h
            if h <= largest:
                gains[r] = factors[first + r] / (1.0 - h if is_half else (1.0 - h) * (1.0 - h))
            else:  # and where it is not finite, of which no multiple is 0
                gains[r] = 0.0
                for k in range(r * width, (r + 1) * width):
                    T[k] = 0.0
            scale_row(gains[r], T, r, p, width, scaled)
        add_lower(vector, rows, p, scaled, T, width, totals, 0, flat_X, (first + ROWS) * d)
    release(U)
    release(T)
    release(scaled)
    release(gains)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def sum_squares(vector: Any, X: Any, scale: Any, ones: Any, root: Any, out: Any) -> None:
    """``out[i] = sum_k (sum_j u_ij root[j, k])**2`` with the lower triangle ``root``.

    Parameters
    ----------
    vector, X, scale, ones : as of `add_grams`
    root : float64 array of shape (width, width), C order
        Zeros above the diagonal and beyond the columns.
    out : float64 array of shape (m,)
    """
    (m, d), width = X.shape, root.shape[1]
    U, product, flat_X, flat_root = zeros(ROWS * width, root), scratch(ROWS * width, root, 0), flat(X), flat(root)
    for first in range(0, m, ROWS):
        rows = smaller(ROWS, m - first)
        copy_rows(vector, flat_X, scale, d, first, rows, ones, U, width)
        _times_root(vector, rows, d + ones, U, flat_root, width, product)
        for r in range(rows):
            out[first + r] = square_of(vector, product, r, d + ones, width)
    release(U)
    release(product)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def sum_squares_of_columns(X: Any, scale: Any, ones: Any, out: Any) -> None:
    """``out[i] = sum_j (scale[j] u_ij)**2``."""
    m, d = X.shape
    for i in range(m):
        x, total = X[i], 0.0
        for j in range(d):
            total += (scale[j] * x[j]) ** 2
        out[i] = total + scale[d] ** 2 if ones else total


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def copy_rows(
    vector: Any, X: Any, scale: Any, d: Any, first: Any, rows: Any, ones: Any, U: Any, width: Any
) -> None:  # fmt: skip
    """Copies of some rows times ``scale``, with a last column of 1 where there are ``ones``."""
    for r in range(rows):
        x, at, j = (first + r) * d, r * width, 0
        while j + len(vector) <= d:
            converted_into(vector, X, x + j, scale, j, U, at + j)
            j += len(vector)
        while j < d:
            U[at + j] = scale[j] * X[x + j]
            j += 1
        if ones:
            U[at + d] = scale[d]


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def scale_row(factor: Any, U: Any, r: Any, p: Any, width: Any, scaled: Any) -> None:
    """A row multiplied by a factor, the lines of a tile side by side: a tile then reads consecutive memory."""
    for line in range(0, p, HIGH_LINES):
        at, target = r * width + line, line * ROWS + r * HIGH_LINES
        multiple_into(_TILE_LINES, U, at, factor, scaled, target)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def add_lower(
    vector: Any, rows: Any, p: Any, scaled: Any, U: Any, width: Any, totals: Any, start: Any, X: Any, ahead: Any
) -> None:  # fmt: skip
    """Add the tiles of ``scaled.T @ U`` that are not above the diagonal to ``totals[start:]``.

    Meanwhile the next rows are fetched, from ``X[ahead:]``, some with each tile.
    """
    length, step, n_tiles = len(vector), HIGH_VECTORS * len(vector), 0
    for column in range(0, p, step):
        n_tiles += (p - column + HIGH_LINES - 1) // HIGH_LINES
    end = smaller(ahead + ROWS * p, X.size)
    share = ROWS * p // n_tiles + 8
    for column in range(0, p, step):
        for line in range(column - column % HIGH_LINES, p, HIGH_LINES):
            for at in range(ahead, smaller(ahead + share, end), 8):
                prefetch_behind(vector, X, at)
            ahead += share
            n_vectors = (line + HIGH_LINES - 1 - column) // length + 1
            high_tile(
                vector, n_vectors, rows, scaled, line * ROWS, 1, HIGH_LINES, U, column, width,
                totals, start + line * width + column, False,
            )  # fmt: skip


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _times_root(vector: Any, rows: Any, p: Any, U: Any, root: Any, width: Any, product: Any) -> None:
    """``U @ root`` with a lower triangle: two vectors of columns at a time, where the second begins, and one above."""
    length = len(vector)
    for column in range(0, p, 2 * length):
        n_vectors = smaller(2, (p - 1 - column) // length + 1)
        above = (n_vectors - 1) * length
        for line in range(0, rows, HIGH_LINES):
            at, target = line * width + column, line * width + column
            high_tile(
                vector, n_vectors, p - column - above, U, at + above, width, 1, root, (column + above) * width + column,
                width, product, target, True,
            )  # fmt: skip
            if above > 0:
                high_tile(
                    vector, 1, above, U, at, width, 1, root, column * width + column, width, product, target, False
                )


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def square_of(vector: Any, product: Any, r: Any, p: Any, width: Any) -> Any:
    """The squared length of a row; behind its ``p`` elements are zeros."""
    return squares_of(vector, product, r * width, (p + len(vector) - 1) // len(vector))


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def add_to_groups(codes: Any, X: Any, residuals: Any, s: Any, ones: Any, sums: Any, weights: Any) -> None:
    """Add ``residuals[i] kron u_i`` to ``sums[codes[i]]``, and ``s[i]`` to ``weights[codes[i]]``.

    Parameters
    ----------
    codes : integer array of shape (m,)
    X : float64 array of shape (m, d), C order
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
