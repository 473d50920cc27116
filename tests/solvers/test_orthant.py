"""Models by a root of the curvature: their minimum, also where nearly equal columns leave a matrix without digits."""

from __future__ import annotations

import numpy as np
import pytest

from gpu_logreg import LogisticRegression
from gpu_logreg.arrays.device import Device
from gpu_logreg.mathematics.losses import loss_of_classes
from gpu_logreg.mathematics.penalty import subgradient
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.passes.choice import choose
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.solvers.coordinate_descent import model_minimum
from gpu_logreg.solvers.orthant import RootModel

CPU = Device("cpu")


def model(seed: int, twin: float = 1.0, l1: float = 0.3, p: int = 6) -> RootModel:
    """Columns of which the last is the first but for ``twin``; the last coordinate but one is not penalised."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((20, p))
    A[:, -1] = A[:, 0] + twin * A[:, -1]
    strengths = np.full(p, l1)
    strengths[-2] = 0.0
    x = rng.standard_normal(p) * (rng.random(p) < 0.5)
    return RootModel(A, rng.uniform(0.0, 0.1, p), A.T @ rng.standard_normal(20), x, strengths)


@pytest.mark.parametrize("seed", range(20))
def test_the_minimum_is_that_of_coordinate_descent(seed):
    q = model(seed)
    H = q.A.T @ q.A + np.diag(q.added)
    wanted, left = model_minimum(H, q.grad, q.x, q.l1, 1e-12)
    for start in (q.x, wanted + 0.01 * (wanted != 0.0), np.zeros(6)):
        found = q.minimum(start)
        assert q.decrease(found) == pytest.approx(left, rel=1e-9, abs=1e-12)
        np.testing.assert_array_equal(found == 0.0, wanted == 0.0)
        v = subgradient(found, q.slope(found), q.l1)
        assert np.abs(v).max() < 1e-11


@pytest.mark.parametrize("seed", range(5))
def test_columns_that_are_equal_to_nine_digits_are_told_apart(seed):
    """Along their difference ``A.T @ A`` is rounding; the minimum there is known from the columns themselves."""
    twin = 1e-9
    q = model(seed, twin=twin, l1=0.0)._replace(added=np.zeros(6), x=np.zeros(6))
    found = q.minimum(q.x)
    apart = q.A.copy()
    apart[:, -1] = (apart[:, -1] - apart[:, 0]) / twin  # the difference as a column of its own, in its own units
    change = np.eye(6)
    change[0, -1], change[-1, -1] = -1.0 / twin, 1.0 / twin
    by_columns = change @ np.linalg.solve(apart.T @ apart, -(change.T @ q.grad))
    np.testing.assert_allclose(found, by_columns, rtol=1e-5)
    assert np.abs(found).max() > 1e6


def test_copies_of_a_column_leave_a_minimum_all_the_same():
    q = model(0, twin=0.0, l1=0.0)
    found = q.minimum(q.x)
    assert np.isfinite(found).all()
    once = q._replace(A=q.A[:, :-1], added=q.added[:-1], grad=q.grad[:-1], x=q.x[:-1], l1=q.l1[:-1])
    assert q.decrease(found) >= once.decrease(once.minimum(once.x)) - 1e-12


@pytest.mark.parametrize("seed", range(10))
def test_no_point_is_made_worse(seed):
    q = model(seed, twin=1e-7, l1=1e-6)
    u = np.random.default_rng(seed).standard_normal(6)
    assert q.decrease(q.minimum(u)) >= q.decrease(u)


def sample_of(n_classes: int, fit_intercept: bool):
    rng = np.random.default_rng(n_classes)
    X = rng.standard_normal((60, 3)) * [1.0, 1e3, 1e-3] + [0.0, 5e3, 0.0]
    labels = rng.integers(n_classes, size=60)
    y = labels.astype(np.uint8 if n_classes == 2 else np.int32)
    dataset = ResidentDataset.from_arrays(X, y, rng.exponential(size=60), CPU, encoded=n_classes > 2)
    engine = choose("reference", dataset.rows, CPU, loss_of_classes(n_classes))
    return Sampler(Objective(dataset, engine, 0.0, fit_intercept), rng).all_rows()


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("size", [1.0, 30.0])
def test_the_root_is_that_of_the_hessian(n_classes, fit_intercept, size):
    sample = sample_of(n_classes, fit_intercept)
    width = (3 + fit_intercept) * (1 if n_classes == 2 else n_classes)
    phi = size * np.random.default_rng(0).standard_normal(width)
    A = sample.curvature_root(phi)
    H = sample.damped_hessian(phi)
    np.testing.assert_allclose(A.T @ A, H, rtol=1e-9, atol=1e-12 * np.abs(H).max())


@pytest.mark.parametrize(("l1_ratio", "K"), [(1.0, 2), (0.0, 2), (1.0, 3)])
def test_labels_that_hang_on_what_twin_columns_differ_by(l1_ratio, K):
    """The same minimum as with the difference for a column, to whose scale the penalty has been fitted."""
    rng = np.random.default_rng(5)
    column, difference = rng.standard_normal((2, 200))
    noise = rng.gumbel(size=(200, K))
    labels = (np.outer(difference, np.arange(K)) + noise).argmax(axis=1)
    twins = np.column_stack([column, column + 1e-7 * difference])
    twins[:, 1] -= column
    apart = np.column_stack([column, twins[:, 1] * 1e7])  # as the twin holds it, rounded
    twins[:, 1] += column
    options = {"C": np.inf} if l1_ratio == 0.0 else {"C": 1e12, "l1_ratio": l1_ratio}
    fitted = LogisticRegression(**options).fit(twins, labels)
    wanted = LogisticRegression(C=np.inf).fit(apart, labels)
    assert fitted.converged_
    assert fitted.n_iter_[0] < 100
    assert fitted.objective_ == pytest.approx(wanted.objective_, rel=1e-4 if l1_ratio else 1e-8)
