"""A model of an objective by the loss of a sample of its rows, with the exact gradient of all.

``q(phi) = f(phi) + (g - grad f(x)) @ (phi - x)``, with ``f`` the loss of the sample and the penalty, and ``g`` the
gradient of all rows at the present point ``x``. No Hessian serves where steps change what rows have curvature, as of
many classes of which some have few rows, in columns of enormous values; the loss itself knows. The minimum of ``q``
costs walks over the sample alone, and then one read follows. Far from the minimum the gradient is left out: the loss of
a sample is a better model there than one with a slope that is right near ``x`` only, and may fall along it for ever.

Source: O. Shamir, N. Srebro and T. Zhang, "Communication-efficient distributed optimization using an approximate
Newton-type method" (2014).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.solvers import Objective
from gpu_logreg.solvers.line_search import Trial, strong_wolfe
from gpu_logreg.solvers.marquardt import FIRST_DAMPING, CurvedLoss, marquardt_minimum

__all__ = ["SampledLoss", "SampledModel"]

MISSED = 0.1
"""Share of a predicted decrease by which a step may miss it before other rows are drawn."""

LARGEST_SHARE = 0.5
"""Share of the value that one step is to take off: what samples promise beyond, rows outside of them may refuse."""

FAR, CLOSE = 0.3, 0.01
"""Share by which a step may miss its decrease, and share of the value that it is to take off at least, before gradients
of all rows correct the loss of the sample."""

MOST_REFUSED = 3
"""Steps in succession that may be refused before shorter ones are tried. A guess."""

MOST_SLOW = 2
"""Slow steps in succession on a sample, without the gradient of all rows, that end the search for its minimum."""

AS_GOOD = 1e-10
"""Decrease over the value below which how far it was missed tells of rounding too."""


class SampledLoss(CurvedLoss, Protocol):
    """The loss of a sample and the penalty."""

    @property
    def coordinates(self) -> Any:
        """Of packed vectors."""


class SampledModel:
    """The model ``q``, and when its rows are drawn anew.

    Parameters
    ----------
    loss_at : function (params, near) -> SampledLoss
        Of rows that are drawn by their curvature there; of few, unless it is near the minimum.
    params : ndarray of shape (p,)
    objective : Objective, optional
        What steps evaluate, where that scores rows for the next sample; None for the objective of the fit.
    """

    has_scale = True

    def __init__(
        self,
        loss_at: Callable[[Float64Vector, bool], SampledLoss],
        params: Float64Vector,
        objective: Objective | None = None,
    ) -> None:
        self._loss_at, self._objective = loss_at, objective
        self._loss: SampledLoss = loss_at(params, False)
        self._damping, self._predicted = FIRST_DAMPING, 0.0
        self._near, self._exact = False, False
        self._refused = 0

    def restart(self, model: Any = None) -> None:
        """Nothing: steps teach the model nothing that could be wrong."""

    def recover(self, here: Trial, remaining: float) -> bool:
        """Other rows, and more of them, or with the gradient of all; false where that has not helped."""
        self._refused += 1
        if self._refused > MOST_REFUSED:
            return False
        self._exact |= self._near
        self._near = True
        self._draw(here.params)
        return True

    def search(self, objective: Objective, start: Trial, direction: Float64Vector, budget: int) -> Trial | None:
        """The whole step; a shorter one only where samples have been drawn in vain.

        A step is refused for rows outside of the sample. To draw these costs less than to try shorter steps.
        """
        if self._refused < MOST_REFUSED:
            budget = 1
        return strong_wolfe(self._objective or objective, start, direction, 1.0, budget=budget)

    def propose(self, here: Trial) -> tuple[Float64Vector, float, float]:
        """The way to the minimum of the model, the slope along it, and the remaining decrease."""
        columns = self._loss.coordinates
        x = columns.from_params(here.params)
        slopes = columns.grad_to_phi(here.grad) - self._loss(x)[1] if self._exact else np.zeros_like(x)
        enough = LARGEST_SHARE * abs(here.value)
        most_slow = math.inf if self._exact else MOST_SLOW
        found = marquardt_minimum(self._loss, x, slopes, self._damping, enough, most_slow)
        moved, self._predicted, self._damping = found
        way: Float64Vector = columns.to_params(moved)
        return way, float(here.grad @ way), self._predicted if self._exact else abs(here.value)

    def learn(self, before: Trial, after: Trial) -> None:
        """Draw other rows where the decrease was not as predicted."""
        missed = abs(before.value - after.value - self._predicted)
        self._refused = 0
        self._near = self._near or self._predicted < LARGEST_SHARE * abs(before.value)
        if not self._exact:
            misleads = after.step != 1.0 or missed > FAR * self._predicted
            self._exact = self._near and (misleads or self._predicted < CLOSE * abs(before.value))
            self._draw(after.params)
        elif after.step != 1.0 or missed > MISSED * self._predicted + AS_GOOD * abs(after.value):
            self._draw(after.params)

    def _draw(self, params: Float64Vector) -> None:
        self._loss = self._loss_at(params, self._near)
