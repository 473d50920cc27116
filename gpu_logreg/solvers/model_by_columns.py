"""The minimum of a model of the loss plus an L1 penalty, by columns: coordinate descent, and systems of what is left.

1. Cycles of coordinate descent, one column after the other, find which weights are zero.
2. The weights that are not zero then solve their linear system, roughly, by conjugate gradients with the diagonal as
   preconditioner: coordinate descent is slow where columns are correlated. Weights that would change their sign on the
   way become zero instead, and 1 follows: see `gpu_logreg.solvers.signed_system`.
3. Where products with the Hessian have taken as long as the Hessian of the few columns that are left would, the problem
   of these is solved in memory instead: `gpu_logreg.solvers.coordinate_descent`.

2 and 3 are for two classes. With K classes only 1 is done, class after class; a constant that all weights of a column
share changes no loss, and the one with the least penalty is taken off.

Source: G.-X. Yuan, C.-H. Ho and C.-J. Lin, "An improved GLMNET for L1-regularized logistic regression" (2012), for 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpu_logreg.arrays.vector import Float64Matrix, Float64Vector, IntVector
from gpu_logreg.mathematics.penalty import least_shift
from gpu_logreg.solvers.coordinate_descent import model_minimum
from gpu_logreg.solvers.loss_by_columns import LossByColumns
from gpu_logreg.solvers.signed_system import signed_step

__all__ = ["SLOWEST", "Minimum", "minimum_of_model"]

MAX_CYCLES = 100
"""Cycles of one model: after them it is left where it is, and the next point shows more."""

SLOWEST = 0.99
"""Decrease by a cycle relative to that by the one before, above which it tells nothing of what is left."""

CYCLES_FIRST, CYCLES_AGAIN, CYCLES_LATER = 5, 3, 8
"""Most cycles before the first system, the same after a model that took systems too, and after each system: they find
most zeros, and zeros change the system."""

LEFT_OUT, MARGIN, LATER_MARGIN = 0.1, 0.2, 0.02
"""Shares of the L1 strength. Zeros are not in the model if their gradient is smaller than the strength by the first;
those with one that is smaller by the second after the first cycle, and by the third later, are left out of the next."""

LEAST_PRODUCTS, LARGEST_SYSTEM = 20, 2500
"""Least products that a system is expected to take, and columns up to which it may be solved in memory."""

MOST_TAKEN = 1.25
"""Columns copied for another model, relative to those that are left, up to which the copies serve again."""

PER_PRODUCT, PER_ROW, PER_PAIR, PER_CUBE = 2.4, 2.0, 2.3, 0.05
"""Nanoseconds on one core, about: for an element and for a row in a product, for a pair of elements of a row in a
Hessian, and, for each cubed number of columns, for its system. Only their ratios matter."""


class Minimum(NamedTuple):
    """Where a model is minimal, roughly.

    Attributes
    ----------
    W, db : ndarrays of shape (K, d) and (K,)
        Weights, and changes of the intercepts.
    decrease, products : float, int
        Of the model, and products with its Hessian that it took.
    is_enough : bool
        Whether more cycles would add next to nothing; else there were too many.
    """

    W: Float64Matrix
    db: Float64Vector
    decrease: float
    products: int
    is_enough: bool


def minimum_of_model(
    columns: LossByColumns,
    W: Float64Matrix,
    grad: Float64Matrix,
    strengths: tuple[float, float],
    forcing: float,
    enough: float,
    expected: int = 0,
    caution: float = 0.0,
) -> Minimum:
    """Minimise the model around the point of ``columns``, whose weights are ``W``.

    Parameters
    ----------
    columns : LossByColumns
    W, grad : ndarrays of shape (K, d)
        Weights, and the gradient of the loss with the ridge there; neither is changed.
    strengths : (l1, l2)
    forcing : float
        The model is done once further cycles would lower it by no more than this share of its decrease so far,
    enough : float
        or by no more than this.
    expected : int
        Products that the last model took.
    caution : float
        From 0, for the exact curvature of the rows, to 1, for one with which the model is nowhere below the loss.
    """
    model = _Model(columns, W, grad, strengths, caution)
    if len(W) > 1:
        is_enough = _cycle_by_class(model, forcing, enough)
    else:
        is_enough = _cycles_and_systems(model, forcing, enough, expected)
    return Minimum(model.w, model.db, max(0.0, model.decrease), model.products, is_enough)


def _cycle_by_class(model: _Model, forcing: float, enough: float) -> bool:
    """Cycles through all classes, one at a time in each, to where more would add next to nothing; whether that is so.

    The rate of cycles tells, which one cycle does not: where columns are nearly equal it lowers the model by little,
    and so do the thousands that follow.
    """
    before = 0.0
    for n in range(MAX_CYCLES):
        last = model.cycle(MARGIN if n == 0 else LATER_MARGIN)
        rate, before = min(last / before, SLOWEST) if before > 0.0 else SLOWEST, last
        if last * rate <= max(forcing * model.decrease, enough) * (1.0 - rate):
            return True
    return False


def _cycles_and_systems(model: _Model, forcing: float, enough: float, expected: int) -> bool:
    """Cycles of two classes, and then systems with cycles after each; whether more would add next to nothing."""
    first = min(CYCLES_AGAIN if expected else CYCLES_FIRST, MAX_CYCLES)
    if model.cycles(first, MARGIN, forcing, enough):
        return True
    for _ in range(first, MAX_CYCLES, CYCLES_LATER):
        model.take(max(expected, LEAST_PRODUCTS))
        if not model.solve_in_memory(forcing):
            model.solve(forcing, enough)
        if model.cycles(CYCLES_LATER, LATER_MARGIN, forcing, enough):
            return True
    return False


class _Model:
    """The model, moved so far; its attributes are those of `Minimum`, with ``w`` for the weights."""

    def __init__(
        self,
        columns: LossByColumns,
        W: Float64Matrix,
        grad: Float64Matrix,
        strengths: tuple[float, float],
        caution: float,
    ) -> None:
        self._columns, (self._l1, self._l2) = columns, strengths
        self.w, self._grad = W.copy(), grad.copy()
        self.db, self.decrease, self.products = np.zeros(len(W)), 0.0, 0
        wanted = (W != 0.0) | (np.abs(grad) >= (1.0 - LEFT_OUT) * self._l1)
        self._curvature, self._of_intercept = columns.expand(caution)
        self._chosen = [np.flatnonzero(of_class) for of_class in wanted]
        self._left = [at.copy() for at in self._chosen]
        self._taken = np.empty(0, np.int64)
        self._H: Float64Matrix | None = None
        self._costs = _Costs(1.0, 0.0, 0)

    def cycle(self, margin: float) -> float:
        """Coordinate descent once over every class; the decrease."""
        start = self.decrease
        for k in range(len(self.w)):
            self._cycles(k, (margin, margin), (1, SLOWEST, 0.0, 0.0, 0.0))
        self.decrease += self._shift()
        return self.decrease - start

    def cycles(self, most: int, margin: float, forcing: float, enough: float) -> bool:
        """Coordinate descent, of two classes, until more of it would add next to nothing; whether that is so."""
        return self._cycles(0, (margin, LATER_MARGIN), (most, SLOWEST, forcing, enough, self.decrease))

    def _cycles(self, k: int, margins: tuple[float, float], until: tuple[float, ...]) -> bool:
        state, at = (self._grad[k], self.w[k]), self._left[k]
        ends = self._l1, self._l2, margins[0] * self._l1, margins[1] * self._l1
        done = self._columns.cycles(k, at, state, ends, until)
        self._left[k] = at[: done.kept]
        self.db[k] += done.intercept
        self.decrease += done.decrease
        return bool(done.is_enough)

    def _shift(self) -> float:
        """Take off the weights of every column what all classes may share, which changes no loss; the decrease."""
        at = np.flatnonzero(2 * np.count_nonzero(self.w, axis=0) > len(self.w))  # else the least penalty is at 0
        before = self.w[:, at]
        shift = least_shift(before, self._l1, self._l2)
        after = before - shift
        self.w[:, at] = after
        self._grad[:, at] -= self._l2 * shift
        change = self._l1 * (np.abs(after) - np.abs(before)) + 0.5 * self._l2 * (after * after - before * before)
        return -float(change.sum())

    def take(self, expected: int) -> None:
        """Have the columns that are left copied, for systems of their weights, where no copies are at hand."""
        taken, support = self._columns.taken, np.flatnonzero(self.w[0])
        if len(self._taken) == 0 and len(taken) > MOST_TAKEN * len(self._left[0]):
            taken = self._taken  # of an earlier model, and mostly of zeros
        if not np.isin(support, taken).all():
            taken = np.sort(self._left[0])
            self._columns.take(taken)
        if taken is self._taken:
            return
        self._taken, self._H = taken, None
        n_elements, pairs = self._columns.n_taken
        product = PER_PRODUCT * n_elements + PER_ROW * self._columns.n_rows
        self._costs = _Costs(product, PER_PAIR * pairs + PER_CUBE * len(taken) ** 3, expected)

    def solve_in_memory(self, forcing: float) -> bool:
        """Minimise over the columns that were taken with their Hessian in memory, where that costs less."""
        at = self._taken
        if not 0 < len(at) <= LARGEST_SYSTEM or not self._costs.in_memory(self.products):
            return False
        if self._H is None:
            self._H = self._columns.hessian()
            self._H.flat[:: len(at) + 1] += self._l2
        before = self.w[0, at]
        slope, slope_b = self._columns.slopes(at)
        strengths = np.full(len(at), self._l1)
        goal, decrease = model_minimum(self._H, slope + self._l2 * before, before, strengths, 0.1 * forcing**0.5)
        step_b = -slope_b / self._of_intercept[0] if self._of_intercept[0] > 0.0 else 0.0
        return self._go(at, before, goal, step_b, decrease)

    def solve(self, forcing: float, enough: float) -> bool:
        """Solve for the weights that are not zero, roughly; those that would change their sign become zero."""
        support = self._taken[self.w[0, self._taken] != 0.0]
        before = self.w[0, support]
        if not len(before):
            return False
        slope, slope_b = self._columns.slopes(support)
        slope += self._l2 * before + self._l1 * np.sign(before)
        of_intercept = float(self._of_intercept[0])
        inverse = 1.0 / np.append(self._curvature[0, support], of_intercept if of_intercept > 0.0 else 1.0)

        def product(v: Float64Vector) -> Float64Vector:
            of_weights, of_b = self._columns.product(support, v[:-1], float(v[-1]))
            return np.append(of_weights + self._l2 * v[:-1], of_b)

        found = signed_step(product, np.append(before, 0.0), np.append(slope, slope_b), inverse, forcing, enough)
        self.products += found.products
        return self._go(support, before, before + found.step[:-1], float(found.step[-1]), found.decrease)

    def _go(self, at: IntVector, before: Float64Vector, goal: Float64Vector, step_b: float, decrease: float) -> bool:
        """Move the model to where the weights ``at`` are ``goal``, if that lowers it."""
        if not decrease > 0.0:
            return False
        self.db += self._columns.move(at, goal - before, step_b)
        self.decrease += decrease
        self.w[0, at] = goal
        self._grad[0, at] += self._l2 * (goal - before)
        self._left = [chosen.copy() for chosen in self._chosen]
        return True


class _Costs(NamedTuple):
    """Times of a product and of a system in memory, and products that are expected."""

    product: float
    system: float
    expected: int

    def in_memory(self, products: int) -> bool:
        """Whether products, those expected or those that there were, take as long as the system in memory."""
        return self.system <= self.product * max(products, self.expected)
