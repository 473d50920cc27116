"""Rows of many classes drawn by the curvature that they may have, and their loss."""

from __future__ import annotations

import numpy as np
import pytest
from curved_rows import D, K, N, objective_of, rows_of_classes

from gpu_logreg.mathematics import softmax
from gpu_logreg.mathematics.losses import Classes
from gpu_logreg.objectives.curved_sample import CurvedSampler
from gpu_logreg.objectives.sampled_loss import active_curvature, bounding_curvature
from gpu_logreg.passes.reference.curvature import classes_curvature
from gpu_logreg.rows.block import Rows


def test_pairs_of_classes_add_up_to_the_curvature() -> None:
    rng = np.random.default_rng(1)
    U, s = np.hstack([rng.standard_normal((300, D)), np.ones((300, 1))]), rng.random(300)
    phi = 3.0 * rng.standard_normal((K, D + 1))
    P = softmax.softmax(U @ phi.T)
    expected = classes_curvature(Classes(K), Rows(U, np.zeros(300, np.int32), s), phi.ravel())
    H, n_active = active_curvature(U, s, P)
    found = H.reshape(expected.shape)
    assert n_active == 300
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-12 * np.abs(expected).max())


def test_probabilities_of_next_to_nothing_leave_a_positive_semidefinite_matrix() -> None:
    rng = np.random.default_rng(2)
    U = np.hstack([rng.standard_normal((300, D)), np.ones((300, 1))])
    P = softmax.softmax(20.0 * U @ rng.standard_normal((K, D + 1)).T)
    H, n_active = active_curvature(U, np.ones(300), P)
    assert n_active < 300
    eigenvalues = np.linalg.eigvalsh(H.reshape(K * (D + 1), -1))
    assert eigenvalues[0] > -1e-13 * eigenvalues[-1]


@pytest.mark.parametrize("margin", [-1000.0, -3.0, 0.0, 0.5, 40.0])
def test_the_bound_holds_at_every_step_between_two_classes(margin: float) -> None:
    z = np.array([[margin, 0.0]])
    j = bounding_curvature(z, np.array([0]))[0]
    steps = np.linspace(-2000.0, 2000.0, 4001)  # of the margin; half of each by either logit
    loss, slope = np.logaddexp(0.0, -margin), -1.0 / (1.0 + np.exp(np.minimum(margin, 700.0)))
    model = loss + slope * steps + 0.5 * j * 2.0 * (0.5 * steps) ** 2
    assert np.all(np.logaddexp(0.0, -(margin + steps)) <= model + 1e-9 * (1.0 + np.abs(model)))


@pytest.mark.parametrize("weighted", [False, True])
def test_a_sample_of_all_rows_is_the_objective(weighted: bool) -> None:
    X, y = rows_of_classes()
    weights = np.random.default_rng(3).random(N) if weighted else None
    objective = objective_of(X, y, weights)
    sampler = CurvedSampler(objective, np.random.default_rng(0))
    sampler.sample(500)
    params = 1e-3 * np.random.default_rng(4).standard_normal(objective.n_params)
    loss = sampler.sampled_loss(N, params)
    value, grad = objective(params)
    own, by_phi = loss(loss.coordinates.from_params(params))
    assert own == pytest.approx(value, rel=1e-12)
    mapped = loss.coordinates.grad_to_phi(grad)
    np.testing.assert_allclose(by_phi, mapped, atol=1e-9 * np.abs(mapped).max())


def test_few_rows_by_curvature_tell_the_hessian_of_all() -> None:
    X, y = rows_of_classes()
    objective = objective_of(X, y)
    sampler = CurvedSampler(objective, np.random.default_rng(0))
    sampler.sample(500)
    params = np.zeros(objective.n_params)
    few = sampler.sampled_loss(500, params)
    sampler.value_and_leverage(500, params)  # by a sample that knows the outliers
    few = sampler.sampled_loss(500, params)
    phi = few.coordinates.from_params(params)
    everything = sampler.sampled_loss(N, params)
    H, by_few = (np.stack([loss.curvature(phi) @ e for e in np.eye(len(phi))]) for loss in (everything, few))
    root = np.linalg.inv(np.linalg.cholesky(H))
    eigenvalues = np.linalg.eigvalsh(root @ by_few @ root.T)
    assert 0.5 < eigenvalues[0] <= eigenvalues[-1] < 1.7
    assert few.sample.n_rows < 600


@pytest.mark.parametrize("weighted", [False, True])
def test_an_evaluation_that_scores_rows_is_one_of_the_objective(weighted: bool) -> None:
    X, y = rows_of_classes()
    objective = objective_of(X, y, np.random.default_rng(3).random(N) if weighted else None)
    sampler = CurvedSampler(objective, np.random.default_rng(0))
    sampler.sample(500)
    params = 1e-3 * np.random.default_rng(4).standard_normal(objective.n_params)
    value, grad = objective(params)
    before = objective.reads.total
    scored, by_scoring = sampler.value_and_leverage(500, params)
    assert scored == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(by_scoring, grad, atol=1e-12 * np.abs(grad).max())
    assert objective.reads.total - before < 1.5
    before = objective.reads.total
    sampler.sampled_loss(500, params)  # by the scores of that read
    assert objective.reads.total - before < 0.5


def test_rows_whose_loss_a_step_has_changed_are_drawn_more_often() -> None:
    X, y = rows_of_classes(outliers=0)
    steep = np.random.default_rng(7).standard_normal(K * (D + 1))
    shares = []
    for starts in ([], [np.zeros(K * (D + 1))]):
        sampler = CurvedSampler(objective_of(X, y), np.random.default_rng(0))
        sampler.sample(100)
        for params in [*starts, steep]:
            sampler.value_and_leverage(100, params)
        sampler.sampled_loss(100, steep)
        drawn = [sampler._drawing.draw(100, np.random.default_rng(seed))[0] for seed in range(20)]
        shares.append(np.bincount(np.concatenate(drawn), minlength=N) / 20.0)
    W, b = steep.reshape(K, -1)[:, :D], steep.reshape(K, -1)[:, D]
    changed = np.abs(softmax.loss_and_dz(X @ W.T + b, y)[0] - np.log(K))
    most = np.argsort(changed)[-50:]
    assert shares[1][most].mean() > 1.2 * shares[0][most].mean()


def test_derivatives_along_a_step_are_those_of_the_value() -> None:
    X, y = rows_of_classes(outliers=0)
    sampler = CurvedSampler(objective_of(X, y), np.random.default_rng(0))
    sampler.sample(500)
    loss = sampler.sampled_loss(500, np.zeros(sampler.n_params))
    rng = np.random.default_rng(6)
    phi, step = (v - v.mean(axis=0) for v in rng.standard_normal((2, K, D + 1)))  # not along free directions
    phi, step = phi.ravel(), step.ravel()
    derivatives = loss.along(phi, step)
    for t in (0.0, 0.7, 3.0):
        slope, second = derivatives(t)
        assert slope == pytest.approx(loss(phi + t * step)[1] @ step, rel=1e-9)
        assert second == pytest.approx(step @ (loss.curvature(phi + t * step) @ step), rel=1e-6)


def test_a_point_that_is_known_costs_no_walk() -> None:
    X, y = rows_of_classes()
    sampler = CurvedSampler(objective_of(X, y), np.random.default_rng(0))
    sampler.sample(500)
    loss = sampler.sampled_loss(500, np.zeros(sampler.n_params))
    phi = np.zeros(sampler.n_params)
    first = loss(phi)
    before = loss.sample.reads.total
    again = loss(phi.copy())
    assert again[0] == first[0]
    assert loss.sample.reads.total == before
