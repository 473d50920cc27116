"""Products with dense rows most of whose elements are zero: pixels, counts, columns of zeros and ones.

The non-zero elements of a lane of rows are listed twice, by rows for ``X @ W`` and by columns for ``X.T @ dz``. Both
products then add, for every listed element, its multiple of a row of ``W`` or of ``dz`` to a row of the result. Eight
are added at a time, so that the row of the result is read and written once for eight.

Layout of ``lists`` (int32) for m rows of d columns, and of ``values``: first the columns of the elements and their
values, row after row (m d); then their rows and values, column after column (m d); then, in ``lists`` alone, where
each row begins (m + 1) and where each column begins (d + 1).
"""

from __future__ import annotations

from typing import Any

from gpu_logreg.arrays.compiled import LIBERTIES, njit

__all__ = ["columns_times_dz", "list_length", "list_nonzeros", "rows_times_weights"]

_OPTIONS: dict[str, Any] = {"fastmath": LIBERTIES | {"reassoc", "arcp"}, "counts": True}


def list_length(m: int, d: int) -> int:
    """Length of ``lists`` for m rows of d columns; ``values`` takes ``2 m d``."""
    return 2 * m * d + m + d + 2


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _some_of_eight(x: Any, j: Any) -> Any:
    """Whether one of eight elements from ``j`` on is not zero: zeros come in runs, and most eights are zeros."""
    low = abs(x[j]) + abs(x[j + 1]) + abs(x[j + 2]) + abs(x[j + 3])
    return low + (abs(x[j + 4]) + abs(x[j + 5]) + abs(x[j + 6]) + abs(x[j + 7])) != 0


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def list_nonzeros(X: Any, at: Any, lists: Any, values: Any) -> None:
    """Fill ``lists`` and ``values`` with the elements of the rows ``at`` that are not zero (NaN is not)."""
    m, d = len(at), X.shape[1]
    columns, by_row = lists[: m * d], values[: m * d]
    rows, by_column = lists[m * d : 2 * m * d], values[m * d : 2 * m * d]
    row_at, column_at = lists[2 * m * d : 2 * m * d + m + 1], lists[2 * m * d + m + 1 : 2 * m * d + m + d + 2]
    count = 0
    for i in range(m):
        row_at[i] = count
        x = X[at[i]]
        j = 0
        while j + 8 <= d:
            if _some_of_eight(x, j):
                for k in range(j, j + 8):  # without a branch: a zero is written, and overwritten by the next element
                    columns[count] = k
                    by_row[count] = x[k]
                    count += x[k] != 0
            j += 8
        for k in range(j, d):
            columns[count] = k
            by_row[count] = x[k]
            count += x[k] != 0
    row_at[m] = count
    for j in range(d + 1):
        column_at[j] = 0
    for q in range(count):
        column_at[columns[q] + 1] += 1
    for j in range(d):
        column_at[j + 1] += column_at[j]
    for i in range(m):
        for q in range(row_at[i], row_at[i + 1]):
            j = columns[q]
            rows[column_at[j]] = i
            by_column[column_at[j]] = by_row[q]
            column_at[j] += 1
    for j in range(d, 0, -1):  # filling has moved the beginning of every column to that of the next
        column_at[j] = column_at[j - 1]
    column_at[0] = 0


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _add_rows(number: Any, x: Any, first: Any, last: Any, source: Any, target: Any) -> None:
    """``target += sum of x[q] source[number[q]]`` for q from ``first`` to ``last``."""
    h = len(target)
    q = first
    while q + 8 <= last:
        r0, r1, r2, r3 = source[number[q]], source[number[q + 1]], source[number[q + 2]], source[number[q + 3]]
        r4, r5, r6, r7 = source[number[q + 4]], source[number[q + 5]], source[number[q + 6]], source[number[q + 7]]
        x0, x1, x2, x3, x4, x5, x6, x7 = x[q], x[q + 1], x[q + 2], x[q + 3], x[q + 4], x[q + 5], x[q + 6], x[q + 7]
        for k in range(h):
            low = x0 * r0[k] + x1 * r1[k] + x2 * r2[k] + x3 * r3[k]
            target[k] += low + (x4 * r4[k] + x5 * r5[k] + x6 * r6[k] + x7 * r7[k])
        q += 8
    if q + 4 <= last:
        r0, r1, r2, r3 = source[number[q]], source[number[q + 1]], source[number[q + 2]], source[number[q + 3]]
        x0, x1, x2, x3 = x[q], x[q + 1], x[q + 2], x[q + 3]
        for k in range(h):
            target[k] += (x0 * r0[k] + x1 * r1[k]) + (x2 * r2[k] + x3 * r3[k])
        q += 4
    if q + 2 <= last:
        r0, r1, x0, x1 = source[number[q]], source[number[q + 1]], x[q], x[q + 1]
        for k in range(h):
            target[k] += x0 * r0[k] + x1 * r1[k]
        q += 2
    if q < last:
        r0, x0 = source[number[q]], x[q]
        for k in range(h):
            target[k] += x0 * r0[k]


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def rows_times_weights(m: Any, d: Any, lists: Any, values: Any, W: Any, out: Any) -> None:
    """``out = X @ W``, from the elements by rows."""
    row_at = lists[2 * m * d : 2 * m * d + m + 1]
    for i in range(m):
        target = out[i]
        for k in range(len(target)):
            target[k] = 0
        _add_rows(lists[: m * d], values[: m * d], row_at[i], row_at[i + 1], W, target)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def columns_times_dz(m: Any, d: Any, lists: Any, values: Any, dz: Any, out: Any) -> None:
    """``out = X.T @ dz``, from the elements by columns."""
    column_at = lists[2 * m * d + m + 1 : 2 * m * d + m + d + 2]
    for j in range(d):
        target = out[j]
        for k in range(len(target)):
            target[k] = 0
        _add_rows(lists[m * d : 2 * m * d], values[m * d : 2 * m * d], column_at[j], column_at[j + 1], dz, target)
