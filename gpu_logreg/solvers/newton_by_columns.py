"""Proximal Newton by columns, for an L1 penalty on many weights: the exact curvature of every row at every point.

1. One read gives the gradient by all weights. Those that are zero, and whose gradient is well below the strength of the
   penalty, are left out of the model of the loss that is minimised next.
2. The model, with the penalties, is minimised roughly, and better from point to point: see
   `gpu_logreg.solvers.model_by_columns`. It asks for sums over columns, and never for a Hessian.
3. The next point is the minimum of the model, or a part of the way to it. It is evaluated without a read, from logits
   that are kept. Weights that were left out wrongly come in with the next gradient.

Source: G.-X. Yuan, C.-H. Ho and C.-J. Lin, "An improved GLMNET for L1-regularized logistic regression" (2012).
"""

from __future__ import annotations

import functools
import math

import numpy as np

from gpu_logreg.arrays.vector import Array, Float64Matrix, Float64Vector
from gpu_logreg.mathematics.penalty import duality_gap, l2_penalty, subgradient
from gpu_logreg.solvers import Iteration, Observer, SavedState, SolverResult
from gpu_logreg.solvers.criteria import DECREASE_PER_TOL
from gpu_logreg.solvers.iteration_loop import NO_LOWER
from gpu_logreg.solvers.line_search import SUFFICIENT_DECREASE
from gpu_logreg.solvers.loss_by_columns import LossByColumns
from gpu_logreg.solvers.model_by_columns import SLOWEST, Minimum, minimum_of_model
from gpu_logreg.solvers.proximal import SUPPORT

__all__ = ["newton_by_columns"]

ROUGHLY, LEAST_FORCING = 0.3, 1e-3
"""Decrease by a cycle, relative to that of the model so far, with which the first and the last models are done."""

ENOUGH = 0.1
"""Decrease of a model, relative to what may remain at the end, that is not looked for."""

LESS_CAUTION, LEAST_CAUTION = 0.25, 0.01
"""After a step that had to be cut the next model is nowhere below the loss, and after every other a quarter as far from
the exact one: far from the minimum, rows whose probabilities are next to certain have curvatures that grow as they
move, and the exact model leads too far. Of some factors that were tried."""

SHORTEST = 2.0**-30
"""Part of the way to the minimum of a model below which no lower value is looked for."""

NO_SLOPE = 1e-13
"""Derivative by an intercept, a mean of residuals of at most 1, that is rounding."""

ROUNDING, VALUE_ROUNDING = 4.0 * float(np.finfo(np.float64).eps), 2.0 * float(np.finfo(np.float64).eps)
"""Rise of a value, relatively, that passes for rounding; and remaining decrease that no value can show."""


