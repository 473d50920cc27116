"""A loss and its model by the columns of sparse rows, for coordinate descent; sums that Numba compiles.

CSR rows give all logits in one read, but the change of one weight asks for one column. A copy by columns (CSC), as
large as the rows, is made once. The logits of the present point are kept, so that a point on the way to another is
evaluated without a read, and a read gives a gradient alone.

The model is the loss to second order around the point: ``sum_i dz_i @ v_i + v_i @ H_i @ v_i / 2`` with the moves
``v_i`` of the logits of row i, ``H_i = s_i p_i (1 - p_i)`` of two classes and ``s_i (diag(p_i) - p_i p_i.T)`` of K.
Changes of weights are about the means of their columns, weighted by the curvature of the class: the intercept moves
with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.blocks import map_in_order, n_threads, row_blocks
from gpu_logreg.arrays.compiled import Loop
from gpu_logreg.arrays.csr import stored_in_a_row
from gpu_logreg.arrays.vector import CsrArray, Float64Matrix, Float64Vector, HostArray, IntVector
from gpu_logreg.mathematics.loss_protocols import Loss
from gpu_logreg.passes.cpu.column_sums import ColumnSums
from gpu_logreg.passes.cpu.sparse import sparse_curvature_sums
from gpu_logreg.rows.block import Rows

__all__ = ["CpuColumns", "bytes_of_columns"]

_cycles = Loop("gpu_logreg.passes.cpu.loops.columns", "cycles")
_multiply_rows = Loop("gpu_logreg.passes.cpu.loops.columns", "multiply_rows")
_weigh_rows = Loop("gpu_logreg.passes.cpu.loops.columns", "weigh_rows")
_weigh_rows_of_classes = Loop("gpu_logreg.passes.cpu.loops.columns", "weigh_rows_of_classes")

LEAST_ELEMENTS, ROWS_AT_ONCE = 2**16, 2**14
"""Elements of a part of a product, rows of a task that weighs them: some tenths of a millisecond."""


class Cycles(NamedTuple):
    """What cycles of coordinate descent did.

    Attributes
    ----------
    decrease : float
        Of the model.
    is_enough : bool
        Whether more of them would add next to nothing.
    kept : int
        Columns of the next cycle.
    intercept : float
        Change of the intercept.
    """

    decrease: float
    is_enough: bool
    kept: int
    intercept: float


class _Taken(NamedTuple):  # copies of some columns, as CSR rows, their numbers, and pairs of elements that share a row
    X: CsrArray
    at: IntVector
    pairs: float


def bytes_of_columns(X: CsrArray, n_logits: int) -> int:
    """Bytes that `CpuColumns` takes beside CSR rows: two copies of all elements, and sums over rows and columns."""
    n, d = X.shape
    copies = 2 * int(X.nnz) * (X.dtype.itemsize + 4)
    return int(copies + 8 * n * (11 * n_logits + 6) + 8 * d * (8 * n_logits + n_threads()))


class CpuColumns:
    """The mean loss of a linear model by columns, with a point and a model of the curvature there.

    Parameters
    ----------
    rows : Rows
        ``X`` in CSR, with fewer than 2**31 rows.
    loss : Loss
        Of two classes, or of K by K logits.
    total : float
        ``sum(s)``, by which sums over the rows are divided.
    fit_intercept : bool
    count : function float -> None
        Told of every walk over elements, as a share of all.

    Attributes
    ----------
    n_rows : int
    """

    def __init__(
        self, rows: Rows, loss: Loss, total: float, fit_intercept: bool, count: Callable[[float], None]
    ) -> None:
        X, y, s = rows
        self.n_rows, d = X.shape
        n, K = self.n_rows, loss.n_logits
        self._columns = ColumnSums(X, count)
        self._fit_intercept = fit_intercept
        self._y = np.ascontiguousarray(y, np.float64 if K == 1 else np.int64)
        self._s = np.full(n, 1.0 / total) if s is None else np.ascontiguousarray(s, np.float64) / total
        # Logits, residuals, curvatures and, for K classes, probabilities: here, and where a step was tried.
        self._here, self._tried = np.empty((2, 3 if K == 1 else 4, K, n))
        self._moves, self._hv, self._u = np.zeros((K, n)), np.empty((n, 2)), np.empty(n)
        self._h = self._here[2]  # of the model
        (self._mean, self._curvature), self._of_intercept = np.empty((2, K, d)), np.zeros(K)
        self._taken: _Taken | None = None

    # The point

    def place(self, W: Float64Matrix, b: Float64Vector) -> float:
        """Go to weights (K, d) and intercepts (K,); the mean loss there."""
        z = self._here[0]
        z[:] = b[:, None]
        for k, w in enumerate(W):
            at = np.flatnonzero(w)
            self._columns.add(at, w[at], z[k])
        return self._weigh(self._here)

    def try_step(self, t: float) -> float:
        """The mean loss at ``t`` times the move of the model."""
        z = self._tried[0]
        np.multiply(self._moves, t, out=z)
        z += self._here[0]
        return self._weigh(self._tried)

    def accept(self) -> None:
        """Go to where the last step was tried."""
        self._here, self._tried = self._tried, self._here

    def logits(self) -> Float64Matrix:
        """A copy of the logits at the present point, (K, n)."""
        z: Float64Matrix = self._here[0].copy()
        return z

    def go_to(self, z: Float64Matrix, taken: IntVector) -> None:
        """Go to a point by its logits, with copies of the columns ``taken``."""
        self._here[0] = z
        self._weigh(self._here)
        if len(taken):
            self._taken = self._copied(taken)

    def gradient(self) -> tuple[Float64Matrix, Float64Vector]:
        """Gradient of the mean loss by the weights, (K, d), and by the intercepts, (K,); one read."""
        r = self._here[1]
        return self._columns.of_all(r), r.sum(axis=1) if self._fit_intercept else np.zeros(len(r))

    # The model

    def expand(self, caution: float = 0.0) -> tuple[Float64Matrix, Float64Vector]:
        """A new model at the point, of which nothing has moved yet.

        Parameters
        ----------
        caution : float
            Share of a bound in the curvatures of the rows, which are exact at 0; for two classes.

        Returns
        -------
        curvature : ndarray of shape (K, d)
            Second derivatives by the weights with the ridge, while the intercept of the class is at its minimum, which
            `cycles` fills for the columns that it needs them of: 0 for columns that are constant but for rounding, and
            -1 for those not known.
        of_intercept : ndarray of shape (K,)
            Second derivatives by the intercepts; 0 without.
        """
        self._h = self._cautious(caution)
        self._mean[:], self._curvature[:], self._moves[:] = 0.0, -1.0, 0.0
        if self._fit_intercept:
            self._of_intercept = self._h.sum(axis=1)
        return self._curvature, self._of_intercept

    def cycles(
        self, k: int, at: IntVector, state: tuple[HostArray, ...], ends: tuple[float, ...], until: tuple[float, ...]
    ) -> Cycles:
        """Cycles of coordinate descent over the weights of class k in the columns ``at``, with steps of its intercept.

        Parameters
        ----------
        k, at
            The columns of the next cycle are the first of ``at`` at the end.
        state : (grad, w)
            Of this class, of shape (d,): see `gpu_logreg.passes.cpu.loops.columns.cycles`.
        ends : (l1, l2, margin, later_margin)
        until : (most, slowest, forcing, enough, so_far)
        """
        grad, w = state
        moves, of_others, hv = self._moves[k], self._of_others(k), self._hv
        hv[:, 0] = self._h[k]
        np.subtract(moves, of_others, out=hv[:, 1])
        of_intercept = float(self._of_intercept[k])
        of_model = hv, self._u, grad, self._mean[k], self._curvature[k], w
        slope = float(self._here[1, k].sum()) if self._fit_intercept else 0.0
        *found, walked = _cycles(*self._columns.arrays, at, *of_model, of_intercept, slope, *ends, *until)
        self._columns.count(walked)
        np.add(hv[:, 1], of_others, out=moves)
        return Cycles(*found)

    # Systems, of two classes

    def take(self, at: IntVector) -> None:
        """Copy some columns, for `hessian` and for products; of two classes."""
        self._taken = self._copied(at)
        self._columns.count(self._taken.X.nnz)

    def _copied(self, at: IntVector) -> _Taken:
        X = self._columns.take(at)
        lengths = np.diff(X.indptr)
        return _Taken(X, at, 0.5 * float(np.vdot(lengths, lengths)))

    @property
    def taken(self) -> IntVector:
        """The columns that were copied last, for whichever model."""
        return np.empty(0, np.int64) if self._taken is None else self._taken.at

    @property
    def n_taken(self) -> tuple[int, float]:
        """Elements of these, and pairs of them that share a row: operations for the Hessian."""
        return (0, 0.0) if self._taken is None else (int(self._taken.X.nnz), self._taken.pairs)

    def hessian(self) -> Float64Matrix:
        """Of the model by the weights of the columns that were taken, about their means."""
        assert self._taken is not None
        H, sums = sparse_curvature_sums(self._taken.X, self._h[0])
        self._columns.count(self._taken.X.nnz)
        if self._fit_intercept:
            H -= sums[:, None] * (sums / self._of_intercept[0])
        return H

    def slopes(self, at: IntVector) -> tuple[Float64Vector, float]:
        """Gradient of the model, as far as it has moved, by weights about their means, and by the intercept."""
        dz = self._here[1] + self._h * self._moves
        by_intercept = float(dz.sum())
        sums = self._columns.of_some([at], dz)[0] - self._mean[0, at] * by_intercept
        return sums, by_intercept if self._fit_intercept else 0.0

    def product(self, at: IntVector, v: Float64Vector, v_b: float) -> tuple[Float64Vector, float]:
        """The Hessian of the model times changes of some weights that were taken, about their means."""
        assert self._taken is not None
        (X, taken, _), mean = self._taken, self._mean[0, at]
        place, weights = np.searchsorted(taken, at), np.zeros(len(taken))
        weights[place] = v
        shift = v_b - float(mean @ v)
        self._columns.count(X.nnz)

        def of_part(part: slice) -> tuple[HostArray, float]:
            sums, rows = np.zeros(len(weights)), (X.data, X.indices, X.indptr)
            return sums, _multiply_rows(*rows, self._h[0], weights, shift, part.start, part.stop, sums)

        parts = map_in_order(of_part, row_blocks(self.n_rows, stored_in_a_row(X), LEAST_ELEMENTS), short=True)
        by_intercept, total = math.fsum(found for _, found in parts), np.zeros(len(weights))
        for sums, _ in parts:
            total += sums
        return total[place] - mean * by_intercept, by_intercept if self._fit_intercept else 0.0

    def move(self, at: IntVector, v: Float64Vector, v_b: float) -> float:
        """Move the model by changes of some weights about their means; the change of the intercept."""
        self._columns.add(at, v, self._moves[0])
        change = v_b - float(self._mean[0, at] @ v)
        self._moves += change
        return change

    def _cautious(self, caution: float) -> Any:
        """Curvatures of the rows, or a mean of them and of a bound, with which the model is nowhere below the loss.

        The parabola that touches the loss of two classes at the logits ``z`` and ``-z`` has the second derivative
        ``tanh(z / 2) / (2 z)``, and is above the loss elsewhere (T. Jaakkola and M. Jordan, "Bayesian parameter
        estimation via variational methods", 2000).
        """
        z, h = self._here[0], self._here[2]
        if caution == 0.0 or len(z) > 1:
            return h
        far = np.maximum(np.abs(z), 1e-4)
        return (1.0 - caution) * h + caution * (self._s * np.tanh(0.5 * far) / (2.0 * far))

    def _of_others(self, k: int) -> Any:
        """Mean move of the logits of the other classes, weighted by their probabilities, which class k is moved by."""
        moves = self._moves
        if len(moves) == 1:
            return 0.0
        p = self._here[3]
        others = np.einsum("kn,kn->n", p, moves) - p[k] * moves[k]
        rest = p.sum(axis=0) - p[k]
        return np.where(rest > 0.0, others / np.where(rest > 0.0, rest, 1.0), 0.0)

    def _weigh(self, state: HostArray) -> float:
        """Fill residuals, curvatures and probabilities at logits; the mean loss."""
        y, s, K = self._y, self._s, state.shape[1]

        def of_rows(part: slice) -> float:
            ends = part.start, part.stop
            if K == 1:
                return float(_weigh_rows(*state[:1, 0], y, s, *ends, *state[1:, 0]))
            return float(_weigh_rows_of_classes(state[0], y, s, *ends, *state[1:]))

        return math.fsum(map_in_order(of_rows, row_blocks(len(y), K, ROWS_AT_ONCE)))
