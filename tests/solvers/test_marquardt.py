"""Damped steps to the minimum of a loss of few rows, and the model made of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from curved_rows import objective_of, rows_of_classes

from gpu_logreg import LogisticRegression
from gpu_logreg.estimators.linear import quasi_newton
from gpu_logreg.mathematics import losses
from gpu_logreg.objectives.curved_sample import CurvedSampler
from gpu_logreg.solvers.line_search import Trial
from gpu_logreg.solvers.marquardt import marquardt_minimum
from gpu_logreg.solvers.sampled_model import SampledModel


@pytest.fixture
def loss():
    X, y = rows_of_classes(outliers=20)
    sampler = CurvedSampler(objective_of(X, y), np.random.default_rng(0))
    sampler.sample(500)
    return sampler.sampled_loss(len(X), np.zeros(sampler.n_params))


def test_the_minimum_where_outliers_make_whole_newton_steps_useless(loss) -> None:
    start = np.random.default_rng(5).standard_normal(24)  # logits of outliers on a wrong side by thousands
    found = marquardt_minimum(loss, start, np.zeros(24))
    for _ in range(3):
        again = marquardt_minimum(loss, start + found.moved, np.zeros(24), found.damping)
        found = found._replace(moved=found.moved + again.moved)
    phi = start + found.moved
    grad = loss(phi)[1]
    assert (
        0.5 * grad @ loss.curvature(phi).factor(0.0).solve(grad) < 1e-9 * loss(phi)[0]
    )  # what the default tol promises


def test_without_damping_that_start_leads_nowhere(loss) -> None:
    start = np.random.default_rng(5).standard_normal(24)
    by_newton = loss.curvature(start)
    value, grad = loss(start)
    assert loss(start - by_newton.factor(0.0).solve(grad))[0] > value


def test_slopes_are_a_part_of_what_is_minimised(loss) -> None:
    start, slopes = np.zeros(24), np.tile([0.01, 0.0, 0.0, 0.0, 0.0, 0.0], 4) * np.repeat([1, -1, 1, -1], 6)
    found = marquardt_minimum(loss, start, slopes)
    value = loss(found.moved)[0] + slopes @ found.moved
    assert value < loss(start)[0]
    assert found.decrease == pytest.approx(loss(start)[0] - value, rel=1e-3)


def test_it_ends_with_enough_of_a_decrease(loss) -> None:
    start = np.random.default_rng(5).standard_normal(24)
    whole = marquardt_minimum(loss, start, np.zeros(24))
    part = marquardt_minimum(loss, start, np.zeros(24), enough=0.3 * whole.decrease)
    assert 0.3 * whole.decrease <= part.decrease < whole.decrease


def test_rows_are_drawn_anew_where_a_decrease_was_missed() -> None:
    X, y = rows_of_classes()
    objective = objective_of(X, y)
    sampler = CurvedSampler(objective, np.random.default_rng(0))
    sampler.sample(500)
    drawn = []

    def loss_at(params, near):
        drawn.append(params)
        return sampler.sampled_loss(400, params)

    params = np.zeros(objective.n_params)
    model = SampledModel(loss_at, params)
    first = Trial(0.0, params, 1.0, 0.0, params)
    assert model.recover(first, 1.0)  # more rows, and after one refusal more the gradient of all besides
    assert model.recover(first, 1.0)
    drawn.clear()
    here = Trial(0.0, params, *objective(params)[:1], 0.0, objective(params)[1])
    way, slope, predicted = model.propose(here)
    assert slope < 0.0 < predicted
    model.learn(here, Trial(1.0, params + way, here.value - 0.99 * predicted, slope, here.grad))
    assert not drawn
    model.learn(here, Trial(1.0, params + way, here.value - 0.5 * predicted, slope, here.grad))
    assert len(drawn) == 1
    model.learn(here, Trial(0.5, params + way, here.value - predicted, slope, here.grad))
    assert len(drawn) == 2


def test_other_rows_are_drawn_before_a_shorter_step_is_tried() -> None:
    X, y = rows_of_classes()
    objective = objective_of(X, y)
    sampler = CurvedSampler(objective, np.random.default_rng(0))
    sampler.sample(500)
    params = np.zeros(objective.n_params)
    value, grad = objective(params)
    model = SampledModel(lambda there, near: sampler.sampled_loss(400, there, near), params)
    here, budgets = Trial(0.0, params, value, -float(grad @ grad), grad), []
    while True:
        before = objective.reads.total
        assert model.search(objective, here, -1e12 * grad, 3) is None  # a step that must be refused
        budgets.append(objective.reads.total - before)
        if not model.recover(here, 1.0):
            break
    assert np.rint(budgets).tolist() == [1, 1, 1, 3]


@pytest.fixture(scope="module")
def heavy_problem():
    path = Path(__file__).parents[2] / "bench" / "heavy_problems.py"
    spec = importlib.util.spec_from_file_location("heavy_problems_for_samples", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    case = module.CASES["outlier rows, K = 6"](n=8000, d=20)
    return case, module.Truth(case)


def test_a_fit_whose_hessian_is_too_large_goes_by_the_loss_of_a_sample(heavy_problem, monkeypatch) -> None:
    case, truth = heavy_problem
    reads = {}
    for largest in (0, 3000):
        monkeypatch.setattr(losses, "WHOLE_P", 50)
        monkeypatch.setattr(quasi_newton, "SAMPLED_PARAMS", largest)
        model = LogisticRegression(solver="lbfgs", random_state=0, max_iter=2000).fit(case.X, case.y)
        phi = truth.phi(model)
        assert model.converged_
        assert truth.value_and_grad(phi)[0] / truth.minimum(phi) - 1.0 < 1e-9
        reads[largest] = model.n_reads_
    assert reads[3000] < 0.5 * reads[0]