def newton_by_columns(
    columns: LossByColumns,
    start: Float64Vector,
    shape: tuple[int, int],
    *,
    l1: float,
    l2: float = 0.0,
    tol: float = 1e-6,
    max_iter: int = 1000,
    observer: Observer | None = None,
    saved: SavedState | None = None,
) -> SolverResult:
    """Minimise the mean loss plus ``l1 |W|_1 + l2 |W|**2 / 2``; intercepts are not penalised.

    Stops where no element of the subgradient of least norm exceeds ``tol``, or a hundredth of ``l1``, and the remaining
    decrease is at most ``1e-3 tol`` of the value, as far as the decreases of the last models tell; and where that is
    below the rounding of the value, and at most ``tol**2`` of it.

    Parameters
    ----------
    columns : LossByColumns
    start : ndarray of shape (p,)
        Packed ``[w_1, b_1, ..., w_K, b_K]``, without intercepts where there are none.
    shape : (K, d)
        Of the weights.
    l1, l2 : float
        ``l1 > 0``.
    tol, max_iter, observer
        As for `gpu_logreg.solvers.proximal.proximal`.
    saved : SavedState or None
        Where to go on from, and where to keep the state of every iteration.

    Returns
    -------
    SolverResult
        ``grad`` is the subgradient; ``smooth_grad`` the gradient of loss and ridge at the same point.
    """
    walk, first = _Walk(columns, start, shape, l1, l2), 0
    if saved is not None and (state := saved.last()) is not None:
        first = walk.go_on_from(state)
    limit, goal, least = min(tol, SUPPORT * l1), DECREASE_PER_TOL * tol, min(VALUE_ROUNDING, tol * tol)
    for n_iter in range(first, max_iter + 1):
        if saved is not None:
            saved.keep(functools.partial(walk.state, n_iter))
        walk.look()
        relative = walk.remaining / max(abs(walk.value), 1e-300)
        hidden = relative <= (NO_LOWER if walk.stuck else least)
        converged = hidden or (walk.largest <= limit and relative <= goal)
        over = converged or walk.stuck or n_iter == max_iter
        here = Iteration(n_iter, walk.params, walk.value, walk.largest, walk.step, over, walk.remaining)
        stopped = n_iter > 0 and observer is not None and bool(observer(here)) and not over
        if over or stopped:
            ended = "no lower value found, " if walk.stuck else f"max_iter = {max_iter} reached "
            message = "stopped by a callback" if stopped else walk.message("" if converged else f"{ended}with ")
            return walk.result(n_iter, converged, message)
        walk.go(goal * abs(walk.value))
    raise AssertionError("the last iteration returns")


