"""The penalty on groups: its least subgradient, the minimum of one group, and that of a quadratic model."""

from __future__ import annotations

import numpy as np
import pytest

from gpu_logreg.solvers import group_penalty
from gpu_logreg.solvers.group_penalty import DAMPING, GroupPenalty, minimum_of_group

OF = np.array([0, 1, 0, 2, 1, 1, 3])


def quadratic(seed, rank=7):
    """A Hessian of shape (7, 7), and a gradient in its range."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((rank, 7)) * rng.choice([0.1, 1.0, 10.0], 7) + rng.standard_normal((rank, 1))
    return A.T @ A, A.T @ rng.standard_normal(rank) * 3.0, rng


def is_stationary(H, slope, w, strengths, atol):
    """The conditions of the minimum, group by group."""
    for g, strength in enumerate(strengths):
        at = np.flatnonzero(g == OF)
        size = np.linalg.norm(w[at])
        if size == 0.0:
            assert np.linalg.norm(slope[at]) <= strength + atol
        else:
            np.testing.assert_allclose(slope[at] + strength * w[at] / size, 0.0, atol=atol)


@pytest.mark.parametrize("strength", [1e-8, 0.3, 4.0, 100.0])
def test_the_minimum_of_a_group(strength):
    H, slope, _ = quadratic(0, rank=4)  # without curvature along three directions
    u = minimum_of_group(*np.linalg.eigh(H), slope, strength)
    if strength == 100.0:
        assert np.linalg.norm(slope) < strength
        assert not u.any()
        return
    residual = slope + H @ u + strength * u / np.linalg.norm(u)
    assert np.linalg.norm(residual) <= 1e-10 * np.linalg.norm(slope)


@pytest.mark.parametrize("seed", range(6))
def test_the_minimum_of_a_model(seed):
    H, grad, rng = quadratic(seed, rank=7 if seed % 2 else 5)
    strengths = np.array([0.5, 2.0, 20.0, 0.0]) * (1.0 + seed)
    scale, phi = rng.uniform(0.2, 5.0, 7), rng.standard_normal(7)
    penalty = GroupPenalty(OF, strengths, scale)
    u, decrease = penalty.minimum(H, grad, phi)
    slope = grad + H @ (u - phi)
    atol = 10.0 * DAMPING * np.abs(H * scale * scale[:, None]).max() * np.abs(u / scale).max()
    assert atol < 1e-6
    is_stationary(H, slope * scale, u / scale, strengths, atol)
    np.testing.assert_allclose(penalty.subgradient(u, slope) * scale, 0.0, atol=atol)
    fall = penalty.penalty(phi) - penalty.penalty(u) - grad @ (u - phi) - 0.5 * (u - phi) @ H @ (u - phi)
    assert decrease == pytest.approx(fall, rel=1e-9)


def test_the_subgradient_is_the_least():
    """Of all subgradients of a group of zeros: those by a grid of the unit ball."""
    penalty = GroupPenalty(np.zeros(2, np.int64), np.array([1.5]), np.ones(2))
    angle, radius = np.meshgrid(np.linspace(0.0, 2.0 * np.pi, 721), np.linspace(0.0, 1.5, 51))
    ball = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    for grad in (np.array([2.0, -1.0]), np.array([0.5, 0.5])):
        least = np.linalg.norm(grad + ball, axis=-1).min()
        assert np.linalg.norm(penalty.subgradient(np.zeros(2), grad)) == pytest.approx(least, abs=0.03)
    v = penalty.subgradient(np.array([3.0, 4.0]), np.array([1.0, 0.0]))
    np.testing.assert_allclose(v, [1.9, 1.2])


def test_groups_that_cross_zero_do_not_hold_up_the_others(monkeypatch):
    """With fewer rows than columns: twice as many turns are a choice, five times as many a Newton step that stalls."""
    turns, counted = group_penalty._Model.turns, []
    monkeypatch.setattr(group_penalty._Model, "turns", lambda model: counted.append(1) or turns(model))
    n, d = 60, 250
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((n, d)) + 3.0 * rng.standard_normal((n, 1))
        z = X @ (rng.standard_normal(d) * (np.arange(d) < d // 3)) / np.sqrt(d) + rng.standard_normal(n)
        penalty = GroupPenalty(np.arange(d) // 5, np.full(d // 5, 0.005), np.ones(d))
        H, grad = X.T @ X / (4 * n), -X.T @ z / (4 * n)
        u, _ = penalty.minimum(H, grad, np.zeros(d))
        np.testing.assert_allclose(penalty.subgradient(u, grad + H @ u), 0.0, atol=1e-8)
    assert len(counted) < 100
