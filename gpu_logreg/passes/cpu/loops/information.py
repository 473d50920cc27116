"""Losses, residuals, curvatures and all their sums of the rows of two classes: each row is read from memory once."""

from __future__ import annotations

from typing import Any

from gpu_logreg.arrays.compiled import LIBERTIES, njit
from gpu_logreg.passes.cpu.loops.elementary import exp_of_negative, log1p_up_to_one, smaller
from gpu_logreg.passes.cpu.loops.grams import ROWS, add_lower, copy_rows, scale_row, square_of
from gpu_logreg.passes.cpu.loops.memory import flat, release, zeros

__all__ = ["add_information"]

_OPTIONS: dict[str, Any] = {"fastmath": LIBERTIES | {"reassoc"}}


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def add_information(
    vector: Any, X: Any, y: Any, a: Any, c: Any, phi: Any, scale: Any, ones: Any, largest: Any, like: Any,
    kept: Any, grad: Any, sums: Any,
) -> float:  # fmt: skip
    """The sum of ``a_i loss_i``; residuals, curvatures, and sums of the gradient and of products, as they are read.

    Parameters
    ----------
    vector, X, scale, ones, like, sums : as of `gpu_logreg.passes.cpu.loops.grams.add_grams`
        The factors of ``sums[0]`` are ``a V / largest[0]``, and of ``sums[1]``, if it is there,
        ``a c r**2 / largest[1]``.
    y : array of shape (m,)
        0 or 1.
    a, c : float64 arrays of shape (m,)
        Weights of rows times those of their classes, and the latter.
    phi : float64 array of shape (p,)
        Weights, and the intercept where there are ``ones``.
    largest : float64 array of shape (2,)
    kept : float64 array of shape (3, m)
        Gets ``r = y - p``, ``V = p (1 - p)`` and ``|scale u|**2``.
    grad : float64 array of shape (p,)
        ``a_i r_i u_i`` are added to.
    """
    (m, d), width = X.shape, sums.shape[1]
    p, total = d + ones, 0.0
    U, scaled, gain = zeros(ROWS * width, like), zeros(ROWS * width, like), zeros(1, like)
    flat_X, totals = flat(X), flat(sums)
    for first in range(0, m, ROWS):
        rows = smaller(ROWS, m - first)
        copy_rows(vector, flat_X, scale, d, first, rows, ones, U, width)
        for i in range(first, first + rows):
            x, z = X[i], 0.0
            for j in range(d):
                z += x[j] * phi[j]
            kept[0, i] = z + phi[d] if ones else z
        total += _at_logits(y, a, first, first + rows, kept)
        for i in range(first, first + rows):
            x, g = X[i], a[i] * kept[0, i]
            for j in range(d):
                grad[j] += g * x[j]
            if ones:
                grad[d] += g
            kept[2, i] = square_of(vector, U, i - first, p, width)
        for f in range(sums.shape[0]):
            for r in range(rows):
                i = first + r
                factor = kept[1, i] if f == 0 else c[i] * kept[0, i] * kept[0, i]
                gain[0] = a[i] * factor / largest[f]
                scale_row(gain[0], U, r, p, width, scaled)
            ahead = (first + ROWS) * d if f == 0 else flat_X.size
            add_lower(vector, rows, p, scaled, U, width, totals, f * width * width, flat_X, ahead)
    release(U)
    release(scaled)
    release(gain)
    return total


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _at_logits(y: Any, a: Any, first: Any, last: Any, kept: Any) -> float:
    """Residuals and curvatures in the place of logits; the sum of the losses."""
    total = 0.0
    for i in range(first, last):
        z = kept[0, i]
        e = exp_of_negative(-abs(z))
        q = e / (1.0 + e)
        total += a[i] * ((z if z > 0.0 else 0.0) - y[i] * z + log1p_up_to_one(e))
        kept[0, i] = q - (1.0 - y[i]) if z >= 0.0 else y[i] - q
        kept[1, i] = q * (1.0 - q)
    return total