class _Walk:
    """The present point, and what the last models have told.

    Attributes
    ----------
    value : float
        With all penalties.
    largest : float
        Largest element of the subgradient of least norm.
    remaining : float
        Estimate of how much lower the minimum is.
    step : float
        Part of the way to the minimum of the model that was gone last.
    stuck : bool
        Whether no lower value was found.
    """

    def __init__(
        self, columns: LossByColumns, start: Float64Vector, shape: tuple[int, int], l1: float, l2: float
    ) -> None:
        by_class = start.reshape(shape[0], -1)
        self.columns, self.l1, self.l2 = columns, l1, l2
        self.W = by_class[:, : shape[1]].copy()
        self.fit_intercept = by_class.shape[1] > shape[1]
        self.b = by_class[:, -1].copy() if self.fit_intercept else np.zeros(shape[0])
        self.value = columns.place(self.W, self.b) + self._penalties(self.W)
        self.curve = [self.value]
        self.remaining, self.step, self.stuck = math.inf, 1.0, False
        self._decrease, self._forcing, self._products = math.inf, ROUGHLY, 0
        self._caution = 0.0

    def state(self, n_iter: int) -> dict[str, Array]:
        """A copy of all that the next iterations depend on."""
        numbers = self.value, self.remaining, self.step, self.stuck, self._decrease, self._forcing, self._caution
        return {
            "counts": np.array([n_iter, self._products]),
            "numbers": np.array(numbers, np.float64),
            "curve": np.array(self.curve),
            "W": self.W.copy(),
            "b": self.b.copy(),
            "z": self.columns.logits(),
            "taken": self.columns.taken,
        }

    def go_on_from(self, state: dict[str, Array]) -> int:
        """Go to where a state was copied; the number of its iteration."""
        self.value, self.remaining, self.step, stuck, self._decrease, self._forcing, self._caution = map(
            float, state["numbers"]
        )
        self.stuck, self.curve = bool(stuck), [float(value) for value in state["curve"]]
        self.W, self.b = state["W"], state["b"]
        self.columns.go_to(state["z"], state["taken"])
        n_iter, self._products = map(int, state["counts"])
        return n_iter

    @property
    def params(self) -> Float64Vector:
        """Packed."""
        return self._packed(self.W, self.b)

    def _packed(self, W: Float64Matrix, b: Float64Vector) -> Float64Vector:
        return np.column_stack([W, b]).ravel() if self.fit_intercept else W.ravel()

    def _penalties(self, W: Float64Matrix) -> float:
        return self.l1 * float(np.abs(W).sum()) + l2_penalty(W.ravel(), self.l2)[0]

    def look(self) -> None:
        """The gradient at the present point; one read."""
        dW, self.db = self.columns.gradient()
        self.dW = dW if self.l2 == 0.0 else dW + self.l2 * self.W
        # Of most weights, which are zero with a gradient below the strength, the subgradient is 0; not of NaN.
        self.V, at = np.zeros_like(dW), np.nonzero((self.W != 0.0) | ~(np.abs(self.dW) <= self.l1))
        w = self.W[at]
        self.V[at] = of_some = subgradient(w, self.dW[at], np.full(len(w), self.l1))
        of_weights = float(np.abs(of_some).max(initial=0.0))
        self.largest = max(of_weights, float(np.abs(self.db).max(initial=0.0)))
        if of_weights == 0.0 and self.largest <= NO_SLOPE:
            self.remaining = 0.0

    def go(self, goal: float) -> None:
        """To the minimum of a model, or as much of the way as lowers the value by its due."""
        enough = ENOUGH * goal if self.remaining > goal else 0.0
        found = minimum_of_model(
            self.columns, self.W, self.dW, (self.l1, self.l2), self._forcing, enough, self._products, self._caution
        )
        self._products = found.products
        at = np.nonzero((found.W != 0.0) | (self.W != 0.0))
        change = found.W[at] - self.W[at]
        slope = float(self.dW[at] @ change + self.db @ found.db)
        due = slope + self.l1 * float((np.abs(found.W[at]) - np.abs(self.W[at])).sum())
        noise, t = ROUNDING * abs(self.value), 1.0
        while t >= SHORTEST:
            W = found.W if t == 1.0 else self.W + t * (found.W - self.W)
            value = self.columns.try_step(t) + self._penalties(W)
            if value <= self.value + max(SUFFICIENT_DECREASE * t * due, noise):
                break
            t *= 0.5
        else:
            self.stuck, self.remaining = True, found.decrease
            return
        self.columns.accept()
        self.W, self.b, self.value, self.step = W, self.b + t * found.db, value, t
        self.curve.append(value)
        self._learn(found, goal)

    def _learn(self, found: Minimum, goal: float) -> None:
        """What remains, and how well the next model is to be minimised.

        A model that is minimised to a share ``forcing`` of its decrease leaves that share, and the error of the model
        itself: together about as much, relative to the decrease, as the last step left of the one before. The steps
        that follow lower the value at that rate, or at a slow one where the model was left before its minimum.
        """
        rate = max(self._forcing, found.decrease / max(self._decrease, 1e-300)) if found.is_enough else SLOWEST
        rate = min(rate, SLOWEST)
        is_known = self.step == 1.0 and math.isfinite(self._decrease)
        self.remaining = found.decrease * (rate / (1.0 - rate) if is_known else 1.0)
        self._decrease = found.decrease
        less = LESS_CAUTION * self._caution
        self._caution = 1.0 if self.step < 1.0 else less if less >= LEAST_CAUTION else 0.0
        relative = found.decrease / max(abs(self.value), 1e-300)
        self._forcing = min(
            ROUGHLY, max(LEAST_FORCING, math.sqrt(relative), ENOUGH * goal / max(found.decrease, 1e-300))
        )

    def message(self, before: str) -> str:
        """The criterion with its figures."""
        kept, n_columns = int((self.W != 0.0).any(axis=0).sum()), self.W.shape[1]
        return (
            f"{before}max |subgradient| = {self.largest:.2g} by all {n_columns} columns, of which {kept} have weights"
        )

    def result(self, n_iter: int, converged: bool, message: str) -> SolverResult:
        """The present point as a result."""
        gap = duality_gap(self.value, self.W.ravel(), self.V.ravel(), self.l1, self.l2)
        if converged:
            message += f"; duality gap at most {gap:.2g}"
        grad, smooth = self._packed(self.V, self.db), self._packed(self.dW, self.db)
        ends = n_iter, converged, message, self.curve, gap
        return SolverResult(self.params, self.value, grad, *ends, smooth_grad=smooth, stuck=self.stuck)
