"""An independent certificate for fits of logistic regression, in long double; shares no code with the package.

For rows as they are given it has the objective ``C sum(s row_loss) + r |w|_1 + (1 - r) |w|**2 / 2`` divided by
``C sum(s)``, a point near its minimum from a damped Newton's method of its own, and a lower bound of the minimum.
A fit whose value exceeds that of the point is not at the minimum, whatever the bound says; one that is within the
tolerance of the bound is, whatever the point says.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from exact_objective import WIDE, Exact, Standard
from lower_bounds import lower_bound
from newton_steps import line_search, newton_step, polished, step_by_root

HARD = 12
"""Iterations beyond which the Hessian is suspected of having lost small curvatures."""


class Truth(NamedTuple):
    """A point near the minimum, and what is known of the minimum; values are divided by ``C sum(s)``.

    ``lower <= minimum <= upper``, up to rounding in long double. Where the classes are separable and nothing is
    penalised there is no minimum, and ``lower`` is 0.
    """

    lower: float
    upper: float
    separable: bool
    coef: np.ndarray
    intercept: np.ndarray
    n_iter: int


def find_truth(exact: Exact, max_iter: int = 300) -> Truth:
    """A point near the minimum, and a lower bound of the minimum."""
    problem = Standard(exact)
    u = problem.start()
    value, lower, separable = problem.value(u), WIDE(0), False
    n_iter = 0
    if problem.n_columns == 0:
        return Truth(float(value), float(value), False, *problem.given(u), 0)
    for n_iter in range(1, max_iter + 1):
        if exact.l1 == exact.l2 == 0 and value < math.log(2.0) * exact.least_weight:
            separable = True  # every row is on its right side: the loss falls to 0 along this direction
            break
        grad, H = problem.derivatives(u)
        step, left = newton_step(problem, u, grad, H)
        moved = line_search(problem, u, value, step, left)
        if exact.l1 == 0 and (moved is None or n_iter > HARD):
            by_root = step_by_root(problem, u, grad)
            other = line_search(problem, u, value, *by_root)
            if moved is None or (other is not None and other[1] < moved[1]):
                moved, left = other, by_root[1]
        if moved is None or left <= WIDE(1e-17) * value:
            break
        u, value = moved
    if not separable:
        u = polished(problem, u)
        value = min(value, problem.value(u))
        lower = max(lower, lower_bound(problem, u, value))
    coef, intercept = problem.given(u)
    return Truth(float(lower), float(value), separable, coef, intercept, n_iter)
