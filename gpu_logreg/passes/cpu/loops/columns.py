"""Compiled loops over the columns of sparse rows (CSC); every function releases the GIL and computes in float64.

Nothing is checked: numbers of rows and columns are those of `gpu_logreg.passes.cpu.column_copies`. They are
converted to unsigned ones because Numba counts a negative index from the end, and tests each signed one for it.

The model of the curvature, for one class at a time, is ``sum_i h_i v_i**2 / 2`` with the moves ``v`` of the logits.
An intercept is at the minimum of the model whatever the weights are: of every column its mean, weighted by ``h``, is
subtracted implicitly. Without that, columns far from zero (all counts of words are positive) would move each other.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.elementary import exp_of_negative, larger, log1p_up_to_one

__all__ = [
    "add_columns",
    "count_elements",
    "count_in_rows",
    "cycles",
    "fill_columns",
    "fill_rows",
    "multiply_columns",
    "multiply_rows",
    "sum_columns",
    "weigh_rows",
    "weigh_rows_of_classes",
]

_OPTIONS: dict[str, Any] = {"fastmath": LIBERTIES | {"arcp"}}
_SUMS: dict[str, Any] = {"fastmath": LIBERTIES | {"arcp", "reassoc"}}
_1, _2, _3, _4 = np.uintp(1), np.uintp(2), np.uintp(3), np.uintp(4)

LEAST_CURVATURE = 1e-6
"""Least curvature of a row, relative to the square of its residual: rows far on their wrong side have a residual of 1
and no curvature, and a model without any has no minimum. On the right side the square of the residual is far less than
the curvature, so that this changes nothing."""

CONSTANT = 1e-12
"""Curvature about the mean, relative to that about zero, below which it is rounding: the column is constant."""


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def count_elements(column: Any, first: Any, last: Any, counts: Any) -> None:
    """Add 1 to ``counts[j]`` for each of the stored elements ``first`` to ``last`` that is in column j."""
    for k in range(np.uintp(first), np.uintp(last)):
        counts[np.uintp(column[k])] += 1


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def fill_columns(x: Any, column: Any, start: Any, first: Any, last: Any, at: Any, elements: Any, row: Any) -> None:
    """Copy the elements of the rows ``first`` to ``last`` to the places ``at[j]`` of their columns, which move on."""
    for i in range(first, last):
        for k in range(np.uintp(start[i]), np.uintp(start[i + 1])):
            j = np.uintp(column[k])
            to = np.uintp(at[j])
            elements[to] = x[k]
            row[to] = i
            at[j] += 1


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def count_in_rows(row: Any, start: Any, at: Any, counts: Any) -> None:
    """Add to ``counts[i]`` the elements of row i in the columns ``at``."""
    for a in range(len(at)):
        for k in range(np.uintp(start[at[a]]), np.uintp(start[at[a] + 1])):
            counts[np.uintp(row[k])] += 1


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def fill_rows(x: Any, row: Any, start: Any, at: Any, to: Any, elements: Any, place: Any) -> None:
    """Copy the elements of the columns ``at`` to the places ``to[i]`` of their rows, which move on."""
    for a in range(len(at)):
        for k in range(np.uintp(start[at[a]]), np.uintp(start[at[a] + 1])):
            i = np.uintp(row[k])
            here = np.uintp(to[i])
            elements[here] = x[k]
            place[here] = a
            to[i] += 1


@njit(**_SUMS)  # type: ignore[untyped-decorator]
def weigh_rows(z: Any, y: Any, s: Any, first: Any, last: Any, r: Any, h: Any) -> float:
    """Residuals ``r_i = s_i (p_i - y_i)`` and curvatures ``h_i = s_i p_i (1 - p_i)`` of rows; the sum of losses."""
    loss = 0.0
    for i in range(first, last):
        e = exp_of_negative(-abs(z[i]))
        share = 1.0 / (1.0 + e)
        loss += s[i] * ((z[i] if z[i] > 0.0 else 0.0) - y[i] * z[i] + log1p_up_to_one(e))
        # (1 - y) p - y (1 - p): the difference p - y would round a small probability away
        p = share if z[i] > 0.0 else e * share
        rest = e * share if z[i] > 0.0 else share
        residual = (1.0 - y[i]) * p - y[i] * rest
        r[i] = s[i] * residual
        h[i] = s[i] * larger(e * share * share, LEAST_CURVATURE * residual * residual)
    return loss


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def weigh_rows_of_classes(z: Any, y: Any, s: Any, first: Any, last: Any, r: Any, h: Any, p: Any) -> float:
    """As `weigh_rows` for K classes, with the probabilities ``p``; ``z, r, h, p`` of shape (K, n), class by class."""
    K = len(z)
    loss = 0.0
    for i in range(first, last):
        largest, at = z[0, i], 0
        for k in range(1, K):
            if z[k, i] > largest:
                largest, at = z[k, i], k
        rest = 0.0  # of all but the largest, whose own is 1
        for k in range(K):
            e = exp_of_negative(z[k, i] - largest)
            p[k, i] = e
            rest += 0.0 if k == at else e
        share, label = 1.0 / (1.0 + rest), y[i]
        loss += s[i] * (math.log1p(rest) + largest - z[label, i])
        for k in range(K):
            others = (rest if k == at else 1.0 + rest - p[k, i]) * share
            own = p[k, i] * share
            residual = -others if k == label else own
            p[k, i] = own
            r[k, i] = s[i] * residual
            h[k, i] = s[i] * larger(own * others, LEAST_CURVATURE * residual * residual)
    return loss


@njit(**_SUMS)  # type: ignore[untyped-decorator]
def sum_columns(x: Any, row: Any, start: Any, v: Any, first: Any, last: Any, sums: Any) -> None:
    """``sums[j] = sum_i x_ij v_i`` of the columns ``first`` to ``last``."""
    for j in range(first, last):
        total = 0.0
        for k in range(np.uintp(start[j]), np.uintp(start[j + 1])):
            total += x[k] * v[np.uintp(row[k])]
        sums[j] = total


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def add_columns(x: Any, row: Any, start: Any, at: Any, weights: Any, first: Any, last: Any, z: Any) -> None:
    """``z_i += sum_a x_ij weights_a`` with the columns ``j = at[a]``, ``a`` from ``first`` to ``last``."""
    for a in range(first, last):
        weight = weights[a]
        if weight != 0.0:
            for k in range(np.uintp(start[at[a]]), np.uintp(start[at[a] + 1])):
                z[np.uintp(row[k])] += weight * x[k]


@njit(**_SUMS)  # type: ignore[untyped-decorator]
def multiply_columns(x: Any, row: Any, start: Any, at: Any, v: Any, first: Any, last: Any, products: Any) -> None:
    """``products[a] = sum_i x_ij v_i`` with ``j = at[a]``, ``a`` from ``first`` to ``last``."""
    for a in range(first, last):
        total = 0.0
        for k in range(np.uintp(start[at[a]]), np.uintp(start[at[a] + 1])):
            total += x[k] * v[np.uintp(row[k])]
        products[a] = total


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def multiply_rows(x: Any, column: Any, start: Any, h: Any, v: Any, shift: Any, first: Any, last: Any, out: Any) -> Any:
    """``out += sum_i z_i x_i`` over CSR rows, with ``z_i = h_i (x_i @ v + shift)``, whose sum is returned."""
    total = 0.0
    for i in range(first, last):
        begin, end = np.uintp(start[i]), np.uintp(start[i + 1])
        k: Any = begin
        z0, z1, z2, z3 = shift, 0.0, 0.0, 0.0  # in a single sum every addition would wait for the one before
        while k + _4 <= end:
            z0 += x[k] * v[np.uintp(column[k])]
            z1 += x[k + _1] * v[np.uintp(column[k + _1])]
            z2 += x[k + _2] * v[np.uintp(column[k + _2])]
            z3 += x[k + _3] * v[np.uintp(column[k + _3])]
            k += _4
        while k < end:
            z0 += x[k] * v[np.uintp(column[k])]
            k += _1
        z = h[i] * ((z0 + z1) + (z2 + z3))
        total += z
        for k in range(begin, end):
            out[np.uintp(column[k])] += x[k] * z
    return total


@njit(**_SUMS)  # type: ignore[untyped-decorator]
def _curvature_about_mean(
    x: Any, row: Any, begin: Any, end: Any, hv: Any, of_intercept: Any, l2: Any, mean: Any, j: Any
) -> Any:
    """Curvature along a column about its mean, with that of the ridge; 0 where it is constant. Sets its mean."""
    total, square = 0.0, 0.0
    for k in range(begin, end):
        weighted = hv[np.uintp(row[k]), 0] * x[k]
        total += weighted
        square += weighted * x[k]
    about = square
    if of_intercept > 0.0:
        mean[j] = total / of_intercept
        about -= total * mean[j]
    return about + l2 if about > CONSTANT * square else 0.0


@njit(**_SUMS)  # type: ignore[untyped-decorator]
def cycles(
    x: Any, row: Any, start: Any, at: Any, hv: Any, u: Any, grad: Any, mean: Any, curvature: Any, w: Any,
    of_intercept: Any, r_sum: Any, l1: Any, l2: Any, margin: Any, later_margin: Any, most: Any, slowest: Any,
    forcing: Any, enough: Any, so_far: Any,
) -> Any:  # fmt: skip
    """Cycles of coordinate descent over the columns ``at`` of one class, with a step of its intercept after each.

    A column at zero whose gradient is below ``l1 - margin`` is left out of the next cycles. They end where more would
    add next to nothing if each lowered the model by the same share of what the one before did.

    Parameters
    ----------
    x, row, start : arrays
        Elements and their rows, column by column.
    at : integer array
        Numbers of the columns; those of the next cycle are its first ones at the end.
    hv : float64 array of shape (n, 2)
        Curvature ``h`` of every row and the move ``v`` of its logit, of which the latter follows the weights.
    u : float64 array of shape (n,)
        Room for ``h v``: a gradient reads it alone, and most columns of a cycle have no more than their gradient taken.
    grad, mean, curvature, w : float64 arrays of shape (d,)
        Gradient of the smooth part at the present weights if the logits had not moved, weighted means, curvature about
        the means with that of the ridge, and the weights; ``w`` and the ridge's part of ``grad`` change. A negative
        curvature is not known yet, nor the mean: both are summed when they are first needed. Columns without curvature
        stay where they are, and are left out of the next cycles.
    of_intercept, r_sum : float
        Curvature along the intercept, and the derivative of the loss by it; 0 without an intercept.
    l1, l2, margin, later_margin : float
        ``margin`` of the first cycle, and of those that follow.
    most : int
        Cycles.
    slowest, forcing, enough, so_far : float
        For their end: ``so_far`` is what the model was lowered by before.

    Returns
    -------
    tuple
        Decrease of the model, whether it is enough, number of columns of the next cycle, change of the intercept, and
        elements that were walked over.
    """
    slope, shifts, walked = r_sum, 0.0, 0
    for i in range(len(u)):
        u[i] = hv[i, 0] * hv[i, 1]
        if of_intercept > 0.0:
            slope += u[i]
    total, before, is_enough, kept = 0.0, 0.0, False, len(at)
    decrease = 0.5 * slope * slope / of_intercept if of_intercept > 0.0 else 0.0
    for n in range(most):
        left, kept = kept, 0
        least = l1 - (margin if n == 0 else later_margin)
        for a in range(left):
            j = at[a]
            begin, end = np.uintp(start[j]), np.uintp(start[j + 1])
            walked += start[j + 1] - start[j]
            if of_intercept > 0.0 and curvature[j] < 0.0:
                curvature[j] = _curvature_about_mean(x, row, begin, end, hv, of_intercept, l2, mean, j)
            g = 0.0
            for k in range(begin, end):
                g += x[k] * u[np.uintp(row[k])]
            g += grad[j] - mean[j] * slope
            old = w[j]
            if old == 0.0 and abs(g) <= l1:
                if abs(g) >= least and curvature[j] != 0.0:
                    at[kept] = j
                    kept += 1
                continue
            if curvature[j] < 0.0:
                curvature[j] = _curvature_about_mean(x, row, begin, end, hv, of_intercept, l2, mean, j)
            h = curvature[j]
            if h == 0.0:
                continue
            at[kept], kept, goal = j, kept + 1, h * old - g
            new = (goal - l1) / h if goal > l1 else (goal + l1) / h if goal < -l1 else 0.0
            change = new - old
            if change == 0.0:
                continue
            w[j] = new
            grad[j] += l2 * change
            slope += of_intercept * mean[j] * change
            for k in range(begin, end):
                here, move = np.uintp(row[k]), x[k] * change
                hv[here, 1] += move
                u[here] += hv[here, 0] * move
            decrease -= change * (g + 0.5 * h * change) + l1 * (abs(new) - abs(old))
        if of_intercept > 0.0:
            shift, slope = -slope / of_intercept, 0.0
            shifts += shift
            for i in range(len(u)):
                hv[i, 1] += shift
                u[i] += hv[i, 0] * shift
        total += decrease
        # Without a rate a half is taken after a system alone: the first cycle of all is as small where none is fast.
        rate = min(decrease / before, slowest) if before > 0.0 else 0.5 if so_far > 0.0 or decrease <= 0.0 else slowest
        is_enough = decrease * rate <= max(forcing * (so_far + total), enough) * (1.0 - rate)
        if is_enough:
            break
        before, decrease = decrease, 0.0
    return total, is_enough, kept, shifts, walked
