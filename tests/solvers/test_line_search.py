"""Every step the line search returns is judged again by the conditions it promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_solvers import Counted, logsumexp, quadratic, rosenbrock

from gpu_logreg.solvers.line_search import MAX_TRIALS, Trial, strong_wolfe

SUFFICIENT_DECREASE, CURVATURE = 1e-4, 0.9  # as documented


def leave(f, params, direction) -> Trial:
    value, grad = f(params)
    return Trial(0.0, params, value, float(grad @ direction), grad)


def judge(f, start: Trial, direction, found: Trial) -> None:
    value, grad = f(start.params + found.step * direction)
    assert found.step > 0
    assert found.value == value
    np.testing.assert_array_equal(found.grad, grad)
    np.testing.assert_array_equal(found.params, start.params + found.step * direction)
    assert found.slope == pytest.approx(grad @ direction, rel=1e-12)
    noise = f.rounding * abs(start.value)
    assert value <= max(start.value + SUFFICIENT_DECREASE * found.step * start.slope, start.value + noise)
    assert abs(found.slope) <= CURVATURE * abs(start.slope)


@pytest.mark.parametrize("first", [1e-6, 1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize(("make", "p"), [(logsumexp, 5), (rosenbrock, 2), (lambda: quadratic(1e4)[0], 12)])
def test_strong_wolfe_conditions_hold_from_any_first_step(make, p, first):
    f = make()
    params = np.linspace(-1.5, 1.0, p)
    direction = -f(params)[1]
    start = leave(f, params, direction)
    before = f.n_reads
    found = strong_wolfe(f, start, direction, first, budget=60)
    assert f.n_reads - before <= (MAX_TRIALS if first <= 1e3 else 25)
    assert found is not None
    judge(f, start, direction, found)


@settings(max_examples=150, deadline=None)
@given(
    st.floats(0.05, 20),
    st.floats(-3, 3),
    st.floats(1e-4, 1e4),
    st.sampled_from([np.cosh, np.exp, lambda u: np.log1p(np.exp(-np.abs(u))) + np.maximum(u, 0), lambda u: u**4]),
)
def test_strong_wolfe_conditions_hold_on_convex_lines(scale, shift, first, bend):
    # A strictly convex line, flat or steep, with its minimum somewhere beyond the start.
    def value_and_grad(x):
        u, h = x[0] / scale, 1e-6
        return (
            bend(u) + 0.01 * (u - 5) ** 2,
            np.array([((bend(u + h) - bend(u - h)) / (2 * h) + 0.02 * (u - 5)) / scale]),
        )

    f = Counted(value_and_grad)
    f.rounding = 1e-12
    params = np.array([shift * scale])
    with np.errstate(over="ignore", invalid="ignore"):  # a first step far too long may leave the range of floats
        direction = -f(params)[1] * scale**2
        start = leave(f, params, direction)
        if start.slope >= -1e-8:
            return
        found = strong_wolfe(f, start, direction, first)
        assert found is not None
        judge(f, start, direction, found)


def test_a_good_first_step_costs_one_evaluation():
    f, A, m = quadratic(100.0)
    params = np.zeros(len(m))
    direction = np.linalg.solve(A, -f(params)[1])
    start = leave(f, params, direction)
    before = f.n_reads
    found = strong_wolfe(f, start, direction, 1.0)
    assert found is not None
    assert found.step == 1.0
    assert f.n_reads == before + 1


def test_a_region_that_is_not_finite_is_left_again():
    f = Counted(lambda x: (np.inf, np.array([np.nan])) if x[0] > 1 else (float((x[0] - 0.9) ** 2), 2 * (x - 0.9)))
    start = leave(f, np.zeros(1), np.ones(1))
    found = strong_wolfe(f, start, np.ones(1), 1000.0)
    assert found is not None
    judge(f, start, np.ones(1), found)


def test_a_direction_that_does_not_lower_the_value_gives_none():
    f = Counted(lambda x: (float(1 + x @ x), -1 - 2 * x))  # the gradient is a lie
    start = leave(f, np.zeros(1), np.ones(1))
    before = f.n_reads
    assert strong_wolfe(f, start, np.ones(1), 1.0) is None
    assert f.n_reads - before <= MAX_TRIALS


def test_the_budget_is_kept():
    f = rosenbrock()
    params = np.array([-1.2, 1.0])
    direction = -f(params)[1]
    start = leave(f, params, direction)
    before = f.n_reads
    strong_wolfe(f, start, direction, 1e12, budget=3)
    assert f.n_reads - before == 3


def test_near_the_optimum_the_slope_decides_where_the_value_drowns_in_rounding():
    # The value is flat to rounding; a trial that rises by less than that is judged by its slope.
    f = Counted(lambda x: (1.0 + 1e-17 * float(x @ x), 1e-8 * (x - 1)))
    start = leave(f, np.zeros(1), np.ones(1))
    found = strong_wolfe(f, start, np.ones(1), 1.0)
    assert found is not None
    judge(f, start, np.ones(1), found)


@pytest.mark.parametrize("ends", [True, False])
def test_a_refused_first_trial_is_told_once(ends):
    f = logsumexp()
    params = np.linspace(-1.5, 1.0, 5)
    direction = -f(params)[1]
    start, told = leave(f, params, direction), []

    def refused(trial) -> bool:
        told.append((f.n_reads, trial.step))
        return ends

    before = f.n_reads
    found = strong_wolfe(f, start, direction, 1e6, refused=refused)
    assert told == [(before + 1, 1e6)]
    if ends:
        assert found is None
        assert f.n_reads == before + 1
    else:
        alone = strong_wolfe(f, start, direction, 1e6)
        np.testing.assert_array_equal(found.params, alone.params)
        told.clear()
        strong_wolfe(f, start, direction, found.step, refused=refused)
        assert not told
