"""The Newton decrement of all rows: what is left to gain along directions that many columns make up together."""

from __future__ import annotations

import numpy as np
import pytest

from gpu_logreg import LogisticRegression
from gpu_logreg.arrays.device import Device
from gpu_logreg.mathematics.penalty import l1_penalty
from gpu_logreg.objectives.certificate import certificate
from gpu_logreg.objectives.decrement import l1_decrement
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.passes.choice import choose
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.resident import ResidentDataset

N, L1 = 200, 0.02


def columns(twin: float) -> tuple[np.ndarray, np.ndarray]:
    """Three columns and a fourth that is the first but for noise; labels that hang on what they differ by."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((N, 3))
    noise = rng.standard_normal(N)
    y = (X @ [1.0, -1.0, 0.0] + noise + rng.logistic(size=N) > 0).astype(np.uint8)
    return np.column_stack([X, X[:, 0] + twin * noise]), y


def problem(twin: float, l1: float):
    X, y = columns(twin)
    dataset = ResidentDataset(Rows(X, y, None), float(N))
    objective = Objective(dataset, choose("reference", dataset.rows, Device("cpu")), 0.0, True, l1)
    objective.column_moments()
    return objective, l1_decrement(objective, Sampler(objective, np.random.default_rng(0)))


def value_at(objective: Objective, params: np.ndarray) -> tuple[float, np.ndarray]:
    value, grad = objective(params)
    return value + l1_penalty(params, objective.l1_strengths), grad


@pytest.mark.parametrize("twin", [1.0, 1e-3, 1e-5])
def test_it_is_what_a_step_from_the_optimum_has_lost(twin):
    l1 = L1 * min(twin, 1.0)
    objective, decrement = problem(twin, l1)
    X, y = columns(twin)
    model = LogisticRegression(l1_ratio=1.0, C=1.0 / (N * l1), tol=1e-12).fit(X, y)
    best = np.append(model.coef_[0], model.intercept_)
    least, _ = value_at(objective, best)
    along = np.array([1.0, 0.0, 0.0, -1.0, 0.0]) * (1e-3 / twin)
    params = best + along * (best != 0.0)
    value, grad = value_at(objective, params)
    assert value - least > 1e-8
    assert decrement(params, grad, value) == pytest.approx(value - least, rel=0.1)
    assert decrement(best, value_at(objective, best)[1], least) < 1e-3 * (value - least)


def test_a_certificate_by_single_columns_does_not_see_it():
    objective, decrement = problem(1e-5, 1e-6 * L1)
    params = np.zeros(5)
    X, y = columns(1e-5)
    without = LogisticRegression(C=np.inf).fit(X[:, :3], y)
    params[:3], params[4] = without.coef_[0], without.intercept_[0]
    params[3] = 1e-9  # not zero, so that the twins may make up for each other
    value, grad = value_at(objective, params)
    assert certificate(objective, params, value, grad, 1e-3).holds
    assert decrement(params, grad, value) > 1e-2 * value


def test_columns_that_are_equal_leave_nothing():
    objective, decrement = problem(0.0, L1)
    X, y = columns(0.0)
    model = LogisticRegression(l1_ratio=1.0, C=1.0 / (N * L1), tol=1e-10).fit(X, y)
    assert model.converged_
    params = np.append(model.coef_[0], model.intercept_)
    params[[0, 3]] = 0.5 * params[[0, 3]].sum()
    value, grad = value_at(objective, params)
    assert decrement(params, grad, value) < 1e-10


def test_parameters_of_zero_leave_nothing():
    X, y = columns(1.0)
    dataset = ResidentDataset(Rows(X, y, None), float(N))
    objective = Objective(dataset, choose("reference", dataset.rows, Device("cpu")), 0.0, False, 10.0)
    objective.column_moments()
    value, grad = objective(np.zeros(4))
    assert l1_decrement(objective, Sampler(objective, np.random.default_rng(0)))(np.zeros(4), grad, value) == 0.0
