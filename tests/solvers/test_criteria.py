"""When a solver is done: every clause of the criteria by a point made for it."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from gpu_logreg.solvers.criteria import (
    PLATEAU,
    PLATEAU_FALL,
    ROUNDED_PLATEAU,
    TIGHT_RATE,
    Optimality,
    Plateau,
    below,
    stop_by_rounding,
)
from gpu_logreg.solvers.line_search import Trial

TOL, DECREASE = 1e-4, 1e-3


def point(grad_max: float, value: float = 2.0) -> Trial:
    return Trial(1.0, np.zeros(2), value, -1.0, np.array([0.0, -grad_max]))


def objective(rounding: float = 1e-12, precision: float = 1e-9, separable_below: float = 0.0):
    return SimpleNamespace(rounding=rounding, precision=precision, separable_below=separable_below)


@pytest.mark.parametrize(
    ("grad_max", "share", "stops"), [(0.9, 0.9, True), (0.9, 1.1, False), (1.1, 0.9, False), (math.nan, 0.9, False)]
)
def test_gradient_and_remaining_decrease_are_both_small(grad_max, share, stops):
    optimal = Optimality(objective(), TOL, DECREASE)
    stop = optimal(point(grad_max * TOL), share * DECREASE * TOL * 2.0)
    assert (stop is not None) == stops
    if stop is not None:
        assert stop.converged
        assert stop.message == "max |grad| = 9e-05 <= tol = 0.0001"


def test_a_decrease_that_no_value_shows_ends_a_fit_whatever_its_gradient():
    stop = Optimality(objective(), TOL, DECREASE)(point(1.0), 1e-17)
    assert stop is not None
    assert stop.converged
    assert "below the rounding of the objective" in stop.message
    assert Optimality(objective(), 1e-10, DECREASE)(point(1.0), 1e-17) is None  # the square of tol is smaller


@pytest.mark.parametrize(("rate", "stops"), [(0.9 * TIGHT_RATE, True), (2.0 * TIGHT_RATE, False)])
@pytest.mark.parametrize("least_rate", [0.0, 0.05])
def test_one_step_more_must_leave_next_to_nothing(rate, stops, least_rate):
    optimal = Optimality(objective(), TOL, DECREASE, least_rate)
    remaining = 0.999 * DECREASE * TOL * 2.0
    assert optimal(point(1.0), remaining / rate) is None
    assert (optimal(point(0.5 * TOL), remaining) is not None) == (stops and least_rate == 0.0)


def test_a_weak_penalty_asks_for_a_smaller_subgradient():
    optimal = Optimality(objective(), TOL, DECREASE, limit=0.01 * TOL, measure="max |subgradient|")
    assert optimal(point(0.5 * TOL), 1e-9) is None
    stop = optimal(point(0.005 * TOL), 1e-9)
    assert stop is not None
    assert stop.message == "max |subgradient| = 5e-07 <= l1 / 100 = 1e-06"
    assert optimal.here is not None
    assert optimal.here.grad[1] == -0.005 * TOL


def test_separable_classes_have_no_optimum():
    optimal = Optimality(objective(separable_below=0.1), TOL, DECREASE)
    assert optimal(point(0.5 * TOL, value=0.2), 1.0) is None
    stop = optimal(point(0.5 * TOL, value=0.05), 1.0)
    assert stop is not None
    assert not stop.converged
    assert "separable" in stop.message


def test_a_rough_end():
    assert below(0.5)(point(1.0), 0.5) == ("enough", True, False)
    assert below(0.5)(point(1.0), 0.6) is None


@pytest.mark.parametrize(("size", "stops"), [(0.5, True), (4.0, False)])
def test_a_decrease_at_the_rounding(size, stops):
    stop = stop_by_rounding(objective(rounding=1e-12), point(1.0), 1.0, size * 1e-12 * 2.0, "max |grad|")
    assert (stop is not None) == stops
    if stops:
        assert stop.converged
        assert stop.by_rounding
        assert stop.message.endswith("(max |grad| = 1)")
    assert stop_by_rounding(objective(rounding=1e-12), point(1.0), 1.0, 8e-12, "max |grad|", share=1e-11) is not None


@pytest.mark.parametrize(("remaining", "most"), [(1e-11, PLATEAU), (1e-14, ROUNDED_PLATEAU)])
def test_exact_curvature_ends_where_the_value_stands_still(remaining, most):
    plateau = Plateau(objective(rounding=1e-13, precision=1e-16))
    for n in range(most + 1):
        value = 2.0 * (1.0 + 0.1 * PLATEAU_FALL * (n % 2))  # it moves, by rounding
        stop = plateau(point(1.0, value), remaining)
        assert (stop is not None) == (n == most)
    assert stop is not None
    assert str(most) in stop.message
